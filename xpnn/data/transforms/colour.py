"""Colours and tones: brightness, contrast, saturation, hue, grey, and what RandAugment does to values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, ShapeError, is_floating, namespace, to_numpy
from xpnn.data.transforms.base import (
    Transform,
    computed,
    drawn_from,
    images,
    in_type_of,
    integer_range,
    largest,
    number_range,
    on_device,
    per_image,
    probability,
    sometimes,
)

__all__ = [
    "ColorJitter",
    "Grayscale",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]

_LUMINANCE = (0.2989, 0.587, 0.114)  # of red, green and blue, by ITU-R BT.601
_LEVELS = 256


class Grayscale(Transform):
    """Colours to the grey of their luminance, 0.2989 R + 0.587 G + 0.114 B.

    Args:
        num_output_channels: 1, or 3 equal ones.

    Integers are rounded down, as PyTorch does. Images of one channel stay grey.

    >>> Grayscale()(np.array([[[100]], [[0]], [[0]]], dtype=np.uint8)).tolist()
    [[[29]]]
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ArgumentError(
                f"expects num_output_channels as 1 or 3, got {num_output_channels}", subject="Grayscale"
            )
        self.num_output_channels = num_output_channels

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        grey = in_type_of(_luminance(_coloured(x, self)), x, nearest=False)
        n, _, height, width = x.shape
        return namespace(x).broadcast_to(grey, (n, self.num_output_channels, height, width))


class RandomGrayscale(Transform):
    """Take the colours out of each image with probability `p`; the channels stay.

    >>> RandomGrayscale(p=1.0)(np.ones((3, 2, 2))).shape
    (3, 2, 2)
    """

    def __init__(self, p: float = 0.1) -> None:
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(_coloured(x, self), self.p, rng, Grayscale(x.shape[1]).batch, self)


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue of each image by amounts of its own.

    Args:
        brightness, contrast, saturation: the range (low, high) of the factor, or one number v for
            (max(0, 1 - v), 1 + v).
        hue: the range of the turn of the hue, within [-0.5, 0.5] of a full turn, or one number v for (-v, v).

    The four are applied in a random order, drawn for each call. Grey images keep saturation and hue.

    Raises: ArgumentError for what is no such range.

    >>> ColorJitter(brightness=(2, 2))(np.full((3, 1, 1), 0.25)).ravel().tolist()
    [0.5, 0.5, 0.5]
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = _factors("brightness", brightness, self)
        self.contrast = _factors("contrast", contrast, self)
        self.saturation = _factors("saturation", saturation, self)
        self.hue = number_range("hue", (-hue, hue) if isinstance(hue, int | float) else hue, self)
        if not -0.5 <= self.hue[0] <= self.hue[1] <= 0.5:
            raise ArgumentError(f"expects hue within [-0.5, 0.5], got {hue}", subject="ColorJitter")

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n = _coloured(x, self).shape[0]
        steps = [
            (adjust_brightness, self.brightness, 1.0),
            (adjust_contrast, self.contrast, 1.0),
            (adjust_saturation, self.saturation, 1.0),
            (adjust_hue, self.hue, 0.0),
        ]
        order = rng.permutation(len(steps))
        amounts = [rng.uniform(*ends, size=n) for _, ends, _ in steps]
        for number in order:
            change, ends, neutral = steps[number]
            if ends != (neutral, neutral):
                x = change(x, amounts[number])
        return x


class RandomInvert(Transform):
    """Turn each image into its negative with probability `p`.

    >>> RandomInvert(p=1.0)(np.array([[[0, 250]]], dtype=np.uint8)).tolist()
    [[[255, 5]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(images(x, self), self.p, rng, invert, self)


class RandomPosterize(Transform):
    """Keep the highest `bits` bits of each value, in each image with probability `p`.

    >>> RandomPosterize(2, p=1.0)(np.array([[[63, 64, 255]]], dtype=np.uint8)).tolist()
    [[[0, 64, 192]]]
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        if not 0 <= bits <= 8:
            raise ArgumentError(f"expects bits in [0, 8], got {bits}", subject="RandomPosterize")
        self.bits = bits
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(images(x, self), self.p, rng, lambda part: posterize(part, self.bits), self)


