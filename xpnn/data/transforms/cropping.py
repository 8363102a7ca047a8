"""Parts of images, and more around them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, ShapeError, namespace
from xpnn.data.transforms.base import (
    Transform,
    drawn_from,
    filling,
    images,
    number_range,
    on_device,
    pair,
)
from xpnn.data.transforms.resizing import (
    InterpolationMode,
    in_two_passes,
    interpolation_name,
    nearest_pixels,
    resized,
    weights,
)

__all__ = ["CenterCrop", "FiveCrop", "Pad", "RandomCrop", "RandomResizedCrop"]

_PADDING_MODES = ("constant", "edge", "reflect", "symmetric")
_TRIES = 10  # to find a part of a random shape that lies within the image


class Pad(Transform):
    """Add cells around images.

    Args:
        padding: the same on all sides, (left and right, top and bottom), or (left, top, right, bottom).
            Negative padding crops.
        fill: the value of the cells for the mode "constant", or one for each channel.
        padding_mode: "constant", "edge", "reflect" (without the border cell) or "symmetric" (with it).

    >>> Pad((1, 0))(np.ones((1, 1, 2))).tolist()
    [[[0.0, 1.0, 1.0, 0.0]]]
    """

    moves = True

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        sides = (padding,) * 4 if isinstance(padding, int | float | np.integer) else tuple(padding)
        sides = sides * {1: 4, 2: 2}.get(len(sides), 1)
        if len(sides) != 4 or not all(isinstance(side, numbers.Integral) for side in sides):
            raise ArgumentError(f"expects 1, 2 or 4 whole numbers as padding, got {padding}", subject="Pad")
        if padding_mode not in _PADDING_MODES:
            raise ArgumentError(f"expects one of {_PADDING_MODES}, got {padding_mode!r}", subject="Pad")
        self.padding = sides
        self.fill = fill
        self.padding_mode = padding_mode

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return padded(images(x, self), self.padding, self.fill, self.padding_mode, self)


class CenterCrop(Transform):
    """Cut the middle out of images; what is smaller than `size` is first padded with zeros.

    Args:
        size: (height, width), or one number for both.

    >>> CenterCrop(1)(np.arange(9).reshape(1, 3, 3)).tolist()
    [[[4]]]
    """

    moves = True

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair(size, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        h, w = self.size
        gap_h, gap_w = (max(goal - side, 0) for goal, side in zip(self.size, images(x, self).shape[2:]))
        if gap_h or gap_w:
            sides = (gap_w // 2, gap_h // 2, (gap_w + 1) // 2, (gap_h + 1) // 2)
            x = padded(x, sides, 0, "constant", self)
        top, left = round((x.shape[2] - h) / 2), round((x.shape[3] - w) / 2)
        return x[:, :, top : top + h, left : left + w]


class FiveCrop(Transform):
    """The four corners and the middle of images, as a tuple of five.

    Args:
        size: (height, width), or one number for both.

    >>> [crop.item() for crop in FiveCrop(1)(np.arange(9).reshape(1, 3, 3))]
    [0, 2, 6, 8, 4]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair(size, self)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """The five parts of a sample, or of a batch."""
        return (*(_Corner(self.size, corner)(x) for corner in range(4)), CenterCrop(self.size)(x))


