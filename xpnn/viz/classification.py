"""How well a classifier does: confusion matrix, ROC and precision-recall curves, decision regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import no_grad, tensor
from xpnn.backend import ArgumentError, ShapeError, to_numpy
from xpnn.metrics import auc, average_precision, precision_recall_curve, roc_curve
from xpnn.viz.style import (
    INK,
    MARKERS,
    SEQUENTIAL,
    Figure,
    colour,
    finished,
    line_style,
    new_figure,
    numbers,
    styled,
)

_CELLS = 30  # with up to as many classes, counts are written into the cells
_LONG = 3  # longer class names are written at a slant
_SHOWN_NAME = 24  # characters of a class name


@styled
def plot_confusion_matrix(
    matrix: Any,
    path: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw a confusion matrix: counts in the cells, coloured by the fraction of the row's true class.

    Args:
        matrix: (C, C) counts of any library, true classes in rows.
        path: the file; its ending gives the format. None writes none.
        class_names: C names; by default the numbers.
        title: stands above; by default how many samples are right.

    Returns: the matplotlib Figure. Raises: ShapeError if the matrix is not square or has not as many rows as
    there are names; MissingDependencyError without matplotlib.

    >>> plot_confusion_matrix([[9, 1], [0, 10]], class_names=["cat", "dog"]).axes[0].get_title(loc="left")
    '19 of 20 right (95.0 %)'
    """
    counts = to_numpy(matrix)
    size = counts.shape[0] if counts.ndim else 0
    names = [_short(str(name)) for name in (range(size) if class_names is None else class_names)]
    if counts.shape != (size, size) or len(names) != size or not size:
        raise ShapeError(
            f"expects a (C, C) matrix and C class names, got shape {counts.shape} and {len(names)} names",
            subject="plot_confusion_matrix",
        )
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    slanted = max(map(len, names)) > _LONG
    side = min(max(3.2, 0.46 * size + 1.4), 14)
    figure = new_figure(side + 0.4, side)
    axes = figure.subplots()
    # The square root lets rare confusions be seen beside the many that are right.
    axes.imshow(np.sqrt(fractions), cmap=SEQUENTIAL, vmin=0, vmax=1)
    small = {"fontsize": 10 if size <= _CELLS else 6}
    axes.set_xticks(
        range(size), names, rotation=45 if slanted else 0, ha="right" if slanted else "center", **small
    )
    axes.set_yticks(range(size), names, **small)
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    right, total = np.trace(counts), counts.sum()
    summary = f"{right:g} of {total:g} right ({100 * right / max(total, 1):.1f} %)"
    axes.set(xlabel="predicted", ylabel="true", title=title or summary)
    if size <= _CELLS:
        text = {"ha": "center", "va": "center", "fontsize": 9 if counts.max() < 1000 else 7.5}
        for (row, column), count in np.ndenumerate(counts):
            if count:
                ink = "white" if fractions[row, column] > 0.36 else INK
                axes.text(column, row, f"{count:g}", color=ink, **text)
    return finished(figure, path)


@styled
def plot_roc(
    scores: Any,
    targets: Any,
    path: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "Receiver operating characteristic",
) -> Figure:
    """Draw the rate of true positives against that of false ones for all thresholds, with the area below.

    Args:
        scores: (N,) scores of class 1; or (N, C), of which each class is drawn against all others.
        targets: (N,) labels: 0 and 1 for scores (N,), else classes 0 to C - 1.
        path, title: as for `plot_confusion_matrix`. class_names: C names; by default the numbers.

    Returns: the matplotlib Figure. Raises: ShapeError for other shapes.

    >>> plot_roc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).axes[0].lines[0].get_label()
    'area 0.750'
    """
    figure = new_figure(4.8, 4.8)
    axes = figure.subplots()
    for number, (name, score, positive) in enumerate(
        _against_others(scores, targets, class_names, "plot_roc")
    ):
        x, y, _ = roc_curve(score, positive)
        label = f"{name}area {float(auc(x, y)):.3f}"
        axes.plot(x, y, linewidth=1.8, label=label, **line_style(number))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":", label="_by chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _unit_square(axes, "lower right")
    return finished(figure, path, title)


@styled
def plot_precision_recall(
    scores: Any,
    targets: Any,
    path: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "Precision and recall",
) -> Figure:
    """Draw the precision against the recall for all thresholds, with the average precision.

    Args:
        scores, targets, path, class_names, title: as for `plot_roc`.

    >>> plot_precision_recall([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).axes[0].lines[0].get_label()
    'average precision 0.833'
    """
    figure = new_figure(4.8, 4.8)
    axes = figure.subplots()
    classes = _against_others(scores, targets, class_names, "plot_precision_recall")
    for number, (name, score, positive) in enumerate(classes):
        precision, recall, _ = precision_recall_curve(score, positive)
        label = f"{name}average precision {float(average_precision(score, positive)):.3f}"
        # A precision holds from its own recall down to the next lower one.
        axes.step(recall, precision, where="post", linewidth=1.8, label=label, **line_style(number))
    axes.set(xlabel="recall", ylabel="precision")
    _unit_square(axes, "lower left")
    return finished(figure, path, title)


