"""Pictures of numbers that were predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ShapeError
from xpnn.viz.style import FAINT, Figure, colour, finished, new_figure, numbers, styled

_MOST_POINTS = 5000


@styled
def plot_predictions(
    true: Any, predicted: Any, path: str | Path | None = None, name: str = "", title: str = ""
) -> Figure:
    """Draw predicted numbers against the true ones; what is right lies on the line.

    Args:
        true, predicted: (N,) numbers of any library; of more than 5000, evenly chosen ones are drawn.
        path: the file; its ending gives the format. None writes none.
        name: what the numbers are. title: stands above.

    Returns: the matplotlib Figure. Raises: ShapeError for other than as many predictions as numbers.

    >>> plot_predictions([1, 2, 3], [1.1, 2.2, 2.9], name="price").axes[0].get_xlabel()
    'true price'
    """
    true, predicted = numbers(true), numbers(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or not len(true):
        raise ShapeError(
            f"expects as many predictions as numbers, got shapes {predicted.shape} and {true.shape}",
            subject="plot_predictions",
        )
    step = -(-len(true) // _MOST_POINTS)
    true, predicted = true[::step], predicted[::step]
    figure = new_figure(4.8, 4.4)
    axes = figure.subplots()
    ends = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    axes.plot(ends, ends, color=FAINT, linewidth=2, zorder=1)
    size = float(np.clip(600 / np.sqrt(len(true)) / 4, 6, 30))
    axes.scatter(true, predicted, s=size, color=colour(0), alpha=0.6, linewidth=0, zorder=2)
    axes.set(xlabel=f"true {name}".strip(), ylabel=f"predicted {name}".strip())
    axes.xaxis.get_major_locator().set_params(nbins=5)
    axes.grid(True)
    return finished(figure, path, title)
