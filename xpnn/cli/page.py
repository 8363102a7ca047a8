"""The page of a run: `report.html`, one file that opens anywhere, also without a network."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import get_backend, printable, to_numpy
from xpnn.cli.dataset import Data
from xpnn.cli.images import Images, file_of
from xpnn.cli.markup import (
    commands_of,
    data_uri,
    figure_of,
    pairs,
    scroll,
    section,
    table,
    text,
    write_document,
)
from xpnn.cli.report import AnyEvaluation, Evaluation, NumberEvaluation
from xpnn.cli.run import Run, machine
from xpnn.cli.tables import Table
from xpnn.cli.trained import Description
from xpnn.data.dataset import gather
from xpnn.version import __version__
from xpnn.viz import plot_confusion_matrix, plot_curves, plot_predictions
from xpnn.viz.images import png_of

PAGE = "report.html"
_MISTAKES = 24
_PANELS = ("loss", "accuracy", "lr")
_TINY = 64  # smaller images are enlarged without smoothing


@dataclass(frozen=True)
class Report:
    """What a page tells of a run.

    Attributes:
        description: settings, preprocessing and classes. data: what it was trained and tested on.
        evaluation: on the test set. history: the measures of the epochs.
        record: what `record_of` made; None where it is not known.
        commands: that use the network, and what each is for.
    """

    description: Description
    data: Data
    evaluation: AnyEvaluation
    history: Mapping[str, Sequence[Any]]
    record: Any = None
    commands: Sequence[tuple[str, str]] = ()


def write_page(path: Path, report: Report) -> Path:
    """Write the page; returns its path. Raises: MissingDependencyError without matplotlib or Pillow."""
    settings = report.description.settings
    title = f"{settings.model} on {Path(settings.data).name}"
    parts = [
        section("Summary", _summary(report)),
        section("Training", _curves(report.history)),
        *_results(report),
        section("Use it", commands_of(report.commands)),
        section("Settings", pairs(_settings(report))),
        section("Versions", pairs(_facts(report.record, "versions"))),
    ]
    return write_document(path, title, parts)


def _results(report: Report) -> list[str]:
    """The sections on the test set."""
    evaluation, data = report.evaluation, report.data
    if isinstance(evaluation, NumberEvaluation):
        figure = plot_predictions(evaluation.true, evaluation.predicted, name=evaluation.name)
        return [section("Predictions", scroll(figure_of(figure, "predicted numbers against the true ones")))]
    sections = [
        section("Confusion matrix", _confusion(evaluation)),
        section("Classes", scroll(_classes(evaluation, data.unit))),
    ]
    if isinstance(data, Images):
        mistakes = _mistakes(evaluation, data.test, Path(report.description.settings.data))
        sections.append(section("Most confident mistakes", mistakes))
    return sections


def record_of(run: Run, seconds: float) -> dict[str, dict[str, str]]:
    """What is known only at the end of a training that took so long; JSON-ready, for the run's checkpoint."""
    parameters = sum(parameter.size for parameter in run.model.parameters())
    backend = get_backend().name
    library = getattr(sys.modules.get(backend), "__version__", "")
    return {
        "summary": {
            "Network": f"{run.description.settings.model}, {parameters:,} parameters",
            "Time": f"{_duration(seconds)} since it was begun or resumed, "
            f"{run.trainer.throughput:,.0f} {run.data.unit} a second",
            "Finished": time.strftime("%Y-%m-%d %H:%M"),
            "Computed by": machine(),
        },
        "versions": {
            "xpnn": __version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            **({backend: library} if backend != "numpy" else {}),
            "System": platform.platform(),
        },
    }


def _facts(record: Any, part: str) -> dict[str, str]:
    """A part of what `record_of` made; of a record that is something else, nothing."""
    found = record.get(part) if isinstance(record, dict) else None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _summary(report: Report) -> str:
    evaluation, data = report.evaluation, report.data
    losses = [(x, i) for i, x in enumerate(report.history.get("val_loss", ()), 1) if x is not None]
    facts = {
        **_score(evaluation),
        **({"Lowest test loss": "{:.4g} in epoch {}".format(*min(losses))} if losses else {}),
        "Epochs": f"{max(report.history.get('epoch', [0]), default=0)}",
        data.unit.capitalize(): f"{len(data.train):,} training and {len(data.test):,} test {data.unit}"
        + (f", {len(data.classes)} classes" if data.classes else ""),
        **_facts(report.record, "summary"),
    }
    if data.untested:
        facts["Not tested"] = ", ".join(map(printable, data.untested))
    return pairs(facts)


