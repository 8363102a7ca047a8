"""Images mirrored, turned, moved and stretched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, namespace
from xpnn.data.transforms.base import (
    Transform,
    computed,
    drawn_from,
    filling,
    images,
    in_type_of,
    number_range,
    on_device,
    probability,
)
from xpnn.data.transforms.cropping import pixels_at
from xpnn.data.transforms.resizing import InterpolationMode, interpolation_name

__all__ = ["RandomAffine", "RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip"]

_BETWEEN_PIXELS = ("nearest", "bilinear")


class _RandomFlip(Transform):
    """Mirror each image along an axis with probability `p`."""

    moves = True
    axis: int

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng, count = drawn_from(rng), images(x, self).shape[0]
        if type(x) is np.ndarray and count == 1:
            return (np.flip(x, self.axis) if rng.random() < self.p else x).copy()
        chosen = rng.random(count) < self.p
        if type(x) is np.ndarray:
            flipped = x.copy()
            flipped[chosen] = np.flip(x[chosen], self.axis)
            return flipped
        xp = namespace(x)
        return xp.where(on_device(chosen.reshape(-1, 1, 1, 1), x), xp.flip(x, axis=self.axis), x)


class RandomHorizontalFlip(_RandomFlip):
    """Mirror each image left to right with probability `p`.

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[1, 2]]])).tolist()
    [[[2, 1]]]
    """

    axis = 3


class RandomVerticalFlip(_RandomFlip):
    """Mirror each image top to bottom with probability `p`.

    >>> RandomVerticalFlip(p=1.0)(np.array([[[1], [2]]])).tolist()
    [[[2], [1]]]
    """

    axis = 2


class RandomRotation(Transform):
    """Turn each image by an angle of its own.

    Args:
        degrees: the range (low, high), or one number for (-degrees, degrees); counter-clockwise.
        interpolation: "nearest" or "bilinear".
        expand: make the image hold all of the turned one, by which a batch is turned alike.
        center: (x, y) of what stays in its place, from the upper left corner; None is the middle.
        fill: the value, or one for each channel, of pixels that come from outside.

    Raises: ArgumentError for degrees that are no range.

    >>> RandomRotation((90, 90))(np.array([[[1, 2], [3, 4]]])).tolist()
    [[[2, 4], [1, 3]]]
    """

    moves = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        self.degrees = _around_zero("degrees", degrees, self)
        self.interpolation = interpolation_name(interpolation, self, _BETWEEN_PIXELS)
        self.expand = expand
        self.center = _point("center", center, self)
        self.fill = fill

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        angles = rng.uniform(*self.degrees, size=1 if self.expand else n).repeat(n if self.expand else 1)
        center = None if self.expand else self.center
        matrices = inverse_maps(n, height, width, angle=-angles, center=center)
        size = _size_of_all(angles[0], matrices[0], height, width) if self.expand and n else None
        return warped(x, matrices, self.interpolation, filling(self.fill, x, self), size)


class RandomAffine(Transform):
    """Turn, move, scale and shear each image by amounts of its own.

    Args:
        degrees: the range (low, high) of the angle, or one number for (-degrees, degrees); clockwise.
        translate: how far at most it moves, as parts of the width and height; None is not at all.
        scale: the range of the factor of size; None is 1.
        shear: degrees: the range along x, or one number for (-shear, shear), or the ranges along x and y as
            four numbers; None is none.
        interpolation: "nearest" or "bilinear".
        fill: the value, or one for each channel, of pixels that come from outside.
        center: (x, y) of what turns in its place, from the upper left corner; None is the middle.

    Raises: ArgumentError for what is no range, and for a translation outside of [0, 1].

    >>> RandomAffine(0, scale=(2, 2))(np.arange(16).reshape(1, 4, 4))[0, 1].tolist()
    [5, 5, 6, 6]
    """

    moves = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        self.degrees = _around_zero("degrees", degrees, self)
        self.translate = _point("translate", translate, self)
        if self.translate is not None and not 0 <= min(self.translate) <= max(self.translate) <= 1:
            raise ArgumentError(f"expects translate in [0, 1], got {translate}", subject="RandomAffine")
        self.scale = None if scale is None else number_range("scale", scale, self, least=1e-9)
        self.shear = None if shear is None else _shears(shear, self)
        self.interpolation = interpolation_name(interpolation, self, _BETWEEN_PIXELS)
        self.fill = fill
        self.center = _point("center", center, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        angle = rng.uniform(*self.degrees, size=n)
        shift = np.zeros((n, 2))
        if self.translate is not None:
            most = np.multiply(self.translate, (width, height))
            shift = np.rint(rng.uniform(-most, most, size=(n, 2)))
        scale = np.ones(n) if self.scale is None else rng.uniform(*self.scale, size=n)
        shear = np.zeros((n, 2))
        if self.shear is not None:
            shear = np.stack([rng.uniform(*ends, size=n) for ends in self.shear], axis=1)
        matrices = inverse_maps(n, height, width, angle, shift, scale, shear, self.center)
        return warped(x, matrices, self.interpolation, filling(self.fill, x, self))


def inverse_maps(
    n: int,
    height: int,
    width: int,
    angle: Any = 0.0,
    shift: Any = (0.0, 0.0),
    scale: Any = 1.0,
    shear: Any = (0.0, 0.0),
    center: tuple[float, float] | None = None,
) -> np.ndarray:
    """Matrices (n, 2, 3) that take target places to source places, both (x, y) from the image's middle.

    Args:
        angle: degrees, clockwise.
        shift: (x, y) in pixels.
        shear: degrees along x and y.
        center: what turns in its place, from the upper left corner.

    The map is shear along x, then along y, scale, turn, shift.
    """
    angle, scale = np.broadcast_to(np.radians(angle), (n,)), np.broadcast_to(scale, (n,))
    shift, shear = np.broadcast_to(shift, (n, 2)), np.tan(np.radians(np.broadcast_to(shear, (n, 2))))
    one, zero = np.ones(n), np.zeros(n)
    turn = _matrices(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle))
    along_x, along_y = _matrices(one, -shear[:, 0], zero, one), _matrices(one, zero, -shear[:, 1], one)
    inverse = np.linalg.inv(scale[:, None, None] * (turn @ along_y @ along_x))
    pivot = np.zeros(2) if center is None else np.subtract(center, (width * 0.5, height * 0.5))
    offset = pivot - np.einsum("nij,nj->ni", inverse, pivot + shift)
    return np.concatenate([inverse, offset[:, :, None]], axis=2)


def warped(
    x: Array, matrices: np.ndarray, interpolation: str, fill: Any, size: tuple[int, int] | None = None
) -> Any:
    """Images whose pixels come from where `matrices` say; `size` is the target's if that is another."""
    height, width = x.shape[2:]
    h, w = (height, width) if size is None else size
    across, down = np.arange(w) - (w - 1) / 2, (np.arange(h) - (h - 1) / 2)[:, None]
    # In float32 as the pixels' own rule has it: an exact half, found by float64, would go the other way.
    columns, rows = (
        (row[:, 0, None, None] * across + row[:, 1, None, None] * down + row[:, 2, None, None]
         + (side - 1) / 2).astype(np.float32)
        for row, side in ((matrices[:, 0], width), (matrices[:, 1], height))
    )  # fmt: skip
    if interpolation == "nearest":
        return pixels_at(x, np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64), fill)
    top, left = np.floor(rows), np.floor(columns)
    values, total = computed(x), None
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - np.abs(rows - top - dy)) * (1 - np.abs(columns - left - dx))
            part = pixels_at(values, (top + dy).astype(np.int64), (left + dx).astype(np.int64), fill)
            part = part * on_device(weight[:, None], x, floating=True)
            total = part if total is None else total + part
    return in_type_of(total, x)