class RandomSolarize(Transform):
    """Invert the values from `threshold` on, in each image with probability `p`.

    >>> RandomSolarize(100, p=1.0)(np.array([[[99, 100]]], dtype=np.uint8)).tolist()
    [[[99, 155]]]
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        self.threshold = threshold
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(images(x, self), self.p, rng, lambda part: solarize(part, self.threshold), self)


class RandomAutocontrast(Transform):
    """Stretch each channel to the full range, in each image with probability `p`.

    >>> RandomAutocontrast(p=1.0)(np.array([[[0.25, 0.5, 0.75]]])).tolist()
    [[[0.0, 0.5, 1.0]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(images(x, self), self.p, rng, autocontrast, self)


class RandomEqualize(Transform):
    """Spread the values of each channel evenly by its histogram, in each image with probability `p`.

    >>> RandomEqualize(p=1.0)(np.full((1, 2, 2), 7, dtype=np.uint8)).ravel().tolist()
    [7, 7, 7, 7]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        return sometimes(images(x, self), self.p, rng, equalize, self)


def adjust_brightness(x: Array, factors: np.ndarray) -> Any:
    """Images times a factor each, cut to their range."""
    return _cut(computed(x) * per_image(factors, x), x)


def adjust_contrast(x: Array, factors: np.ndarray) -> Any:
    """Images moved away from the mean of their grey, or towards it."""
    mean = namespace(x).mean(_grey(x), axis=(1, 2, 3), keepdims=True)
    return _blended(computed(x), mean, factors, x)


def adjust_saturation(x: Array, factors: np.ndarray) -> Any:
    """Images moved away from their grey, or towards it."""
    return x if x.shape[1] == 1 else _blended(computed(x), _grey(x), factors, x)


def adjust_hue(x: Array, turns: np.ndarray) -> Any:
    """Images with their hues turned by parts of a full turn."""
    if x.shape[1] == 1:
        return x
    xp = namespace(x)
    white = largest(x)
    values = computed(x) / white
    red, green, blue = (values[:, k : k + 1, ...] for k in range(3))
    top = xp.max(values, axis=1, keepdims=True)
    spread = top - xp.min(values, axis=1, keepdims=True)
    part = xp.where(spread > 0, spread, xp.ones_like(spread))
    hue = xp.where(
        top == red,
        (green - blue) / part,
        xp.where(top == green, 2 + (blue - red) / part, 4 + (red - green) / part),
    )
    turned = xp.remainder(hue / 6 + per_image(turns, x), 1.0) * 6
    # Each colour is `top` near its own hue and falls linearly to `top - spread` on the far side.
    channels = []
    for shift in (5, 3, 1):
        distance = xp.remainder(turned + shift, 6.0)
        fall = xp.clip(xp.minimum(distance, 4 - distance), 0.0, 1.0)
        channels.append(top - spread * fall)
    mixed = xp.concat(channels, axis=1)
    if is_floating(x):
        return in_type_of(mixed, x)
    return in_type_of(mixed * (white + 1 - 1e-3), x, nearest=False)


def invert(x: Array) -> Any:
    """The negative of images."""
    return integer_range(x)[1] - x if not is_floating(x) else 1.0 - x


def posterize(x: Array, bits: int) -> Any:
    """The highest bits of values."""
    xp = namespace(x)
    if is_floating(x):
        levels = 1 << bits
        return xp.astype(xp.clip(xp.floor(computed(x) * levels), 0, levels - 1) / levels, x.dtype, copy=False)
    step = (integer_range(x)[1] + 1) >> bits
    if step <= 1:
        return x
    return xp.astype(xp.floor(computed(x) / step) * step, x.dtype)


def solarize(x: Array, threshold: float) -> Any:
    """The negative where values reach the threshold."""
    if threshold > largest(x):
        raise ArgumentError(
            f"expects a threshold of at most {largest(x):g} for {x.dtype}, got {threshold}",
            subject="solarize",
        )
    return namespace(x).where(x >= (threshold if is_floating(x) else math.ceil(threshold)), invert(x), x)


def autocontrast(x: Array) -> Any:
    """Each channel of images stretched to the full range."""
    xp = namespace(x)
    values, white = computed(x), largest(x)
    low = xp.min(values, axis=(2, 3), keepdims=True)
    spread = xp.max(values, axis=(2, 3), keepdims=True) - low
    flat = spread == 0
    one, zero = xp.ones_like(spread), xp.zeros_like(spread)
    stretched = (values - xp.where(flat, zero, low)) / xp.where(flat, one, spread * (1.0 / white))
    return _cut(stretched, x)


def equalize(x: Array) -> Any:
    """Each channel of images with its values spread evenly, in 256 levels; computed on the host."""
    pixels = to_numpy(x)
    if is_floating(x):
        pixels = np.clip(pixels * (_LEVELS - 1e-3), 0, _LEVELS - 1)
    elif integer_range(x) != (0, _LEVELS - 1):
        raise ArgumentError(f"expects uint8 or floats in [0, 1], got {x.dtype}", subject="equalize")
    levels = pixels.astype(np.uint8)
    channels = levels.reshape(-1, levels.shape[2] * levels.shape[3])
    even = np.stack([_evened(channel) for channel in channels]) if channels.size else channels
    even = even.reshape(levels.shape)
    return on_device((even / (_LEVELS - 1)).astype(pixels.dtype) if is_floating(x) else even, x)


def _evened(channel: np.ndarray) -> np.ndarray:
    """As Pillow does it: levels by the number of darker pixels, the brightest ones not counted."""
    counts = np.bincount(channel, minlength=_LEVELS)
    step = (len(channel) - counts[channel.max()]) // (_LEVELS - 1)
    if step == 0:
        return channel
    darker = np.cumsum(counts) - counts
    return np.clip((darker + step // 2) // step, 0, _LEVELS - 1).astype(np.uint8)[channel]


def _blended(first: Any, second: Any, factors: np.ndarray, x: Array) -> Any:
    factor = per_image(factors, x)
    return _cut(first * factor + second * (1 - factor), x)


def _cut(values: Any, x: Array) -> Any:
    """Values cut to the range of images, in the type of `x`."""
    return in_type_of(namespace(values).clip(values, 0.0, float(largest(x))), x, nearest=False)


def _luminance(x: Array) -> Any:
    if x.shape[1] == 1:
        return computed(x)
    values = computed(x)
    red, green, blue = (values[:, k : k + 1, ...] * weight for k, weight in enumerate(_LUMINANCE))
    return red + green + blue


def _grey(x: Array) -> Any:
    """The luminance, in whole numbers if the image is."""
    grey = _luminance(x)
    return grey if is_floating(x) else namespace(grey).floor(grey)


def _coloured(x: Any, transform: Transform) -> Any:
    if images(x, transform).shape[1] not in (1, 3):
        raise ShapeError(
            f"expects images of 1 or 3 channels, got {x.shape[1]}", subject=type(transform).__name__
        )
    return x


def _factors(name: str, value: Any, transform: Transform) -> tuple[float, float]:
    if isinstance(value, int | float):
        if value < 0:
            raise ArgumentError(f"expects {name} >= 0, got {value}", subject=type(transform).__name__)
        return max(0.0, 1.0 - value), 1.0 + value
    return number_range(name, value, transform, least=0)
