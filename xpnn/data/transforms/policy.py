"""Policies: random transforms of given strength, drawn from a list."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError
from xpnn.data.transforms.base import Transform, drawn_from, filling, images, largest, parts_of
from xpnn.data.transforms.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    autocontrast,
    equalize,
    posterize,
    solarize,
)
from xpnn.data.transforms.filtering import adjust_sharpness
from xpnn.data.transforms.geometry import inverse_maps, warped
from xpnn.data.transforms.resizing import InterpolationMode, interpolation_name

__all__ = ["RandAugment", "TrivialAugmentWide"]

_TRANSLATION = 150.0 / 331.0  # of the side, at full strength
# Strength goes from the first to the second number; the third says whether its sign is drawn.
_Space = dict[str, tuple[float, float, bool]]
_RAND: _Space = {
    "Identity": (0, 0, False),
    "ShearX": (0, 0.3, True),
    "ShearY": (0, 0.3, True),
    "TranslateX": (0, _TRANSLATION, True),
    "TranslateY": (0, _TRANSLATION, True),
    "Rotate": (0, 30, True),
    "Brightness": (0, 0.9, True),
    "Color": (0, 0.9, True),
    "Contrast": (0, 0.9, True),
    "Sharpness": (0, 0.9, True),
    "Posterize": (8, 4, False),
    "Solarize": (1, 0, False),
    "AutoContrast": (0, 0, False),
    "Equalize": (0, 0, False),
}
_TRIVIAL: _Space = _RAND | {
    "ShearX": (0, 0.99, True),
    "ShearY": (0, 0.99, True),
    "TranslateX": (0, 32, True),
    "TranslateY": (0, 32, True),
    "Rotate": (0, 135, True),
    "Brightness": (0, 0.99, True),
    "Color": (0, 0.99, True),
    "Contrast": (0, 0.99, True),
    "Sharpness": (0, 0.99, True),
    "Posterize": (8, 2, False),
}


class RandAugment(Transform):
    """Change each image by `num_ops` transforms drawn from fourteen, all of one strength.

    Args:
        num_ops: transforms one after the other.
        magnitude: the strength, in [0, num_magnitude_bins).
        num_magnitude_bins: the number of strengths.
        interpolation: "nearest" or "bilinear", of the five that move pixels.
        fill: the value, or one for each channel, of pixels that come from outside; None is 0.

    Images are uint8 or floats in [0, 1], of one or three channels.

    See: Cubuk, Zoph, Shlens & Le (2020), "RandAugment: Practical automated data augmentation with a reduced
    search space".

    >>> RandAugment()(np.zeros((2, 3, 8, 8), dtype=np.uint8)).shape
    (2, 3, 8, 8)
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        if num_ops < 0 or not 0 <= magnitude < num_magnitude_bins:
            raise ArgumentError(
                f"expects num_ops >= 0 and magnitude in [0, num_magnitude_bins), got num_ops={num_ops}, "
                f"magnitude={magnitude} and num_magnitude_bins={num_magnitude_bins}",
                subject="RandAugment",
            )
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation_name(interpolation, self, ("nearest", "bilinear"))
        self.fill = fill

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        for _ in range(self.num_ops):
            strength = np.full(images(x, self).shape[0], self.magnitude / max(self.num_magnitude_bins - 1, 1))
            x = _augmented(x, _RAND, strength, rng, self)
        return x


class TrivialAugmentWide(Transform):
    """Change each image by one transform drawn from fourteen, of a strength of its own.

    Args:
        num_magnitude_bins: the number of strengths.
        interpolation, fill: as in `RandAugment`.

    See: Mueller & Hutter (2021), "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation".

    >>> TrivialAugmentWide()(np.zeros((2, 3, 8, 8), dtype=np.uint8)).shape
    (2, 3, 8, 8)
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        if num_magnitude_bins < 2:
            raise ArgumentError(
                f"expects num_magnitude_bins >= 2, got {num_magnitude_bins}", subject="TrivialAugmentWide"
            )
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation_name(interpolation, self, ("nearest", "bilinear"))
        self.fill = fill

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        bins = rng.integers(self.num_magnitude_bins, size=images(x, self).shape[0])
        return _augmented(x, _TRIVIAL, bins / (self.num_magnitude_bins - 1), rng, self)


def _augmented(x: Any, space: _Space, strength: np.ndarray, rng: np.random.Generator, transform: Any) -> Any:
    """Each image changed by one operation of the space, at a strength in [0, 1]."""
    names = list(space)
    chosen = rng.integers(len(names), size=x.shape[0])
    signs = rng.choice([-1.0, 1.0], size=x.shape[0])
    groups: list[tuple[np.ndarray, Callable[[Any], Any] | None]] = []
    for number, (name, (weak, strong, signed)) in enumerate(space.items()):
        members = np.flatnonzero(chosen == number)
        amounts = weak + strength[members] * (strong - weak)
        if signed:
            amounts = amounts * signs[members]
        change = partial(_changed, name=name, amounts=amounts, transform=transform)
        groups.append((members, None if name == "Identity" else change))
    return parts_of(x, groups, type(transform).__name__)


def _changed(x: Any, name: str, amounts: np.ndarray, transform: Any) -> Any:
    if name in _TONES:
        return _TONES[name](x, 1.0 + amounts)
    if name == "Posterize":
        bits = np.rint(amounts).astype(int)
        each = [(np.flatnonzero(bits == b), partial(posterize, bits=int(b))) for b in np.unique(bits)]
        return parts_of(x, each, name)
    if name == "Solarize":
        each = [
            (np.flatnonzero(amounts == a), partial(solarize, threshold=float(a * largest(x))))
            for a in np.unique(amounts)
        ]
        return parts_of(x, each, name)
    if name in ("AutoContrast", "Equalize"):
        return autocontrast(x) if name == "AutoContrast" else equalize(x)
    return _moved(x, name, amounts, transform)


def _moved(x: Any, name: str, amounts: np.ndarray, transform: Any) -> Any:
    """Images sheared from the upper left corner, translated or turned."""
    n, _, height, width = x.shape
    zero = np.zeros(n)
    if name.startswith("Translate"):
        side = width if name.endswith("X") else height
        pixels = np.trunc(amounts * side if abs(amounts).max(initial=0) < 1 else amounts)
        shift = np.stack([pixels, zero] if name.endswith("X") else [zero, pixels], axis=1)
        matrices = inverse_maps(n, height, width, shift=shift)
    elif name == "Rotate":
        matrices = inverse_maps(n, height, width, angle=-amounts)
    else:
        degrees = np.degrees(np.arctan(amounts))
        shear = np.stack([degrees, zero] if name.endswith("X") else [zero, degrees], axis=1)
        matrices = inverse_maps(n, height, width, shear=shear, center=(0.0, 0.0))
    return warped(x, matrices, transform.interpolation, filling(transform.fill, x, transform))


_TONES: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "Brightness": adjust_brightness,
    "Color": adjust_saturation,
    "Contrast": adjust_contrast,
    "Sharpness": adjust_sharpness,
}
