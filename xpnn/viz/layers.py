"""What is inside of a network: weights, feature maps, attention, histograms of activations and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import Tensor, backward, no_grad
from xpnn.backend import ArgumentError, ShapeError, is_array, to_numpy
from xpnn.nn import Module
from xpnn.viz.sheets import smoothing
from xpnn.viz.style import DIVERGING, INK, SEQUENTIAL, Figure, colour, finished, new_figure, numbers, styled

_BINS = 60
_MOST = 64  # maps or kernels of a figure
_COLUMNS = 8
_PANELS = 4  # histograms in a row
_WRITTEN = 12  # with up to as many keys, attention weights are written into the cells


@styled
def plot_weights(
    weight: Any, path: str | Path | None = None, title: str = "Weights", columns: int = _COLUMNS
) -> Figure:
    """Draw the kernels of a convolution, or a weight matrix, on a scale with zero in its middle.

    Args:
        weight: (out, in, kh, kw): of one input channel each kernel is drawn, of three as a colour image, of
            more its mean over them; (out, in), which is drawn whole; or a module that has such a `weight`.
        path: the file; its ending gives the format. None writes none.
        title: stands above. columns: kernels in a row.

    Returns: the matplotlib Figure. Raises: ShapeError for a weight of other dimensions.

    >>> len([axes for axes in plot_weights(np.ones((6, 1, 3, 3))).axes if axes.images])
    6
    """
    array = to_numpy(getattr(weight, "weight", weight)).astype(np.float64)
    if array.ndim not in (2, 4) or not array.size:
        raise ShapeError(
            f"expects a weight (out, in, kh, kw) or (out, in), got shape {array.shape}",
            subject="plot_weights",
        )
    largest = float(np.abs(array).max()) or 1.0
    if array.ndim == 2:
        figure = new_figure(
            min(max(3.5, 0.05 * array.shape[1] + 1.5), 12), min(max(2.6, 0.05 * len(array) + 1), 9)
        )
        axes = figure.subplots()
        drawn = axes.imshow(
            array, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto"
        )
        axes.set(xlabel="input", ylabel="output")
        figure.colorbar(drawn, ax=axes, label="weight")
        return finished(figure, path, title)
    if array.shape[1] == 3:
        images = list((array / largest + 1).transpose(0, 2, 3, 1) / 2)
        return _maps(images, path, title, columns, None, "")
    images = list(array.mean(axis=1))
    largest = float(np.abs(images).max()) or 1.0
    return _maps(images, path, title, columns, (DIVERGING, -largest, largest), "weight")


@styled
def plot_feature_maps(
    maps: Any, path: str | Path | None = None, title: str = "Feature maps", columns: int = _COLUMNS
) -> Figure:
    """Draw the channels of an activation beside each other, on one scale.

    Args:
        maps: (C, H, W), or (N, C, H, W), of which the first entry is drawn; the first 64 channels.
        path, title, columns: as for `plot_weights`.

    Raises: ShapeError for an activation of other dimensions.

    >>> plot_feature_maps(np.random.rand(4, 6, 6)).axes[0].get_title()
    '0'
    """
    array = numbers(maps)
    array = array[0] if array.ndim == 4 and len(array) else array
    if array.ndim != 3 or not array.size:
        raise ShapeError(
            f"expects maps (C, H, W) or (N, C, H, W), got shape {array.shape}", subject="plot_feature_maps"
        )
    low, high = float(array.min()), float(array.max())
    if low < 0 < high:
        high = max(high, -low)
        return _maps(list(array), path, title, columns, (DIVERGING, -high, high), "activation")
    return _maps(list(array), path, title, columns, ("viridis", low, high), "activation")


@styled
def plot_attention(
    weights: Any,
    path: str | Path | None = None,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    title: str = "Attention",
) -> Figure:
    """Draw how much each query attends to each key: a panel for each head.

    Args:
        weights: (queries, keys), or (heads, queries, keys), in [0, 1].
        queries, keys: their names, such as the words; by default numbers.
        path, title: as for `plot_weights`.

    Raises: ShapeError for weights of other dimensions, or other than as many names.

    >>> plot_attention(np.eye(3), keys=["a", "b", "c"]).axes[0].get_xlabel()
    'key'
    """
    array = numbers(weights)
    array = array[None] if array.ndim == 2 else array
    sizes = array.shape[-2:]
    names = [
        [str(name) for name in (range(size) if given is None else given)]
        for given, size in zip((queries, keys), sizes)
    ]
    if array.ndim != 3 or not array.size or tuple(map(len, names)) != sizes:
        raise ShapeError(
            f"expects weights (queries, keys) or (heads, queries, keys) and a name for each, got shape "
            f"{array.shape}, {len(names[0])} and {len(names[1])} names",
            subject="plot_attention",
        )
    heads = len(array)
    columns = min(heads, 4)
    rows = math.ceil(heads / columns)
    largest = 7 if heads == 1 else 2.6
    side = [
        max(1.9, min(0.3 * size, largest)) + 0.055 * max(map(len, name)) for size, name in zip(sizes, names)
    ]
    figure = new_figure(columns * (side[1] + 0.6) + 0.8, rows * (side[0] + 0.7) + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[heads:]:
        axes.set_axis_off()
    for head, axes in enumerate(grid.flat[:heads]):
        drawn = axes.imshow(array[head], cmap=SEQUENTIAL, vmin=0, vmax=array.max(), aspect="equal")
        step = [max(1, math.ceil(size / (4 * largest))) for size in sizes]
        long = max(map(len, names[1])) > 2
        axes.set_xticks(range(0, sizes[1], step[1]), names[1][:: step[1]], rotation=60 if long else 0)
        axes.set_yticks(range(0, sizes[0], step[0]), names[0][:: step[0]])
        axes.set(xlabel="key", ylabel="query", title=f"head {head}" if heads > 1 else "")
        axes.tick_params(labelsize=8, length=2)
        if max(sizes) <= _WRITTEN and heads == 1:
            for (query, key), value in np.ndenumerate(array[head]):
                ink = "white" if value > 0.6 * array.max() else INK
                axes.text(key, query, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=ink)
    figure.colorbar(drawn, ax=grid, label="attention weight", shrink=0.8)
    return finished(figure, path, title)


@styled
def plot_histograms(
    values: Mapping[str, Any], path: str | Path | None = None, title: str = "", xlabel: str = "value"
) -> Figure:
    """Draw a histogram for each of some arrays, with mean, standard deviation and the share of zeros.

    Args:
        values: an array of any shape under each name, such as `activations` or `gradients` give them. What is
            not finite is counted in the panel's title.
        path, title: as for `plot_weights`. xlabel: of all panels.

    Raises: ArgumentError for no arrays.

    >>> figure = plot_histograms({"0 (ReLU)": np.array([0.0, 0.0, 1.0, 3.0])})
    >>> figure.axes[0].texts[0].get_text()
    'mean 1\\nstd 1.22\\nzero 50 %'
    """
    if not values:
        raise ArgumentError("expects at least one array, got none", subject="plot_histograms")
    columns = min(len(values), _PANELS)
    rows = math.ceil(len(values) / columns)
    figure = new_figure(2.9 * columns + 0.4, 2.3 * rows + (0.4 if title else 0.1))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(values) :]:
        axes.set_axis_off()
    for axes, (name, array) in zip(grid.flat, values.items()):
        flat = numbers(array).reshape(-1)
        sound = flat[np.isfinite(flat)]
        broken = f": {len(flat) - len(sound)} not finite" if len(sound) < len(flat) else ""
        axes.set_title(f"{_cut(name)}{broken}", fontsize=9)
        axes.set_xlabel(xlabel, fontsize=8.5)
        axes.set_ylabel("count", fontsize=8.5)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=5)
        if not len(sound):
            continue
        axes.hist(sound, bins=_BINS, color=colour(0))
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        with np.errstate(over="ignore"):
            spread = sound.std()
        said = f"mean {sound.mean():.3g}\nstd {spread:.3g}\nzero {100 * np.mean(sound == 0):.0f} %"
        axes.text(
            0.98, 0.96, said, transform=axes.transAxes, ha="right", va="top", fontsize=7.5,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    return finished(figure, path, title)


def activations(model: Module, *inputs: Any) -> dict[str, np.ndarray]:
    """What each layer returns for an input, by its name: "features.0 (Conv2d)".

    Args:
        model: runs in the mode that it is in, without a tape.
        inputs: what it is called with.

    Returns: arrays on the host, in the order in which the layers ran; of a layer that ran several times the
    last. Layers are modules without parts.

    >>> from xpnn import nn
    >>> list(activations(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), Tensor([[1.0, 2.0]])))
    ['0 (Linear)', '1 (ReLU)']
    """
    found: dict[str, np.ndarray] = {}

    def watch(name: str) -> Callable[..., None]:
        def keep(module: Module, args: tuple, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if is_array(first):
                found.pop(name, None)
                found[name] = to_numpy(first)

        return keep

    layers = [(n, m) for n, m in model.named_modules() if not any(True for _ in m.children())]
    handles = [m.register_forward_hook(watch(f"{n} ({type(m).__name__})".strip())) for n, m in layers]
    try:
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def gradients(model: Module, loss: Tensor | None = None) -> dict[str, np.ndarray]:
    """The gradient of each parameter, by its name.

    Args:
        model: whose parameters they are.
        loss: is differentiated first, which adds to `.grad`; None takes what is there.

    Raises: ArgumentError if no parameter has a gradient.

    >>> from xpnn import nn
    >>> model = nn.Linear(2, 1)
    >>> sorted(gradients(model, model(Tensor([[1.0, 2.0]])).sum()))
    ['bias', 'weight']
    """
    if loss is not None:
        backward(loss)
    found = {name: to_numpy(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    if not found:
        raise ArgumentError(
            "finds no gradient", subject="gradients", hint="Call loss.backward() first, or pass the loss"
        )
    return found


def _maps(
    images: list[np.ndarray],
    path: str | Path | None,
    title: str,
    columns: int,
    scale: tuple[str, float, float] | None,
    label: str,
) -> Figure:
    """Numbered images in rows, on one scale, which stands beside them."""
    hidden = len(images) - _MOST
    images = images[:_MOST]
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    shape = images[0].shape
    figure = new_figure(1.05 * columns + 1.2, (1.0 * shape[0] / shape[1] + 0.22) * rows + 0.55)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    options = {} if scale is None else dict(zip(("cmap", "vmin", "vmax"), scale))
    for number, (axes, image) in enumerate(zip(grid.flat, images)):
        how = smoothing(image if image.ndim == 2 else image.transpose(2, 0, 1))
        drawn = axes.imshow(image, interpolation=how, **options)
        axes.set_title(str(number), fontsize=8, fontweight="normal", loc="center", pad=2)
    if scale is not None:
        figure.colorbar(drawn, ax=grid, label=label, shrink=0.9)
    return finished(figure, path, f"{title} (the first {_MOST} of {_MOST + hidden})" if hidden > 0 else title)


def _cut(name: str) -> str:
    return name if len(name) <= 30 else f"…{name[-29:]}"
