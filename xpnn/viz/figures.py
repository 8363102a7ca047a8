"""The pictures of a run as files, for those who want no Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xpnn.viz.classification import plot_confusion_matrix
from xpnn.viz.curves import plot_curves
from xpnn.viz.sheets import plot_images


def save_curve(
    history: Mapping[str, Sequence[Any]],
    path: str | Path,
    metrics: Sequence[str] = ("loss", "accuracy"),
    title: str = "",
) -> Path:
    """Write what `plot_curves` draws to a file; returns its path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_curve({"train_loss": [2.3, 0.9], "val_loss": [1.2, 0.8]}, f"{folder}/curve.png").name
    'curve.png'
    """
    plot_curves(history, path, metrics, title)
    return Path(path)


def save_confusion_matrix(
    matrix: Any, path: str | Path, class_names: Sequence[str] | None = None, title: str = ""
) -> Path:
    """Write what `plot_confusion_matrix` draws to a file; returns its path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_confusion_matrix([[9, 1], [0, 10]], f"{folder}/matrix.png", ["cat", "dog"]).name
    'matrix.png'
    """
    plot_confusion_matrix(matrix, path, class_names, title)
    return Path(path)


def save_image_sheet(
    images: Any, path: str | Path, titles: Sequence[str] | None = None, columns: int = 8, title: str = ""
) -> Path:
    """Write what `plot_images` draws to a file; returns its path.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image_sheet(np.zeros((1, 1, 8, 8)), f"{folder}/wrong.png", ["true 3, said 8"]).name
    'wrong.png'
    """
    plot_images(images, path, titles, columns, title)
    return Path(path)
