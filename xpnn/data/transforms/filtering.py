"""Images blurred and sharpened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, is_floating, namespace
from xpnn.data.transforms.base import (
    Transform,
    computed,
    drawn_from,
    images,
    in_type_of,
    largest,
    number_range,
    on_device,
    per_image,
    probability,
    sometimes,
)
from xpnn.data.transforms.cropping import padded

__all__ = ["GaussianBlur", "RandomAdjustSharpness"]


class GaussianBlur(Transform):
    """Mean over each pixel's neighbours, weighted by a bell curve of a width drawn for each image.

    Args:
        kernel_size: odd numbers (width, height) of pixels, or one for both.
        sigma: the range (low, high) of the standard deviation in pixels, or one number for always that.

    Beyond the edges the image is mirrored. Integers are rounded.

    Raises: ArgumentError for even sizes, and a sigma that is not positive; ShapeError for images that are no
    larger than half of the kernel.

    >>> GaussianBlur(3, sigma=0.5)(np.array([[[0.0, 0.0, 1.0, 0.0, 0.0]] * 3]))[0, 1].round(2).tolist()
    [0.0, 0.11, 0.79, 0.11, 0.0]
    """

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        sizes = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(sizes) != 2 or any(size < 1 or size % 2 == 0 for size in sizes):
            raise ArgumentError(
                f"expects kernel_size as one or two odd numbers, got {kernel_size}", subject="GaussianBlur"
            )
        self.kernel_size = sizes
        self.sigma = number_range("sigma", (sigma,) * 2 if isinstance(sigma, int | float) else sigma, self)
        if self.sigma[0] <= 0:
            raise ArgumentError(f"expects sigma > 0, got {sigma}", subject="GaussianBlur")

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        n, (wide, high) = images(x, self).shape[0], self.kernel_size
        sigma = drawn_from(rng).uniform(*self.sigma, size=n)
        half_w, half_h = wide // 2, high // 2
        values = padded(computed(x), (half_w, half_h, half_w, half_h), 0, "reflect", self)
        for axis, size in ((2, high), (3, wide)):
            distance = np.arange(size) - size // 2
            bell = np.exp(-0.5 * np.square(distance / sigma[:, None]))
            bell /= bell.sum(axis=1, keepdims=True)
            values = _weighted(values, on_device(bell, x, floating=True), axis)
        return in_type_of(values, x)


class RandomAdjustSharpness(Transform):
    """Blur or sharpen each image with probability `p`.

    Args:
        sharpness_factor: 0 blurs, 1 leaves the image, 2 sharpens it as much as 0 blurs.

    >>> RandomAdjustSharpness(1.0, p=1.0)(np.ones((1, 3, 3))).sum().round(6)
    np.float64(9.0)
    """

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        if sharpness_factor < 0:
            raise ArgumentError(
                f"expects sharpness_factor >= 0, got {sharpness_factor}", subject="RandomAdjustSharpness"
            )
        self.sharpness_factor = sharpness_factor
        self.p = probability(p, self)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""

        def change(part: Any) -> Any:
            return adjust_sharpness(part, np.full(part.shape[0], self.sharpness_factor))

        return sometimes(images(x, self), self.p, rng, change, self)


def adjust_sharpness(x: Array, factors: np.ndarray) -> Any:
    """Images moved away from what a blur of 3 x 3 makes of them, or towards it; their edges stay."""
    xp = namespace(x)
    height, width = x.shape[2:]
    if height <= 2 or width <= 2:
        return x
    values = computed(x)
    ring = None
    for top in range(3):
        for left in range(3):
            weight = 5.0 / 13.0 if top == left == 1 else 1.0 / 13.0
            part = values[:, :, top : top + height - 2, left : left + width - 2] * weight
            ring = part if ring is None else ring + part
    blurred: Any = ring if is_floating(x) else xp.round(ring)
    inner = values[:, :, 1:-1, 1:-1]
    inner = inner + (1 - per_image(factors, x)) * (blurred - inner)
    middle = xp.concat([values[:, :, 1:-1, :1], inner, values[:, :, 1:-1, -1:]], axis=3)
    whole = xp.concat([values[:, :, :1, :], middle, values[:, :, -1:, :]], axis=2)
    return in_type_of(xp.clip(whole, 0.0, float(largest(x))), x, nearest=False)


def _weighted(x: Array, weights: Array, axis: int) -> Any:
    """Sums along an axis of images, weighted by each image's row of (N, k) `weights`."""
    xp = namespace(x)
    count = weights.shape[1]
    goal = x.shape[axis] - count + 1
    total = None
    for k in range(count):
        window = [slice(None)] * 4
        window[axis] = slice(k, k + goal)
        part = x[tuple(window)] * xp.reshape(weights[:, k], (-1, 1, 1, 1))
        total = part if total is None else total + part
    return total
