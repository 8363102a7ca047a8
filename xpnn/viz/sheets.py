"""Sheets of images, and images with boxes, labels and masks on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, ShapeError, optional_import, to_numpy
from xpnn.viz.images import batch_of, normalized
from xpnn.viz.style import Figure, colour, finished, new_figure, numbers, styled

_TINY = 64  # an image that is smaller is enlarged without smoothing: each of its cells is seen
_TITLE_LINE = 17  # characters of a title below which an image is wide enough


@styled
def plot_images(
    images: Any,
    path: str | Path | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    title: str = "",
) -> Figure:
    """Draw images in rows, each with a title of its own, such as "true 3, said 8".

    Args:
        images: (N, C, H, W) of any library, with one or three channels; floats are stretched together to
            the full range from black to white.
        path: the file; its ending gives the format. None writes none.
        titles: N short texts; a comma in one breaks its line.
        columns: images in a row.
        title: stands above the sheet.

    Returns: the matplotlib Figure. Raises: ArgumentError for no image, or other than N titles;
    MissingDependencyError without matplotlib.

    >>> figure = plot_images(np.zeros((1, 1, 8, 8)), titles=["true 3, said 8"])
    >>> figure.axes[0].get_title()
    'true 3\\nsaid 8'
    """
    images = to_numpy(images)
    if images.ndim != 4:
        raise ShapeError(f"expects images (N, C, H, W), got shape {images.shape}", subject="plot_images")
    if columns < 1:
        raise ArgumentError(f"expects columns of at least 1, got {columns}", subject="plot_images")
    titles = [""] * len(images) if titles is None else list(titles)
    if not len(images) or len(titles) != len(images):
        raise ArgumentError(
            f"expects images and a title for each, got {len(images)} images and {len(titles)} titles",
            subject="plot_images",
        )
    if images.dtype != np.uint8:
        images = normalized(images)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    texts = ["\n".join(_cut(line) for line in text.split(", ")) for text in titles]
    widest = max((len(line) for text in texts for line in text.split("\n")), default=0)
    width, height = max(1.05, 0.085 * widest + 0.1), images.shape[-2] / max(images.shape[-1], 1)
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    figure = new_figure(
        max(width * columns + 0.3, 0.11 * len(title)),
        (1.0 * min(height, 3) + 0.17 * lines + 0.08) * rows + (0.45 if title else 0.1),
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, texts):
        axes.imshow(batch_of(image)[0].transpose(1, 2, 0), interpolation=smoothing(image))
        axes.set_title(text, fontsize=8, fontweight="normal", loc="center", pad=3)
    return finished(figure, path, title)


@styled
def plot_detections(
    image: Any,
    path: str | Path | None = None,
    boxes: Any = None,
    labels: Sequence[str] | None = None,
    scores: Any = None,
    masks: Any = None,
    title: str = "",
) -> Figure:
    """Draw boxes, their labels and masks onto an image.

    Args:
        image: (C, H, W) or (H, W); floats are stretched to the full range. Small images are enlarged.
        path, title: as for `plot_images`.
        boxes: (N, 4) corners x1, y1, x2, y2 in cells of the image, as torchvision has them.
        labels: N texts. scores: (N,), written beside the labels.
        masks: (N, H, W), true where an instance is; or (H, W) of class numbers, where 0 is background.

    Returns: the matplotlib Figure. Raises: ShapeError for boxes or masks of other shapes.

    >>> figure = plot_detections(np.zeros((3, 32, 32)), boxes=[[4, 4, 20, 16]], labels=["cat"], scores=[0.9])
    >>> figure.axes[0].texts[0].get_text()
    'cat 0.90'
    """
    pixels = to_numpy(image)
    if pixels.dtype != np.uint8:
        pixels = normalized(pixels.reshape(-1, *pixels.shape[-2:])[None])[0]
    pixels = batch_of(pixels)[0]
    height, width = pixels.shape[1:]
    patches = optional_import("matplotlib.patches", extra="train")
    scale = 5.0 / max(height, width)
    figure = new_figure(max(scale * width, 2.0) + 0.3, max(scale * height, 1.5) + (0.6 if title else 0.3))
    axes = figure.subplots()
    axes.imshow(pixels.transpose(1, 2, 0), interpolation=smoothing(pixels))
    axes.set_axis_off()
    for number, mask in enumerate(_masks(masks, height, width)):
        _draw_mask(axes, mask, colour(number))
    corners = np.empty((0, 4)) if boxes is None else numbers(boxes)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ShapeError(f"expects boxes (N, 4), got shape {corners.shape}", subject="plot_detections")
    words = _labels(len(corners), labels, scores)
    for number, ((x1, y1, x2, y2), word) in enumerate(zip(corners, words)):
        ink = colour(number)
        # A white line around the coloured one is seen on any ground.
        for line, edge in ((4.2, "white"), (2.2, ink)):
            axes.add_patch(
                patches.Rectangle(
                    (x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=edge, linewidth=line
                )
            )
        if word:
            inside = y1 < 0.08 * height
            axes.annotate(
                word, (x1 - 0.5, y1 - 0.5), xytext=(2, -3 if inside else 3), textcoords="offset points",
                va="top" if inside else "bottom", color="white", fontsize=9, fontweight="bold",
                bbox={"boxstyle": "square,pad=0.2", "facecolor": ink, "edgecolor": "white"},
            )  # fmt: skip
    return finished(figure, path, title)


def smoothing(image: np.ndarray) -> str:
    """Matplotlib's interpolation of an image (..., H, W): none for small ones, whose cells are to be seen."""
    return "nearest" if max(image.shape[-2:]) < _TINY else "antialiased"


def _labels(count: int, labels: Sequence[str] | None, scores: Any) -> list[str]:
    words = [""] * count if labels is None else [str(label) for label in labels]
    if scores is not None:
        words = [f"{word} {score:.2f}".strip() for word, score in zip(words, numbers(to_numpy(scores)))]
    if len(words) != count:
        raise ShapeError(
            f"expects a label and score for each of {count} boxes, got {len(words)}",
            subject="plot_detections",
        )
    return words


def _masks(masks: Any, height: int, width: int) -> list[np.ndarray]:
    if masks is None:
        return []
    given = to_numpy(masks)
    if given.shape[-2:] != (height, width) or given.ndim not in (2, 3):
        raise ShapeError(
            f"expects masks (N, {height}, {width}) or ({height}, {width}), got shape {given.shape}",
            subject="plot_detections",
        )
    if given.ndim == 3:
        return [mask > 0.5 for mask in given]
    return [given == label for label in range(1, int(given.max()) + 1)]


def _draw_mask(axes: Any, mask: np.ndarray, ink: str) -> None:
    """Fill a mask with a colour that the image is seen through, and draw its edge."""
    colours = optional_import("matplotlib.colors", extra="train")
    layer = np.zeros((*mask.shape, 4))
    layer[...] = colours.to_rgba(ink)
    layer[..., 3] = 0.45 * mask
    axes.imshow(layer, interpolation="nearest")
    if mask.any() and not mask.all() and min(mask.shape) > 1:
        axes.contour(mask, levels=[0.5], colors=[ink], linewidths=1.6)


def _cut(line: str) -> str:
    return line if len(line) <= _TITLE_LINE else f"{line[: _TITLE_LINE - 1]}…"
