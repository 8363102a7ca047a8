"""Images of another size: weights for each axis, and where pixels come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, is_floating, namespace
from xpnn.data.transforms.base import Transform, computed, images, in_type_of, integer_range, on_device, pair

__all__ = ["InterpolationMode", "Resize"]


class InterpolationMode(Enum):
    """How values between pixels are found; the names alone, such as "bilinear", say the same.

    >>> InterpolationMode("bicubic") is InterpolationMode.BICUBIC
    True
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PILLOW_ORDER = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # of Pillow's numbers


class Resize(Transform):
    """Bring images to a size, averaging over the pixels that fall together.

    Args:
        size: (height, width); or one number for the shorter side, which keeps the proportions; None with
            max_size makes that the longer side.
        interpolation: an `InterpolationMode`, its name, or Pillow's number.
        max_size: of the longer side, where `size` is one number.
        antialias: when shrinking, widen the weights by as much as the image shrinks.

    Each target pixel is a mean weighted by the distance from its centre: linearly falling weights for
    "bilinear", cubic ones for "bicubic". Integers are rounded. Images of Pillow are resized by Pillow.

    Raises: ArgumentError for a size or interpolation that there is not.

    >>> Resize((1, 1))(np.array([[[0.0, 1.0], [2.0, 3.0]]])).tolist()
    [[[1.5]]]
    """

    moves = True

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        one = not (isinstance(size, Sequence) and len(size) == 2)
        self.size = None if size is None else pair(size, self)[0] if one else pair(size, self)
        if max_size is not None and (not one or (size is not None and max_size <= self.size)):  # type: ignore[operator]
            raise ArgumentError(
                f"expects max_size above one number as size, got size={size} and max_size={max_size}",
                subject="Resize",
            )
        if size is None and max_size is None:
            raise ArgumentError("expects a size or max_size, got neither", subject="Resize")
        self.interpolation = interpolation_name(interpolation, self)
        self.max_size = max_size
        self.antialias = bool(antialias)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        h, w = self.target(*images(x, self).shape[2:])
        return resized(x, h, w, self.interpolation, self.antialias)

    def pillow(self, image: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a Pillow image."""
        h, w = self.target(image.height, image.width)
        return image.resize((w, h), pillow_number(self.interpolation))

    def target(self, height: int, width: int) -> tuple[int, int]:
        """The size that an image of that one gets."""
        if isinstance(self.size, tuple):
            return self.size
        short, long = sorted((height, width))
        if self.size is None:
            new_short, new_long = max(1, int(self.max_size * short / long)), self.max_size  # type: ignore[operator]
        else:
            new_short, new_long = self.size, int(self.size * long / short)
            if self.max_size is not None and new_long > self.max_size:
                new_short, new_long = max(1, int(self.max_size * new_short / new_long)), self.max_size
        return (new_short, new_long) if height <= width else (new_long, new_short)  # type: ignore[return-value]


def interpolation_name(given: Any, transform: Any, allowed: Sequence[str] | None = None) -> str:
    """The name of an interpolation. Raises: ArgumentError for one that is not allowed."""
    names = [mode.value for mode in InterpolationMode] if allowed is None else list(allowed)
    known = isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(_PILLOW_ORDER)
    name = _PILLOW_ORDER[given] if known else given.value if isinstance(given, Enum) else given
    if name not in names:
        raise ArgumentError(
            f"expects an interpolation of {', '.join(names)}, got {name!r}", subject=type(transform).__name__
        )
    return name


def pillow_number(name: str) -> int:
    """Pillow's number of an interpolation."""
    return _PILLOW_ORDER.index(name.removesuffix("-exact"))


def resized(x: Array, h: int, w: int, interpolation: str, antialias: bool) -> Any:
    """Images (N, C, H, W) in height h and width w."""
    height, width = x.shape[2:]
    if (h, w) == (height, width):
        return x
    xp = namespace(x)
    if interpolation.startswith("nearest"):
        rows, columns = (
            nearest_pixels(size, goal, interpolation) for size, goal in ((height, h), (width, w))
        )
        if type(x) is np.ndarray:
            return x[:, :, rows[:, None], columns]
        return xp.take(xp.take(x, on_device(rows, x), axis=2), on_device(columns, x), axis=3)
    rows, columns = (
        on_device(weights(size, goal, interpolation, antialias), x, floating=True)
        for size, goal in ((height, h), (width, w))
    )
    return in_two_passes(x, rows, columns.T)


def in_two_passes(x: Array, rows: Any, columns: Any) -> Any:
    """`rows @ x @ columns`; integers are rounded after each pass, halves up, as Pillow does it."""
    xp = namespace(x)
    wide = computed(x) @ columns
    if is_floating(x):
        return in_type_of(rows @ wide, x)
    wide = xp.clip(xp.floor(wide + 0.5), *integer_range(x))
    return in_type_of(xp.floor(rows @ wide + 0.5), x)


def nearest_pixels(source: int, target: int, name: str) -> np.ndarray:
    """Which of `source` pixels each of `target` pixels takes: PyTorch's rule, or by the centres."""
    centre = 0.5 if name == "nearest-exact" else 0.0
    return np.minimum(((np.arange(target) + centre) * (source / target)).astype(np.int64), source - 1)


def weights(
    source: int, target: int, name: str, antialias: bool, start: float = 0.0, length: float | None = None
) -> np.ndarray:
    """The (target, source) matrix of an interpolation; its rows add up to 1.

    Args:
        start, length: the part of the source that is brought to the target, all by default.
    """
    length = source if length is None else length
    scale = length / target
    widen = max(scale, 1.0) if antialias else 1.0
    function = _CUBIC_BETWEEN if name == "bicubic" and not antialias else _WEIGHTS[name]
    places = (np.arange(target) + 0.5) * scale  # in the part
    inside = np.arange(math.ceil(length))
    if not antialias:  # beyond the edge the last pixel goes on
        inside = np.arange(-3, math.ceil(length) + 3)
    part = function((inside + 0.5 - places[:, None]) / widen)
    part /= part.sum(axis=1, keepdims=True)
    matrix = np.zeros((target, source))
    columns = int(start) + np.clip(inside, 0, math.ceil(length) - 1)
    for place, weight in zip(columns.tolist(), part.T):
        matrix[:, place] += weight
    return matrix


def _cubic(sharpness: float) -> Callable[[np.ndarray], np.ndarray]:
    def weight(x: np.ndarray) -> np.ndarray:
        x, a = np.abs(x), sharpness
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return weight


def _hamming(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


# By the distance from the centre, in target pixels when shrinking and source pixels when growing.
_CUBIC_BETWEEN = _cubic(-0.75)
_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "box": lambda x: ((x > -0.5) & (x <= 0.5)).astype(np.float64),
    "bilinear": lambda x: np.maximum(1 - np.abs(x), 0),
    "hamming": _hamming,
    "bicubic": _cubic(-0.5),
    "lanczos": lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0),
}
