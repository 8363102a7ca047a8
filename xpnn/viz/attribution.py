"""What a network looks at: saliency, Grad-CAM, and the receptive field of an output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.autograd import Tensor, enable_grad, grad
from xpnn.backend import ArgumentError, ShapeError, asarray, is_tensor, optional_import, to_numpy
from xpnn.nn import Module
from xpnn.nn.summary import evaluating, inputs_of
from xpnn.viz.images import batch_of, normalized
from xpnn.viz.sheets import smoothing
from xpnn.viz.style import Figure, colour, finished, new_figure, numbers, styled

_HEAT = "inferno"
_SAMPLES = 8  # random inputs whose gradients are added up, so that no rectifier hides a cell by chance


def saliency(model: Module, images: Any, target: Any = None) -> np.ndarray:
    """How much each cell of an image changes the score of its class: max over channels of |dy/dx|.

    Args:
        model: gives scores (N, C); runs in evaluation mode.
        images: (N, channels, H, W). target: N classes; None takes the predicted ones.

    Returns: (N, H, W) on the host.

    See: Simonyan, Vedaldi & Zisserman (2014), "Deep inside convolutional networks".

    >>> from xpnn import nn
    >>> saliency(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), np.ones((1, 1, 2, 2), np.float32)).shape
    (1, 2, 2)
    """
    x = Tensor(images.detach() if is_tensor(images) else images, requires_grad=True)
    with evaluating(model), enable_grad():
        (slope,) = grad(_score(model(x), target), x)
    return np.abs(to_numpy(slope)).max(axis=1)


def grad_cam(model: Module, images: Any, layer: Module, target: Any = None) -> np.ndarray:
    """Where the evidence for a class is: ReLU of the sum over k of a_k A_k, where a_k is the mean of dy/dA_k.

    Args:
        model, images, target: as for `saliency`.
        layer: the module of the model whose output (N, K, h, w) the maps A are: usually the last convolution.

    Returns: (N, H, W) on the host, enlarged to the images by straight lines. The largest value of each is 1;
    where nothing speaks for the class there are zeros.

    Raises: ShapeError if the layer gives no maps; ArgumentError if the model does not run it.

    See: Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via gradient-based
    localization".
    """
    kept: list[Any] = []

    def keep(module: Module, args: tuple, output: Any) -> None:
        kept.append(output)

    handle = layer.register_forward_hook(keep)
    try:
        x = Tensor(images.detach() if is_tensor(images) else images, requires_grad=True)
        with evaluating(model), enable_grad():
            score = _score(model(x), target)
    finally:
        handle.remove()
    if not kept:
        raise ArgumentError("is not run by the model", subject=f"grad_cam's layer {type(layer).__name__}")
    maps = kept[-1]
    if maps.ndim != 4:
        raise ShapeError(
            f"expects a layer that gives maps (N, K, h, w), {type(layer).__name__} gives shape {maps.shape}",
            subject="grad_cam",
        )
    (slope,) = grad(score, maps)
    strength = to_numpy(slope).mean(axis=(2, 3), keepdims=True)
    evidence = np.maximum((strength * to_numpy(maps)).sum(axis=1), 0)
    largest = evidence.max(axis=(1, 2), keepdims=True)
    scaled = np.divide(evidence, largest, out=np.zeros_like(evidence), where=largest > 0)
    return np.stack([_enlarged(one, tuple(x.shape[-2:])) for one in scaled])


@styled
def plot_heatmaps(
    images: Any,
    maps: Any,
    path: str | Path | None = None,
    titles: Sequence[str] | None = None,
    title: str = "",
    columns: int = 4,
) -> Figure:
    """Draw images, and below each of them the map that says what a network looks at, laid over it.

    Args:
        images: (N, C, H, W) with one or three channels. maps: (N, H, W), of `saliency` or `grad_cam`.
        path: the file; its ending gives the format. None writes none.
        titles: N short texts. title: stands above. columns: images in a row.

    Raises: ShapeError if there is not a map of the image's size for each image.

    >>> len(plot_heatmaps(np.zeros((1, 1, 8, 8)), np.ones((1, 8, 8))).axes)
    2
    """
    pictures, heat = to_numpy(images), numbers(maps)
    if pictures.ndim != 4 or heat.shape != (len(pictures), *pictures.shape[2:]) or not len(pictures):
        raise ShapeError(
            f"expects images (N, C, H, W) and maps (N, H, W), got shapes {pictures.shape} and {heat.shape}",
            subject="plot_heatmaps",
        )
    if pictures.dtype != np.uint8:
        pictures = normalized(pictures)
    words = [""] * len(pictures) if titles is None else list(titles)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    tall = 1.7 * pictures.shape[2] / pictures.shape[3]
    figure = new_figure(1.8 * columns + 0.3, rows * (2 * tall + 0.4) + (0.4 if title else 0.1))
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (image, warm, word) in enumerate(zip(pictures, heat, words)):
        row, column = 2 * (number // columns), number % columns
        shown = batch_of(image)[0].transpose(1, 2, 0)
        grid[row, column].imshow(shown, interpolation=smoothing(image))
        grid[row, column].set_title(word, fontsize=9, fontweight="normal", loc="center", pad=3)
        below = grid[row + 1, column]
        grey = np.asarray(shown, dtype=np.float64).mean(axis=2)
        below.imshow(grey, cmap="gray", interpolation=smoothing(image))
        below.imshow(warm, cmap=_HEAT, alpha=0.65, interpolation=smoothing(image), vmin=0)
    return finished(figure, path, title)


def receptive_field(
    model: Module, input: Any, layer: Module | None = None, position: Sequence[int] | None = None
) -> np.ndarray:
    """How much each cell of the input reaches one output: |dy/dx|, added up over channels and random inputs.

    Where it is not zero is the receptive field; how it falls off is the effective one.

    Args:
        model: runs in evaluation mode on random inputs.
        input: the shape of an input (1, C, H, W), or an input.
        layer: the module whose output is looked at; None is the model itself.
        position: the output's row and column; None is the middle.

    Returns: (H, W) on the host, with its largest value 1.

    Raises: ShapeError if the output is no map (N, C, h, w).

    See: Luo, Li, Urtasun & Zemel (2016), "Understanding the effective receptive field".

    >>> from xpnn import nn
    >>> int((receptive_field(nn.Conv2d(1, 4, 3, padding=1), (1, 1, 9, 9)) > 0).sum())
    9
    """
    given = inputs_of(model, input)[0]
    random = np.random.default_rng(0)
    outputs: list[Any] = []

    def keep(module: Module, args: tuple, output: Any) -> None:
        outputs.append(output)

    handle = (layer or model).register_forward_hook(keep)
    total = np.zeros(tuple(given.shape[-2:]))
    try:
        for _ in range(_SAMPLES):
            x = Tensor(asarray(random.normal(size=tuple(given.shape)).astype(np.float32)), requires_grad=True)
            with evaluating(model), enable_grad():
                model(x)
                y = outputs[-1]
                if y.ndim != 4:
                    raise ShapeError(
                        f"expects maps (N, C, h, w), got shape {y.shape}", subject="receptive_field"
                    )
                row, column = position or (y.shape[2] // 2, y.shape[3] // 2)
                # Channels with random signs, so that they do not cancel.
                signs = random.choice([-1.0, 1.0], size=y.shape[1]).astype(np.float32)
                (slope,) = grad((y[0, :, row, column] * Tensor(asarray(signs))).sum(), x)
            total += np.abs(to_numpy(slope)).sum(axis=(0, 1))
    finally:
        handle.remove()
    return total / (total.max() or 1.0)


@styled
def plot_receptive_field(
    field: Any, path: str | Path | None = None, title: str = "Receptive field", image: Any = None
) -> Figure:
    """Draw what `receptive_field` found, with a frame around all that reaches the output.

    Args:
        field: (H, W). image: (C, H, W) to lay it over.
        path, title: as for `plot_heatmaps`.

    Raises: ShapeError for a field of other dimensions.

    >>> plot_receptive_field(np.pad(np.ones((3, 3)), 2)).axes[0].get_title(loc="left")
    '3 x 3 of 7 x 7 cells'
    """
    array = numbers(field)
    if array.ndim != 2 or not array.size:
        raise ShapeError(f"expects a field (H, W), got shape {array.shape}", subject="plot_receptive_field")
    patches = optional_import("matplotlib.patches", extra="train")
    figure = new_figure(5.2, 4.4)
    axes = figure.subplots()
    if image is not None:
        shown = batch_of(normalized(to_numpy(image)[None]))[0].mean(axis=0)
        axes.imshow(shown, cmap="gray", interpolation=smoothing(array))
    drawn = axes.imshow(
        np.sqrt(array),
        cmap="viridis",
        vmin=0,
        vmax=1,
        alpha=1.0 if image is None else 0.6,
        interpolation="nearest",
    )
    rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
    high, wide = (int(np.ptp(cells)) + 1 if len(cells) else 0 for cells in (rows, columns))
    if high:
        for line, ink in ((3.5, "white"), (1.8, colour(1))):
            axes.add_patch(
                patches.Rectangle(
                    (columns[0] - 0.5, rows[0] - 0.5), wide, high, fill=False, edgecolor=ink, linewidth=line
                )
            )
    axes.set(
        xlabel="column", ylabel="row", title=f"{high} x {wide} of {array.shape[0]} x {array.shape[1]} cells"
    )
    bar = figure.colorbar(drawn, ax=axes, label="share of the largest gradient")
    ticks = np.array([0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:g}" for tick in ticks])
    return finished(figure, path, title)


def _score(outputs: Any, target: Any) -> Any:
    """The sum over the batch of the scores of one class each."""
    if outputs.ndim != 2:
        raise ShapeError(
            f"expects a model that gives scores (N, C), got shape {outputs.shape}", subject="saliency"
        )
    classes = to_numpy(outputs).argmax(axis=1) if target is None else to_numpy(target).reshape(-1)
    if len(classes) != len(outputs) or not ((classes >= 0) & (classes < outputs.shape[1])).all():
        raise ArgumentError(
            f"expects a class from 0 to {outputs.shape[1] - 1} for each of {len(outputs)} images, got "
            f"{classes.tolist()!r:.60}",
            subject="target",
        )
    chosen = (classes[:, None] == np.arange(outputs.shape[1])).astype(np.float32)
    return (outputs * Tensor(asarray(chosen))).sum()


def _enlarged(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """An image (h, w) enlarged by straight lines between the centres of its cells."""
    for axis, length in enumerate(size):
        centres = (np.arange(length) + 0.5) * image.shape[axis] / length - 0.5
        low = np.clip(np.floor(centres).astype(int), 0, image.shape[axis] - 1)
        high = np.minimum(low + 1, image.shape[axis] - 1)
        share = np.clip(centres - low, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1))
        image = (1 - share) * image.take(low, axis=axis) + share * image.take(high, axis=axis)
    return image