def _score(evaluation: AnyEvaluation) -> dict[str, str]:
    if isinstance(evaluation, NumberEvaluation):
        return {"Test error": evaluation.text().partition(": ")[2]}
    right = int(np.sum(evaluation.true == evaluation.predicted))
    return {"Test accuracy": f"{100 * evaluation.accuracy:.2f} % ({right:,} of {len(evaluation.true):,})"}


def _curves(history: Mapping[str, Sequence[Any]]) -> str:
    """A figure for each measure, so that they stand below each other on a small screen."""
    named = {name.replace("val_", "test_"): values for name, values in history.items()}
    figures = []
    for panel in _PANELS:
        if any(name == panel or name.endswith(f"_{panel}") for name in named):
            figure = plot_curves(named, metrics=[panel])
            figures.append(figure_of(figure, f"{panel} against the epoch"))
    return f'<div class="figures">{"".join(figures)}</div>' if figures else "<p>No epoch was measured.</p>"


def _confusion(evaluation: Evaluation) -> str:
    figure = plot_confusion_matrix(evaluation.matrix, class_names=evaluation.classes)
    return scroll(figure_of(figure, "confusion matrix: true classes in rows, predicted ones in columns"))


def _classes(evaluation: Evaluation, unit: str) -> str:
    matrix = evaluation.matrix
    rows = []
    for label, name in enumerate(evaluation.classes):
        right, true, said = matrix[label, label], matrix[label].sum(), matrix[:, label].sum()
        wrong = matrix[label].copy()
        wrong[label] = 0
        other = int(wrong.argmax())
        taken = f"{evaluation.classes[other]} ({wrong[other]})" if wrong[other] else "-"
        shares = [_share(right, said), _share(right, true), _share(2 * right, true + said)]
        rows.append([name, f"{true:,}", *shares, taken])
    titles = ["class", f"test {unit}", "precision", "recall", "F1", "most often taken for"]
    return table(titles, rows)


def _mistakes(evaluation: Evaluation, test: Any, root: Path) -> str:
    """The images, with the probabilities of the two classes and the file, from the folder of the data on."""
    wrong = np.flatnonzero(evaluation.true != evaluation.predicted)
    if not len(wrong):
        return "<p>None: all test images are right.</p>"
    sure = evaluation.probabilities[wrong, evaluation.predicted[wrong]]
    shown = wrong[np.argsort(-sure, kind="stable")][:_MISTAKES]
    images = to_numpy(gather(test, shown.tolist())[0])
    cards = []
    for image, index in zip(images, shown):
        true, said = evaluation.true[index], evaluation.predicted[index]
        chances = evaluation.probabilities[index]
        file = file_of(test, int(index))
        inside = file is not None and Path(file).is_relative_to(root)
        where = (
            f"test image {index}" if file is None else str(Path(file).relative_to(root) if inside else file)
        )
        words = [
            f"said <b>{text(evaluation.classes[said])}</b> {100 * chances[said]:.1f} %",
            f"true <b>{text(evaluation.classes[true])}</b> {100 * chances[true]:.1f} %",
            f'<span class="file">{text(printable(where))}</span>',
        ]
        small = ' class="small"' if max(image.shape[-2:]) < _TINY else ""
        cards.append(
            f'<figure><img{small} alt="{text(printable(where))}" src="{data_uri("png", png_of(image))}">'
            f"<figcaption>{'<br>'.join(words)}</figcaption></figure>"
        )
    lead = f"<p>{len(wrong):,} of {len(evaluation.true):,} test images are taken for another class"
    lead += f"; these {len(shown)} with most confidence.</p>" if len(shown) < len(wrong) else ".</p>"
    return f'{lead}<div class="mistakes">{"".join(cards)}</div>'


def _share(part: Any, whole: Any) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    parts = [f"{hours} h"] * (hours > 0) + [f"{rest // 60} min"] * (hours > 0 or rest >= 60)
    return " ".join(parts if hours else [*parts, f"{rest % 60} s"])


def _settings(report: Report) -> dict[str, str]:
    """The settings that this run has, and what the table's target is where that was found out."""
    settings, data = report.description.settings.shown(), report.data
    if isinstance(data, Table):
        task = "classification" if data.classes else "regression"
        settings |= {"target": data.target_name, "task": task}
        if not data.classes:
            del settings["label_smoothing"]
    return {name: _setting(value) for name, value in settings.items() if value is not None}


def _setting(value: Any) -> str:
    return printable(f"{value:g}" if isinstance(value, float) else str(value))
