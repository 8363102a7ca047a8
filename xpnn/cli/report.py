"""How well a network does on a test set: in words, as a table and as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import no_grad
from xpnn.backend import AnomalyError, MissingDependencyError, printable, to_numpy
from xpnn.cli.dataset import Data
from xpnn.cli.images import Images
from xpnn.cli.tables import RowPreprocessing, Table
from xpnn.cli.trained import Description
from xpnn.data.dataset import gather
from xpnn.metrics import confusion_matrix
from xpnn.nn import Module
from xpnn.viz import plot_predictions, save_confusion_matrix, save_curve, save_image, save_image_sheet

EXAMPLE, EXAMPLE_ROWS = "example.png", "example.csv"
_WIDEST = 120  # a wider matrix does not fit on a terminal
_MOST_MISTAKES = 32


def one_line(error: Exception) -> str:
    """What an error says, on one line and without commands to the terminal."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(" ".join(str(error).split()) or type(error).__name__)


def finite(scores: np.ndarray) -> np.ndarray:
    """The scores themselves. Raises: AnomalyError if there are some that say nothing."""
    if not np.isfinite(scores).all():
        raise AnomalyError(
            "the network gives scores that are NaN or infinite",
            hint="Its weights are damaged, or its training diverged: train it again",
        )
    return scores


@dataclass(frozen=True)
class Evaluation:
    """The labels (N,) of a test set, true and predicted, the names of the classes, and their probabilities.

    Attributes:
        probabilities: (N, C), by the network.
    """

    true: np.ndarray
    predicted: np.ndarray
    classes: Sequence[str]
    probabilities: np.ndarray

    @classmethod
    def of(cls, model: Module, loader: Iterable[Any], classes: Sequence[str]) -> Evaluation:
        """Apply a network to all batches of a loader, in evaluation mode."""
        model.eval()
        with no_grad():
            batches = [(to_numpy(labels), finite(to_numpy(model(images)))) for images, labels in loader]
        true, scores = (np.concatenate(parts) for parts in zip(*batches))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        return cls(true, scores.argmax(axis=1), tuple(map(printable, classes)), probabilities)

    @property
    def accuracy(self) -> float:
        """The fraction that is right."""
        return float(np.mean(self.true == self.predicted))

    @property
    def matrix(self) -> np.ndarray:
        """The confusion matrix, true classes in rows."""
        return confusion_matrix(self.predicted, self.true, len(self.classes))

    def measures(self) -> dict[str, Any]:
        """JSON-ready: the accuracy, and the confusion matrix with true classes in rows."""
        return {
            "test_accuracy": self.accuracy,
            "classes": list(self.classes),
            "confusion": self.matrix.tolist(),
        }

    def text(self, short: bool = False) -> str:
        """The confusion matrix, unless it is too wide or `short` is asked for, and the accuracy."""
        line = f"test accuracy {100 * self.accuracy:.1f} %"
        table = self._table()
        if short or len(table[0]) > _WIDEST:
            return line
        title = "confusion matrix (rows: the true class, columns: the predicted one)"
        return "\n".join([title, *table, "", line])

    def _table(self) -> list[str]:
        """The lines of the confusion matrix, with dots for zeros."""
        matrix = self.matrix
        width = max(map(len, (*self.classes, str(matrix.max())))) + 2
        rows = [("", self.classes), *zip(self.classes, matrix)]
        return [
            f"{name:>{width}}" + "".join(f"{cell or '.'!s:>{width}}" for cell in cells)
            for name, cells in rows
        ]