@styled
def plot_decision_regions(
    model: Callable[[Any], Any],
    points: Any,
    target: Any,
    path: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "Decision regions",
    resolution: int = 300,
    labels: Sequence[str] = ("x1", "x2"),
) -> Figure:
    """Draw which class a model gives to each point of the plane, and the points that it was trained on.

    Args:
        model: takes a float32 Tensor of points (N, 2) on the current backend; gives scores (N, C), or (N,) or
            (N, 1), where class 1 is above 0 (logits). A Module is best in evaluation mode.
        points: (N, 2). target: (N,) their classes 0 to C - 1.
        path, class_names, title: as for `plot_confusion_matrix`.
        resolution: points of the grid along each axis.
        labels: the names of the two axes.

    Returns: the matplotlib Figure. Raises: ShapeError for points that are not in the plane.

    >>> figure = plot_decision_regions(lambda x: x[:, 0], [[-1.0, 0.0], [1.0, 0.0]], [0, 1])
    >>> len(figure.axes[0].collections) > 2
    True
    """
    at, truth = numbers(points), to_numpy(target).astype(int).reshape(-1)
    if at.ndim != 2 or at.shape[1] != 2 or len(truth) != len(at) or not len(at):
        raise ShapeError(
            f"expects points (N, 2) and targets (N,), got shapes {at.shape} and {truth.shape}",
            subject="plot_decision_regions",
        )
    if not np.isfinite(at).all() or truth.min() < 0:
        raise ArgumentError("expects finite points, and classes from 0 on", subject="plot_decision_regions")
    low, high = at.min(axis=0), at.max(axis=0)
    margin = 0.12 * np.maximum(high - low, 1e-3)
    low, high = low - margin, high + margin
    x, y = (np.linspace(low[axis], high[axis], resolution) for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    with no_grad():
        scores = to_numpy(model(tensor(grid)))
    binary = scores.ndim == 1 or scores.shape[1] == 1
    given = (scores.reshape(-1) > 0).astype(int) if binary else scores.argmax(axis=1)
    classes = max(2 if binary else scores.shape[1], truth.max() + 1)
    names = [str(name) for name in (range(classes) if class_names is None else class_names)]
    if len(names) != classes:
        raise ArgumentError(
            f"expects {classes} class names, got {len(names)}", subject="plot_decision_regions"
        )
    figure = new_figure(5.6, 4.6)
    axes = figure.subplots()
    regions = given.reshape(resolution, resolution)
    levels = np.arange(classes + 1) - 0.5
    axes.contourf(x, y, regions, levels=levels, colors=[colour(n) for n in range(classes)], alpha=0.22)
    for label in np.unique(regions) if len(np.unique(regions)) > 1 else ():
        axes.contour(x, y, regions == label, levels=[0.5], colors=[INK], linewidths=0.8)
    for label in range(classes):
        mine = at[truth == label]
        axes.scatter(
            *mine.T, s=24, color=colour(label), marker=MARKERS[label % len(MARKERS)], edgecolor="white",
            linewidth=0.6, label=names[label], zorder=3,
        )  # fmt: skip
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.legend(title="class", loc="center left", bbox_to_anchor=(1.01, 0.5))
    return finished(figure, path, title)


def _against_others(
    scores: Any, targets: Any, class_names: Sequence[str] | None, subject: str
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For each class: its name in the legend, its scores, and which samples are of it."""
    scores, targets = numbers(scores), to_numpy(targets).reshape(-1)
    if scores.ndim not in (1, 2) or len(scores) != len(targets) or not len(targets):
        raise ShapeError(
            f"expects scores (N,) or (N, C) and targets (N,), got shapes {scores.shape} and {targets.shape}",
            subject=subject,
        )
    if scores.ndim == 1:
        yield "", scores, (targets == 1).astype(np.int64)
        return
    names = range(scores.shape[1]) if class_names is None else class_names
    if len(names) != scores.shape[1]:
        raise ArgumentError(f"expects {scores.shape[1]} class names, got {len(names)}", subject=subject)
    for label, name in enumerate(names):
        yield f"{_short(str(name))}: ", scores[:, label], (targets == label).astype(np.int64)


def _unit_square(axes: Any, legend: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set_aspect("equal")
    axes.grid(True)
    axes.legend(loc=legend, fontsize=8.5)


def _short(name: str) -> str:
    """A class name that fits beside an axis."""
    return name if len(name) <= _SHOWN_NAME else f"{name[: _SHOWN_NAME - 1]}…"
