"""Figures of a training run: curves, confusion matrices, sheets of images, each as a PNG (or PDF, SVG) file.

They are drawn without pyplot, so that nothing of the caller's own figures, backend or style changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, ShapeError, errors_naming, optional_import, to_numpy
from xpnn.viz.images import make_grid, normalized

_INK = "#22262b"
_FAINT = "#d5d9de"
_LINES = ("#1f5fa8", "#d9622b", "#3a8f5c", "#8a4fa0")  # told apart with any colour vision, and in grey
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
}
_DOTS_PER_INCH = 160
_MARKED = 25  # with up to as many epochs, each one is marked by a dot
_CELLS = 30  # with up to as many classes, counts are written into the cells


def save_curve(
    history: Mapping[str, Sequence[float]],
    path: str | Path,
    metrics: Sequence[str] = ("loss", "accuracy"),
    title: str = "",
) -> Path:
    """Draw measures against the epoch, one panel for each, with a line for each part of the data.

    Args:
        history: a list of one number per epoch under each name; `loss`, `train_loss` and `val_loss` share the
            panel "loss". A list under `epoch` gives the epochs, which else are 1, 2, ...
        path: the file; its ending gives the format.
        metrics: the panels, from left to right; those that the history lacks are left out.
        title: stands above the panels.

    Returns: the file's path. Raises: ArgumentError if the history holds none of the metrics;
    MissingDependencyError without matplotlib.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_curve({"train_loss": [2.3, 0.9], "val_loss": [1.2, 0.8]}, f"{folder}/curve.png").name
    'curve.png'
    """
    panels = {metric: [name for name in history if _measures(name, metric)] for metric in metrics}
    panels = {metric: names for metric, names in panels.items() if names}
    if not panels:
        raise ArgumentError(
            f"expects a history with one of {', '.join(metrics)}, got {', '.join(history) or 'an empty one'}",
            subject="save_curve",
        )
    with _style():
        figure = _figure(4.6 * len(panels), 3.4)
        for axes, (metric, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
            for name, colour in zip(names, _LINES):
                values = [float(value) for value in history[name]]
                epochs = list(history.get("epoch", range(1, len(values) + 1)))[: len(values)]
                marker = "o" if len(values) <= _MARKED else ""
                label = name.removesuffix(metric).rstrip("_") or "train"
                axes.plot(
                    epochs, values, color=colour, marker=marker, markersize=3.5, linewidth=1.7, label=label
                )
            axes.set(title=metric.capitalize(), xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(True)
            if len(names) > 1:
                falls = history[names[0]][0] > history[names[0]][-1]
                axes.legend(loc="upper right" if falls else "lower right")
        return _save(figure, path, title)


def save_confusion_matrix(
    matrix: Any, path: str | Path, class_names: Sequence[str] | None = None, title: str = ""
) -> Path:
    """Draw a confusion matrix: counts in the cells, coloured by the fraction of the row's true class.

    Args:
        matrix: (C, C) counts of any library, true classes in rows.
        path: the file; its ending gives the format.
        class_names: C names; by default the numbers.
        title: stands above; by default how many samples are right.

    Returns: the file's path. Raises: ShapeError if the matrix is not square or has not as many rows as there
    are names; MissingDependencyError without matplotlib.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_confusion_matrix([[9, 1], [0, 10]], f"{folder}/matrix.png", ["cat", "dog"]).name
    'matrix.png'
    """
    counts = to_numpy(matrix)
    size = len(counts)
    names = [str(name) for name in (range(size) if class_names is None else class_names)]
    if counts.shape != (size, size) or len(names) != size:
        raise ShapeError(
            f"expects a (C, C) matrix and C class names, got shape {counts.shape} and {len(names)} names",
            subject="save_confusion_matrix",
        )
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    long_names = max(map(len, names)) > 3
    with _style():
        side = min(max(3.2, 0.46 * size + 1.4), 14)
        figure = _figure(side + 0.4, side)
        axes = figure.subplots()
        # The square root lets rare confusions be seen beside the many that are right.
        axes.imshow(np.sqrt(fractions), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(
            range(size), names, rotation=45 if long_names else 0, ha="right" if long_names else "center"
        )
        axes.set_yticks(range(size), names)
        axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        right, total = np.trace(counts), counts.sum()
        summary = f"{right:g} of {total:g} right ({100 * right / max(total, 1):.1f} %)"
        axes.set(xlabel="predicted", ylabel="true", title=title or summary)
        if size <= _CELLS:
            small = {"ha": "center", "va": "center", "fontsize": 9 if counts.max() < 1000 else 7.5}
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if fractions[row, column] > 0.36 else _INK
                    axes.text(column, row, f"{count:g}", color=colour, **small)
        return _save(figure, path)


def save_image_sheet(
    images: Any, path: str | Path, titles: Sequence[str] | None = None, columns: int = 8, title: str = ""
) -> Path:
    """Draw images in rows, each with a title of its own, such as "true 3, said 8".

    Args:
        images: (N, C, H, W) of any library, with one or three channels; floats are stretched together to
            the full range from black to white.
        path: the file; its ending gives the format.
        titles: N short texts; a comma in one breaks its line.
        columns: images in a row.
        title: stands above the sheet.

    Returns: the file's path. Raises: ArgumentError for no image, or other than N titles;
    MissingDependencyError without matplotlib.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image_sheet(np.zeros((1, 1, 8, 8)), f"{folder}/wrong.png", ["true 3, said 8"]).name
    'wrong.png'
    """
    images = to_numpy(images)
    titles = [""] * len(images) if titles is None else list(titles)
    if not len(images) or len(titles) != len(images):
        raise ArgumentError(
            f"expects images and a title for each, got {len(images)} images and {len(titles)} titles",
            subject="save_image_sheet",
        )
    if images.dtype != np.uint8:
        images = normalized(images)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    with _style():
        figure = _figure(1.05 * columns + 0.3, 1.45 * rows + (0.45 if title else 0.1))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, image, text in zip(grid.flat, images, titles):
            axes.imshow(make_grid(image, padding=0).transpose(1, 2, 0), interpolation="nearest")
            axes.set_title(text.replace(", ", "\n"), fontsize=8, fontweight="normal", loc="center", pad=3)
        return _save(figure, path, title)


def _measures(name: str, metric: str) -> bool:
    return name == metric or name.endswith(f"_{metric}")


def _style() -> Any:
    matplotlib = optional_import("matplotlib", extra="train")
    return matplotlib.rc_context(_STYLE)


def _figure(width: float, height: float) -> Any:
    """A figure in inches, drawn by Agg whatever backend the caller's pyplot has."""
    figure = optional_import("matplotlib.figure", extra="train").Figure(
        figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained"
    )
    optional_import("matplotlib.backends.backend_agg", extra="train").FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: str | Path, title: str = "") -> Path:
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    with errors_naming(path):
        figure.savefig(path, bbox_inches="tight", pad_inches=0.12)
    return Path(path)