@dataclass(frozen=True)
class NumberEvaluation:
    """The targets (N,) of a test set, true and predicted, in their own unit."""

    true: np.ndarray
    predicted: np.ndarray
    name: str

    @classmethod
    def of(cls, model: Module, loader: Iterable[Any], target: RowPreprocessing) -> NumberEvaluation:
        """Apply a network to all batches of a loader, in evaluation mode."""
        model.eval()
        with no_grad():
            batches = [(to_numpy(values), finite(to_numpy(model(rows)))) for rows, values in loader]
        true, predicted = (target.in_unit(np.concatenate(parts)[:, 0]) for parts in zip(*batches))
        return cls(true, predicted, target.target)

    def measures(self) -> dict[str, Any]:
        """Root of the mean squared error, mean absolute error, and the share of the variance explained."""
        errors = self.predicted - self.true
        spread = float(np.sum((self.true - self.true.mean()) ** 2))
        return {
            "test_rmse": float(np.sqrt(np.mean(errors**2))),
            "test_mae": float(np.mean(np.abs(errors))),
            "test_r2": 1 - float(np.sum(errors**2)) / spread if spread else None,
        }

    def text(self, short: bool = False) -> str:
        """The measures."""
        measures = self.measures()
        r2 = "" if measures["test_r2"] is None else f", R2 {measures['test_r2']:.4f}"
        return (
            f"test error of {printable(self.name)}: RMSE {measures['test_rmse']:.4g}, "
            f"mean absolute {measures['test_mae']:.4g}{r2}"
        )


AnyEvaluation = Evaluation | NumberEvaluation


def evaluation_of(model: Module, loader: Iterable[Any], description: Description) -> AnyEvaluation:
    """How a network does on a test set."""
    if not description.classes and isinstance(description.preprocessing, RowPreprocessing):
        return NumberEvaluation.of(model, loader, description.preprocessing)
    return Evaluation.of(model, loader, description.classes)


def save_pictures(
    out: Path,
    evaluation: AnyEvaluation,
    data: Data,
    history: Mapping[str, Sequence[float]] | None = None,
    say: Callable[[str], None] = print,
    title: str = "",
) -> list[Path]:
    """Draw the curve, the confusion matrix and the mistakes, and keep a test image to try the network on.

    A package that is missing is named in a line, and the pictures that need it are left out.

    Args:
        out: the folder.
        data: whose test set has the order of the evaluation.
        history: the measures of the epochs.
        say: is given the line.
        title: of the curves.

    Returns: the files.
    """
    files = []
    try:
        for file in _pictures(out, evaluation, data, history, title):
            files.append(file)
    except MissingDependencyError as error:
        say(f"pictures are left out: {error}")
    return files


def _pictures(
    out: Path,
    evaluation: AnyEvaluation,
    data: Data,
    history: Mapping[str, Sequence[float]] | None,
    title: str,
) -> Iterator[Path]:
    if isinstance(data, Table):
        yield data.save_example(out / EXAMPLE_ROWS)
    else:
        yield save_image(gather(data.test, [0])[0], out / EXAMPLE, padding=0)
    if history:
        lines = {name.replace("val_", "test_"): values for name, values in history.items()}
        yield save_curve(lines, out / "curve.png", title=title)
    if isinstance(evaluation, NumberEvaluation):
        plot_predictions(evaluation.true, evaluation.predicted, out / "predictions.png", evaluation.name)
        yield out / "predictions.png"
        return
    yield save_confusion_matrix(evaluation.matrix, out / "confusion.png", evaluation.classes)
    if isinstance(data, Images):
        yield from _mistakes(out, evaluation, data.test)


def _mistakes(out: Path, evaluation: Evaluation, test: Any) -> Iterator[Path]:
    mistakes = out / "mistakes.png"
    wrong = np.flatnonzero(evaluation.true != evaluation.predicted)
    if not len(wrong):
        mistakes.unlink(missing_ok=True)  # of an earlier run
        return
    shown = wrong[:_MOST_MISTAKES]
    names = evaluation.classes
    titles = [f"true {names[evaluation.true[i]]}, said {names[evaluation.predicted[i]]}" for i in shown]
    title = f"{len(wrong)} of {len(test)} test images are taken for another class"
    if len(shown) < len(wrong):
        title += f"; the first {len(shown)}"
    yield save_image_sheet(gather(test, shown.tolist())[0], mistakes, titles, title=title)