class _Corner(Transform):
    """One corner of images: top left, top right, bottom left, bottom right."""

    def __init__(self, size: tuple[int, int], corner: int) -> None:
        self.size = size
        self.corner = corner

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        h, w = self.size
        height, width = images(x, self).shape[2:]
        _require_room(x, self.size, "FiveCrop")
        top, left = (height - h) * (self.corner // 2), (width - w) * (self.corner % 2)
        return x[:, :, top : top + h, left : left + w]


class RandomCrop(Transform):
    """Cut `size` out of each image at a place of its own, after padding.

    Args:
        size: (height, width), or one number for both.
        padding, fill, padding_mode: as for `Pad`; no padding by default.
        pad_if_needed: pad images that are smaller than `size`, on both sides by what is missing.

    Raises: ShapeError for images smaller than `size`.

    >>> RandomCrop(28, padding=4)(np.zeros((16, 1, 28, 28))).shape
    (16, 1, 28, 28)
    """

    moves = True

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair(size, self)
        self.padding = None if padding is None else Pad(padding, fill, padding_mode).padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = Pad(0, fill, padding_mode).padding_mode

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        sides = self._sides(height, width)
        left, top, right, bottom = sides
        height, width = height + top + bottom, width + left + right
        h, w = self.size
        if height < h or width < w:
            raise _no_room(height, width, self.size, "RandomCrop")
        tops, lefts = _places(rng, height - h + 1, n), _places(rng, width - w + 1, n)
        if type(x) is np.ndarray and self.padding_mode == "constant" and np.ndim(self.fill) == 0:
            rows, columns = [place - top for place in tops], [place - left for place in lefts]
            return windows(x, rows, columns, h, w, self.fill)  # without the padded images
        return windows(padded(x, sides, self.fill, self.padding_mode, self), tops, lefts, h, w)

    def _sides(self, height: int, width: int) -> tuple[int, ...]:
        """The padding left, top, right and bottom of images of that size."""
        left, top, right, bottom = self.padding or (0, 0, 0, 0)
        if self.pad_if_needed:
            more_h = max(self.size[0] - height - top - bottom, 0)
            more_w = max(self.size[1] - width - left - right, 0)
            left, top, right, bottom = left + more_w, top + more_h, right + more_w, bottom + more_h
        return left, top, right, bottom


class RandomResizedCrop(Transform):
    """Cut a part of random size and proportions out of each image and bring it to `size`.

    Args:
        size: (height, width), or one number for both.
        scale: the range of the part's share of the area.
        ratio: the range of its width by its height, drawn evenly on a logarithmic scale.
        interpolation, antialias: as in `Resize`.

    What does not fit into the image within ten draws is replaced by its middle, in the nearest proportions.

    >>> RandomResizedCrop(8)(np.ones((2, 3, 16, 20))).shape
    (2, 3, 8, 8)
    """

    moves = True

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = pair(size, self)
        self.scale = number_range("scale", scale, self, least=0)
        self.ratio = number_range("ratio", ratio, self, least=1e-9)
        self.interpolation = interpolation_name(interpolation, self)
        self.antialias = bool(antialias)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        parts = [self._part(rng, height, width) for _ in range(n)]
        if not n:
            return resized(x, *self.size, self.interpolation, self.antialias)
        if type(x) is np.ndarray:
            cut = [x[i : i + 1, :, t : t + h, l : l + w] for i, (t, l, h, w) in enumerate(parts)]
            return np.concatenate(
                [resized(part, *self.size, self.interpolation, self.antialias) for part in cut]
            )
        if self.interpolation.startswith("nearest"):
            chosen = [
                (t + nearest_pixels(h, self.size[0], self.interpolation),
                 l + nearest_pixels(w, self.size[1], self.interpolation))
                for t, l, h, w in parts
            ]  # fmt: skip
            rows, columns = (np.stack(indices) for indices in zip(*chosen))
            return pixels_at(x, rows[:, :, None], columns[:, None])
        how = (self.interpolation, self.antialias)
        rows = np.stack([weights(height, self.size[0], *how, t, h) for t, _, h, _ in parts])
        columns = np.stack([weights(width, self.size[1], *how, l, w).T for _, l, _, w in parts])
        rows, columns = (on_device(matrix[:, None], x, floating=True) for matrix in (rows, columns))
        return in_two_passes(x, rows, columns)

    def _part(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of a part."""
        low, high = (math.log(end) for end in self.ratio)
        for _ in range(_TRIES):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        h = min(height, max(1, round(width / self.ratio[0])))
        w = min(width, max(1, round(height * self.ratio[1])))
        return (height - h) // 2, (width - w) // 2, h, w


def padded(x: Array, sides: Sequence[int], fill: Any, mode: str, transform: Any) -> Any:
    """Images (N, C, H, W) with cells around, or without some where sides are negative."""
    left, top, right, bottom = sides
    height, width = x.shape[2:]
    if min(height + min(top, 0) + min(bottom, 0), width + min(left, 0) + min(right, 0)) <= 0:
        raise ShapeError(
            f"cannot crop {height} x {width} images by a padding of {tuple(sides)}",
            subject=type(transform).__name__,
        )
    x = x[:, :, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    left, top, right, bottom = (max(side, 0) for side in sides)
    if not (left or top or right or bottom):
        return x
    height, width = x.shape[2:]
    most = {"reflect": min(height, width) - 1, "symmetric": min(height, width)}.get(mode)
    if most is not None and max(left, top, right, bottom) > most:
        raise ShapeError(
            f"expects a padding of at most {most} in mode {mode!r} for {height} x {width} images, "
            f"got {tuple(sides)}",
            subject=type(transform).__name__,
        )
    if type(x) is np.ndarray and (mode != "constant" or np.ndim(fill) == 0):
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        if mode != "constant":
            return np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
        whole = np.full(
            (*x.shape[:2], height + top + bottom, width + left + right), 0 if fill is None else fill, x.dtype
        )
        whole[:, :, top : top + height, left : left + width] = x
        return whole
    rows, columns = np.arange(-top, height + bottom), np.arange(-left, width + right)
    if mode != "constant":
        rows, columns = _continued(rows, height, mode), _continued(columns, width, mode)
    return pixels_at(x, rows[None, :, None], columns[None, None], filling(fill, x, transform))


def windows(
    x: Array, tops: Sequence[int], lefts: Sequence[int], h: int, w: int, fill: float | None = None
) -> Any:
    """A part (h, w) of each image; of NumPy's arrays it may reach beyond the edges, where `fill` stands."""
    if type(x) is np.ndarray:
        n, channels, height, width = x.shape
        cut = np.empty((n, channels, h, w), x.dtype)
        for image, target, top, left in zip(x, cut, tops, lefts):
            if top >= 0 and left >= 0 and top + h <= height and left + w <= width:
                target[...] = image[:, top : top + h, left : left + w]
                continue
            part = image[:, max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)]
            target[...] = 0 if fill is None else fill
            i, j = max(-top, 0), max(-left, 0)
            target[:, i : i + part.shape[1], j : j + part.shape[2]] = part
        return cut
    first_rows, first_columns = (np.asarray(places)[:, None, None] for places in (tops, lefts))
    rows, columns = first_rows + np.arange(h)[:, None], first_columns + np.arange(w)
    return pixels_at(x, rows, columns)


def pixels_at(x: Array, rows: np.ndarray, columns: np.ndarray, fill: Any = None) -> Any:
    """The pixels of images (N, C, H, W) at host indices that broadcast to (N or 1, h, w).

    Args:
        fill: what stands outside of the image, (1, 1 or C, 1, 1); None if no index lies there.
    """
    xp = namespace(x)
    n, channels, height, width = x.shape
    rows, columns = np.broadcast_arrays(rows, columns)
    h, w = rows.shape[1:]
    places = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    flat = xp.reshape(x, (n, channels, height * width))
    if len(places) == 1:
        found = xp.take(flat, on_device(places.ravel(), x), axis=2)
    else:
        index = xp.reshape(on_device(places.astype(np.int64), x), (n, 1, h * w))
        found = xp.take_along_axis(flat, xp.broadcast_to(index, (n, channels, h * w)), axis=2)
    found = xp.reshape(found, (n, channels, h, w))
    if fill is None:
        return found
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return xp.where(on_device(inside[:, None], x), found, xp.astype(fill, x.dtype))


def _places(rng: np.random.Generator, room: int, count: int) -> list[int]:
    """Whole numbers below `room`; a single one is drawn faster by itself."""
    return [int(rng.integers(room))] if count == 1 else rng.integers(room, size=count).tolist()


def _continued(places: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Places beyond the edges, brought back to those inside that they repeat."""
    if mode == "edge":
        return np.clip(places, 0, size - 1)
    if mode == "reflect":
        return size - 1 - np.abs(size - 1 - np.abs(places))
    return np.where(places < 0, -1 - places, np.where(places >= size, 2 * size - 1 - places, places))


def _require_room(x: Array, size: tuple[int, int], subject: str) -> None:
    height, width = x.shape[2:]
    if height < size[0] or width < size[1]:
        raise _no_room(height, width, size, subject)


def _no_room(height: int, width: int, size: tuple[int, int], subject: str) -> ShapeError:
    """The error that images are smaller than what is to be cut out."""
    return ShapeError(
        f"expects images of at least {size[0]} x {size[1]}, got {height} x {width} after padding",
        subject=subject,
        hint="Add padding=, pad_if_needed=True, or Resize first",
    )
