"""Optimizers on a valley: where each of them goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, ShapeError, asarray, to_numpy
from xpnn.viz.style import INK, MARKERS, Figure, finished, line_style, new_figure, numbers, styled

_GRID = 200  # points of the ground along each axis
_LEVELS = 24
_FAR = 1.5  # a path that leaves the ground by so many of its widths is cut


def optimizer_path(
    function: Callable[[Any], Any],
    optimizer: Callable[[list[Tensor]], Any],
    start: Sequence[float],
    steps: int = 100,
) -> np.ndarray:
    """The points that an optimizer comes to in the plane.

    Args:
        function: of a Tensor (2,), gives a Tensor of one element.
        optimizer: makes the optimizer for a list of parameters: `lambda p: optim.SGD(p, lr=0.1)`.
        start: two numbers. steps: how many.

    Returns: (steps + 1, 2) on the host; less if a point is not finite, which is left out.

    >>> from xpnn import optim
    >>> optimizer_path(lambda p: (p * p).sum(), lambda p: optim.SGD(p, lr=0.25), [1.0, 2.0], 2).tolist()
    [[1.0, 2.0], [0.5, 1.0], [0.25, 0.5]]
    """
    point = Tensor(asarray([float(x) for x in start]), requires_grad=True)
    if point.shape != (2,):
        raise ShapeError(f"expects a start of two numbers, got {len(start)}", subject="optimizer_path")
    rule = optimizer([point])

    def loss() -> Any:
        rule.zero_grad()
        value = function(point)
        value.backward()
        return value

    path = [to_numpy(point).copy()]
    for _ in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):  # a rate that is too high is worth a picture
            rule.step(loss)
        here = to_numpy(point).copy()
        if not np.isfinite(here).all():
            break
        path.append(here)
    return np.stack(path)


@styled
def plot_optimizer_paths(
    function: Callable[[Any], Any],
    paths: Mapping[str, Any],
    path: str | Path | None = None,
    title: str = "Optimizers",
    minimum: Sequence[float] | None = None,
    limits: tuple[float, float, float, float] | None = None,
) -> Figure:
    """Draw the ways of optimizers over the contours of a function of two numbers.

    Args:
        function: of a Tensor (2,), gives a Tensor of one element; or of a Tensor (2, N), gives (N,), which is
            quicker.
        paths: (steps + 1, 2) points under each name, as `optimizer_path` gives them.
        path: the file; its ending gives the format. None writes none.
        title: stands above. minimum: where a cross is drawn.
        limits: x from, x to, y from, y to; by default around all paths, without those that run far away.

    Raises: ArgumentError for no path.

    >>> figure = plot_optimizer_paths(lambda p: (p * p).sum(0), {"by hand": [[1.0, 2.0], [0.5, 1.0]]})
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'by hand: 1.25'
    """
    ways = {name: numbers(way) for name, way in paths.items()}
    if not ways:
        raise ArgumentError("expects at least one path, got none", subject="plot_optimizer_paths")
    for name, way in ways.items():
        if way.ndim != 2 or way.shape[1] != 2 or not len(way):
            raise ShapeError(
                f"expects paths (steps + 1, 2), got shape {way.shape} of '{name}'",
                subject="plot_optimizer_paths",
            )
    if limits is None:
        starts = np.concatenate([way[:1] for way in ways.values()] + ([] if minimum is None else [[minimum]]))
        every = np.concatenate(list(ways.values()))
        centre = starts.mean(axis=0)
        reach = _FAR * max(float(np.abs(starts - centre).max()), 0.5)
        near = every[(np.abs(every - centre) <= reach).all(axis=1)]
        corners = np.concatenate([near, starts])
        low, high = corners.min(axis=0), corners.max(axis=0)
        margin = 0.15 * np.maximum(high - low, 0.2 * (high - low).max() + 1e-6)
        limits = (low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1])
    x, y = np.linspace(*limits[:2], _GRID), np.linspace(*limits[2:], _GRID)
    ground = _heights(function, np.stack(np.meshgrid(x, y)).reshape(2, -1)).reshape(_GRID, _GRID)
    figure = new_figure(6.8, 4.8)
    axes = figure.subplots()
    # Levels at equal steps of the logarithm: a valley's floor is seen as well as its walls.
    height = np.log(ground - ground.min() + 1e-3 * (np.ptp(ground) or 1.0))
    axes.contourf(x, y, height, levels=_LEVELS, cmap="Greys", alpha=0.5)
    axes.contour(x, y, height, levels=_LEVELS, colors="white", linewidths=0.6)
    for number, (name, way) in enumerate(ways.items()):
        value = _heights(function, way[-1:].T)[0]
        axes.plot(
            *way.T, linewidth=1.6, marker=MARKERS[number % len(MARKERS)], markersize=4,
            markevery=max(1, len(way) // 12), label=f"{name}: {value:.3g}", **line_style(number),
        )  # fmt: skip
        axes.plot(*way[-1], MARKERS[number % len(MARKERS)], markersize=8, markeredgecolor="white",
                  color=line_style(number)["color"], label="_end")  # fmt: skip
    if minimum is not None:
        axes.plot(*minimum, "x", color=INK, markersize=9, markeredgewidth=2, label="minimum")
    axes.set(xlim=limits[:2], ylim=limits[2:], xlabel="x1", ylabel="x2")
    axes.legend(title="last value", loc="center left", bbox_to_anchor=(1.01, 0.5))
    return finished(figure, path, title)


def _heights(function: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
    """The function's values at points (2, N), at once where it takes them at once."""
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):
        together = to_numpy(function(Tensor(asarray(points.astype(np.float32)))))
        if together.shape == points.shape[1:]:
            return together.astype(np.float64)
        return np.array([float(function(Tensor(asarray(p.astype(np.float32)))).item()) for p in points.T])
