"""Parts of images taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, Array, is_floating, namespace
from xpnn.data.transforms.base import (
    Transform,
    drawn_from,
    filling,
    images,
    number_range,
    on_device,
    probability,
)

__all__ = ["Cutout", "RandomErasing"]

_TRIES = 10  # to find a part of a random shape that lies within the image


class RandomErasing(Transform):
    """Erase a rectangle of random size and place from each image with probability `p`.

    Args:
        p: the probability.
        scale: the range of the rectangle's share of the area.
        ratio: the range of its height by its width, drawn evenly on a logarithmic scale.
        value: what stands there: a number, one for each channel, or "random" for normal noise.
        inplace: accepted as PyTorch writes it; the input is never changed.

    What does not fit into the image within ten draws is not erased.

    Raises: ArgumentError for what is no such range or value. See: Zhong et al. (2020), "Random Erasing Data
    Augmentation".

    >>> float(RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1, 1))(np.ones((1, 8, 8))).sum())
    48.0
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0.0,
        inplace: bool = False,
    ) -> None:
        self.p = probability(p, self)
        self.scale = number_range("scale", scale, self, least=0)
        self.ratio = number_range("ratio", ratio, self, least=1e-9)
        if self.scale[1] > 1:
            raise ArgumentError(f"expects scale within [0, 1], got {scale}", subject="RandomErasing")
        if isinstance(value, str) and value != "random":
            raise ArgumentError(
                f"expects value as numbers or 'random', got {value!r}", subject="RandomErasing"
            )
        self.value = value

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        chosen = rng.random(n) < self.p
        boxes = [self._box(rng, height, width) if one else (0, 0, 0, 0) for one in chosen.tolist()]
        if not isinstance(self.value, str):
            return erased(x, boxes, self.value, self)
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        if not is_floating(x):
            noise = np.clip(noise, 0, None)
        return _erased_by(x, boxes, namespace(x).astype(on_device(noise, x), x.dtype))

    def _box(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right; of no area if none fits."""
        low, high = (math.log(end) for end in self.ratio)
        for _ in range(_TRIES):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < height and w < width:
                top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
                return top, left, top + h, left + w
        return 0, 0, 0, 0


class Cutout(Transform):
    """Erase squares around random places of each image; what of them lies outside is lost.

    Args:
        size: the squares' height and width in pixels, or one number for both.
        count: squares in an image.
        value: what stands there, a number or one for each channel.

    See: DeVries & Taylor (2017), "Improved Regularization of Convolutional Neural Networks with Cutout".

    >>> Cutout(2)(np.ones((4, 1, 8, 8))).min(axis=(1, 2, 3)).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, size: int | Sequence[int], count: int = 1, value: Any = 0.0) -> None:
        sizes = (size, size) if isinstance(size, int) else tuple(size)
        if len(sizes) != 2 or min(sizes) < 1 or count < 1:
            raise ArgumentError(
                f"expects size and count of at least 1, got size={size} and count={count}", subject="Cutout"
            )
        self.size = sizes
        self.count = count
        self.value = value

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images (N, C, H, W)."""
        rng = drawn_from(rng)
        n, _, height, width = images(x, self).shape
        h, w = self.size
        for _ in range(self.count):
            tops = rng.integers(height, size=n) - h // 2
            lefts = rng.integers(width, size=n) - w // 2
            boxes = [
                (max(top, 0), max(left, 0), top + h, left + w)
                for top, left in zip(tops.tolist(), lefts.tolist())
            ]
            x = erased(x, boxes, self.value, self)
        return x


def erased(x: Array, boxes: Sequence[tuple[int, int, int, int]], value: Any, transform: Any) -> Any:
    """Images with a value in a box (top, left, bottom, right) of each."""
    filled = namespace(x).astype(filling(value, x, transform), x.dtype)
    return _erased_by(x, boxes, filled)


def _erased_by(x: Array, boxes: Sequence[tuple[int, int, int, int]], values: Any) -> Any:
    if type(x) is np.ndarray:
        changed = x.copy()
        values = np.broadcast_to(values, x.shape)
        for number, (top, left, bottom, right) in enumerate(boxes):
            place = (number, slice(None), slice(top, bottom), slice(left, right))
            changed[place] = values[place]
        return changed
    inside = np.zeros((len(boxes), 1, *x.shape[2:]), dtype=bool)
    for number, (top, left, bottom, right) in enumerate(boxes):
        inside[number, 0, top:bottom, left:right] = True
    return namespace(x).where(on_device(inside, x), values, x)