def _size_of_all(angle: float, matrix: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """The height and width that hold all of a turned image."""
    if angle % 90 == 0:
        return (height, width) if angle % 180 == 0 else (width, height)
    corners = np.array([[x, y] for x in (-0.5 * width, 0.5 * width) for y in (-0.5 * height, 0.5 * height)])
    turned = corners @ np.linalg.inv(matrix[:, :2]).T + np.array([0.5 * width, 0.5 * height])
    tolerance = 1e-4  # of round-off, in pixels
    low, high = np.floor(turned.min(axis=0) + tolerance), np.ceil(turned.max(axis=0) - tolerance)
    w, h = (high - low).astype(int)
    return int(h), int(w)


def _matrices(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.stack([np.stack([a, b], axis=-1), np.stack([c, d], axis=-1)], axis=-2)


def _around_zero(name: str, value: Any, transform: Any) -> tuple[float, float]:
    """(low, high) of a range, or (-value, value) of a number."""
    if isinstance(value, int | float):
        if value < 0:
            raise ArgumentError(
                f"expects {name} >= 0 or a range (low, high), got {value}", subject=type(transform).__name__
            )
        return (-float(value), float(value))
    return number_range(name, value, transform)


def _shears(value: Any, transform: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    if not isinstance(value, int | float) and len(value) == 4:
        x, y = (number_range("shear", value[k : k + 2], transform) for k in (0, 2))
        return x, y
    return _around_zero("shear", value, transform), (0.0, 0.0)


def _point(name: str, value: Any, transform: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if len(value) != 2 or not all(math.isfinite(number) for number in value):
        raise ArgumentError(f"expects {name} as two numbers, got {value}", subject=type(transform).__name__)
    return float(value[0]), float(value[1])
