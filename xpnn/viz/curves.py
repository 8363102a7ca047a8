"""Curves: what a run measures over its epochs, several runs beside each other, learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, ShapeError
from xpnn.optim import SGD
from xpnn.viz.style import INK, Figure, colour, finished, line_style, log_scale, new_figure, numbers, styled

_MARKED = 25  # with up to as many epochs, each one is marked by a dot
_FAR = 3  # an outlier is so many times the height of the smoothed curves away from them
_SETTLED = 4  # points of a curve that say what an outlier is


@styled
def plot_curves(
    history: Mapping[str, Sequence[Any]],
    path: str | Path | None = None,
    metrics: Sequence[str] = ("loss", "accuracy"),
    title: str = "",
    log: bool = False,
) -> Figure:
    """Draw measures against the epoch, one panel for each, with a line for each part of the data.

    A few points far away from all others do not press the curves flat: they are marked by an arrow at the
    edge, with their value. NaN and infinities are crosses at the foot.

    Args:
        history: a list of one number per epoch under each name; `loss`, `train_loss` and `val_loss` share the
            panel "loss". A list under `epoch` gives the epochs, which else are 1, 2, ... None is left out.
        path: the file; its ending gives the format. None writes none.
        metrics: the panels, from left to right; those that the history lacks are left out.
        title: stands above the panels.
        log: a logarithmic axis for the measures.

    Returns: the matplotlib Figure. Raises: ArgumentError if the history holds none of the metrics;
    MissingDependencyError without matplotlib.

    >>> figure = plot_curves({"train_loss": [2.3, 0.9], "val_loss": [1.2, 0.8]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['train', 'val']
    """
    panels = {metric: [name for name in history if _measures(name, metric)] for metric in metrics}
    panels = {metric: names for metric, names in panels.items() if names}
    if not panels:
        raise ArgumentError(
            f"expects a history with one of {', '.join(metrics)}, got {', '.join(history) or 'an empty one'}",
            subject="plot_curves",
        )
    figure = new_figure(4.6 * len(panels), 3.4)
    for axes, (metric, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        _draw_lines(axes, {_part(name, metric): _series(history, name) for name in names}, log)
        axes.set(title=_words(metric).capitalize(), xlabel="epoch", ylabel=_words(metric))
    return finished(figure, path, title)


@styled
def plot_runs(
    histories: Mapping[str, Mapping[str, Sequence[Any]]],
    path: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    title: str = "",
    log: bool = False,
) -> Figure:
    """Draw several runs into one figure: a panel for each measure, a line for each run.

    Args:
        histories: a history under the name of each run (see `plot_curves`).
        metrics: the measures by their full names ("val_loss"); by default loss and accuracy, of the
            validation where a run has it.
        path, title, log: as for `plot_curves`.

    Returns: the matplotlib Figure. Raises: ArgumentError if no run has one of the measures.

    >>> figure = plot_runs({"a": {"val_loss": [2.0, 1.0]}, "b": {"val_loss": [2.0, 0.5]}})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['a', 'b']
    """
    known = list(dict.fromkeys(name for history in histories.values() for name in history))
    if metrics is None:
        metrics = [
            next((f"{part}_{metric}" for part in ("val", "test") if f"{part}_{metric}" in known), metric)
            for metric in ("loss", "accuracy")
        ]
    panels = [metric for metric in metrics if metric in known]
    if not panels:
        raise ArgumentError(
            f"expects runs with one of {', '.join(metrics)}, got {', '.join(known) or 'none'}",
            subject="plot_runs",
        )
    figure = new_figure(4.8 * len(panels), 3.6)
    for axes, metric in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        lines = {run: _series(history, metric) for run, history in histories.items() if metric in history}
        _draw_lines(axes, lines, log)
        axes.set(title=_words(metric).capitalize(), xlabel="epoch", ylabel=_words(metric))
    return finished(figure, path, title)


def learning_rates(schedule: Callable[[Any], Any], steps: int, lr: float = 0.1) -> list[float]:
    """The learning rate at each step of a schedule.

    Args:
        schedule: makes it for an optimizer: `lambda o: StepLR(o, 30)`.
        steps: how many. lr: that of the optimizer.

    >>> from xpnn.optim import StepLR
    >>> learning_rates(lambda o: StepLR(o, step_size=2, gamma=0.5), 4, lr=1.0)
    [1.0, 1.0, 0.5, 0.5]
    """
    optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=lr)
    made = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(made.get_last_lr()[0]))
        optimizer.step()
        made.step()
    return rates


@styled
def plot_schedules(
    schedules: Mapping[str, Any],
    path: str | Path | None = None,
    title: str = "Learning rate",
    log: bool = False,
) -> Figure:
    """Draw learning rates against the step.

    Args:
        schedules: the learning rate at each step under each name: a list, as `learning_rates` gives it.
        path, title, log: as for `plot_curves`.

    >>> plot_schedules({"step": [0.1, 0.1, 0.01]}).axes[0].get_xlabel()
    'step'
    """
    if not schedules:
        raise ArgumentError("expects at least one schedule, got none", subject="plot_schedules")
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for number, (name, rates) in enumerate(schedules.items()):
        rates = numbers(rates)
        style = {"drawstyle": "steps-post", "linewidth": 1.8, **line_style(number)}
        axes.plot(np.arange(len(rates)), rates, label=name, **style)
    axes.set(xlabel="step", ylabel="learning rate")
    if log:
        log_scale(axes, "y")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(True)
    if len(schedules) > 1:
        axes.legend()
    return finished(figure, path, title)


@styled
def plot_lr_finder(
    rates: Any,
    losses: Any,
    path: str | Path | None = None,
    suggestion: float | None = None,
    title: str = "Learning-rate range test",
    log: bool = True,
    axes: Any = None,
) -> Figure:
    """Draw the loss against a growing learning rate; a loss that explodes does not press the curve flat.

    Args:
        rates: (N,) learning rates. losses: (N,) the loss at each.
        suggestion: a rate to mark.
        path, title: as for `plot_curves`.
        log: whether the axis of rates is logarithmic.
        axes: to draw into, instead of those of a new figure.

    Raises: ShapeError for other than as many rates as losses.

    >>> plot_lr_finder([1e-3, 1e-2, 1e-1], [2.3, 1.0, 9.0], suggestion=1e-2).axes[0].get_xscale()
    'log'
    """
    rates, losses = numbers(rates), numbers(losses)
    if rates.shape != losses.shape or rates.ndim != 1:
        raise ShapeError(
            f"expects as many losses as rates, got shapes {losses.shape} and {rates.shape}",
            subject="plot_lr_finder",
        )
    axes = new_figure(6, 3.6).subplots() if axes is None else axes
    axes.plot(rates, losses, linewidth=1.8, color=colour(0))
    if log:
        log_scale(axes, "x")
    axes.set(xlabel="learning rate", ylabel="loss")
    finite = losses[np.isfinite(losses)]
    if len(finite):
        low, start = finite.min(), np.median(finite[: max(len(finite) // 5, 1)])
        top = max(start + 0.6 * (start - low), low + 1e-6)
        if finite.max() > top:
            axes.set_ylim(low - 0.06 * (top - low), top)
    if suggestion is not None:
        axes.axvline(suggestion, color=colour(1), linestyle="--", linewidth=1.5)
        axes.annotate(
            f"{suggestion:.2g}", (suggestion, 0.97), xycoords=("data", "axes fraction"), xytext=(5, 0),
            textcoords="offset points", va="top", color=colour(1), fontweight="bold",
        )  # fmt: skip
    axes.grid(True)
    return finished(axes.figure, path, title)


def robust_limits(curves: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """The lowest and highest value to show of some curves, without what stands far outside of all of them.

    A point is far outside if it is more than three times the height of the median-filtered curves away from
    them. Returns: None where there is nothing finite.
    """
    finite = [y[np.isfinite(y)] for y in curves]
    every = np.concatenate(finite) if finite else np.empty(0)
    if not len(every):
        return None
    smooth = np.concatenate([_median_filtered(y) for y in finite])
    low, high = smooth.min(), smooth.max()
    reach = _FAR * (high - low) or 0.5 * abs(high) or 1.0
    near = every[(every >= low - reach) & (every <= high + reach)]
    return float(near.min()), float(near.max())


def _median_filtered(y: np.ndarray) -> np.ndarray:
    """Medians over five neighbours, less at the ends; a short curve as it is."""
    if len(y) < _SETTLED:
        return y
    return np.array([np.median(y[max(i - 2, 0) : i + 3]) for i in range(len(y))])


def _draw_lines(axes: Any, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], log: bool) -> None:
    """Lines with robust limits; what is outside of them, or not finite, is marked at the edge."""
    limits = robust_limits([y for _, y in lines.values()])
    for number, (name, (x, y)) in enumerate(lines.items()):
        few = len(y) <= _MARKED
        style = {**line_style(number), "marker": "o" if few else "", "markersize": 3.5, "linewidth": 1.7}
        axes.plot(x, y, label=name, **style)
    if log:
        log_scale(axes, "y")
    elif limits is not None:
        low, high = limits
        pad = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
        axes.set_ylim(low - pad, high + pad)
        for number, (x, y) in enumerate(lines.values()):
            _mark_outside(axes, x, y, limits, number)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True)
    if len(lines) > 1:
        axes.legend(loc="best", fontsize=9)


def _mark_outside(axes: Any, x: np.ndarray, y: np.ndarray, limits: tuple[float, float], number: int) -> None:
    """Arrows at the top and bottom edge, with the values, and crosses at the foot for NaN and infinities."""
    (low, high), ink = limits, colour(number)
    with np.errstate(invalid="ignore"):
        outside = np.isfinite(y) & ((y < low) | (y > high))
    for epoch, value in zip(x[outside], y[outside]):
        above = value > high
        step = -0.07 if above else 0.07  # several lines may leave at the same epoch
        at = (epoch, (0.985 if above else 0.015) + step * number)
        axes.plot(
            *at, "^" if above else "v", color=ink, markersize=7, transform=axes.get_xaxis_transform(),
            clip_on=False, label="_outside",
        )  # fmt: skip
        axes.annotate(
            f"{value:.4g}", at, xytext=(7, 0), va="center", fontsize=8, color=ink,
            xycoords=("data", "axes fraction"), textcoords="offset points",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip
    broken = ~np.isfinite(y)
    if broken.any():
        axes.plot(
            x[broken], np.full(broken.sum(), 0.015), "x", color=INK, markersize=6, clip_on=False,
            transform=axes.get_xaxis_transform(), label="_not finite",
        )  # fmt: skip


def _series(history: Mapping[str, Sequence[Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values of a measure, where it was taken."""
    values = list(history[name])
    epochs = list(history.get("epoch", ()))[: len(values)]
    if len(epochs) != len(values):
        epochs = list(range(1, len(values) + 1))
    taken = [i for i, value in enumerate(values) if value is not None]
    if any(isinstance(values[i], list | tuple) for i in taken):
        raise ArgumentError(f"draws one number for each epoch; '{name}' has several", subject="A curve")
    return numbers([epochs[i] for i in taken]), numbers([values[i] for i in taken])


def _measures(name: str, metric: str) -> bool:
    return name == metric or name.endswith(f"_{metric}")


def _part(name: str, metric: str) -> str:
    return name.removesuffix(metric).rstrip("_") or "train"


def _words(metric: str) -> str:
    return "learning rate" if metric == "lr" else metric.replace("_", " ")
