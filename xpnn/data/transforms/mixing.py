"""Batches whose images and labels are mixed with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnn.autograd.core import new_tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    IndexOutOfRangeError,
    RefusingConstructor,
    ShapeError,
    admit,
    is_array,
    is_floating,
    is_tensor,
    namespace,
    to_numpy,
)
from xpnn.data.transforms.base import computed, drawn_from, in_type_of, on_device

__all__ = ["CutMix", "MixUp"]


class _Mix(RefusingConstructor):
    """A batch mixed with itself, shifted by one sample.

    Args:
        alpha: of the Beta(alpha, alpha) distribution that the first image's share is drawn from.
        num_classes: makes rows of one-hot labels out of whole numbers; not needed for labels (N, classes).
        labels_getter: finds the labels in what is not (images, labels) or a dict with "image" and "label".
    """

    def __init__(
        self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default"
    ) -> None:
        if not alpha > 0:
            raise ArgumentError(f"expects alpha > 0, got {alpha}", subject=type(self).__name__)
        if labels_getter != "default" and labels_getter is not None and not callable(labels_getter):
            raise ArgumentError(
                f"expects labels_getter as a function, got {labels_getter!r}", subject=type(self).__name__
            )
        self.alpha = float(alpha)
        self.num_classes = num_classes
        self.labels_getter = labels_getter

    def __call__(self, *inputs: Any, rng: np.random.Generator | None = None) -> Any:
        """Mix a batch.

        Args:
            *inputs: images (N, C, H, W) and labels, whole numbers (N,) or floats (N, classes); or one pair or
                dict of them, as a DataLoader gives; arrays of any library, or Tensors.
            rng: as for a `Transform`.

        Returns: images and labels (N, classes) in floats, in the structure that came.

        Raises: ShapeError, DTypeError and IndexOutOfRangeError for anything else.
        """
        batch = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(batch, Mapping):
            images, labels = self._mixed(batch["image"], batch["label"], rng)
            return {**batch, "image": images, "label": labels}
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise ArgumentError(
                "expects (images, labels) or a dict with 'image' and 'label'", subject=type(self).__name__
            )
        labels = self.labels_getter(batch) if callable(self.labels_getter) else batch[1]
        images, mixed = self._mixed(batch[0], labels, rng)
        return type(batch)([images, *(mixed if part is labels else part for part in batch[1:])])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, num_classes={self.num_classes})"

    def _mixed(self, images: Any, labels: Any, rng: np.random.Generator | None) -> tuple[Any, Any]:
        name = type(self).__name__
        rng = drawn_from(rng)
        x, y = (admit(part, name) if is_array(part) else np.asarray(part) for part in (images, labels))
        if x.ndim != 4 or y.ndim not in (1, 2) or x.shape[0] != y.shape[0]:
            raise ShapeError(
                f"expects images (N, C, H, W) and labels (N,) or (N, classes), got {tuple(x.shape)} and "
                f"{tuple(y.shape)}",
                subject=name,
            )
        y = self._rows(y)
        share = float(rng.beta(self.alpha, self.alpha))
        x, share = self._images(x, share, rng)
        y = in_type_of(_between(computed(y), share), y)
        return (new_tensor(x) if is_tensor(images) else x), (new_tensor(y) if is_tensor(labels) else y)

    def _images(self, x: Any, share: float, rng: np.random.Generator) -> tuple[Any, float]:
        """The mixed images, and the share of the first ones."""
        raise NotImplementedError(f"{type(self).__name__} must define _images")

    def _rows(self, labels: Array) -> Any:
        """Labels as rows of floats."""
        name = type(self).__name__
        if labels.ndim == 2:
            if not is_floating(labels):
                raise DTypeError(f"expects labels (N, classes) in floats, got {labels.dtype}", subject=name)
            return labels
        if self.num_classes is None:
            raise ArgumentError("expects num_classes for labels that are whole numbers", subject=name)
        numbers = to_numpy(labels)
        if numbers.dtype.kind not in "iu":
            raise DTypeError(f"expects labels (N,) as whole numbers, got {numbers.dtype}", subject=name)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.num_classes:
            wrong = numbers.min() if numbers.min() < 0 else numbers.max()
            raise IndexOutOfRangeError(f"expects labels below {self.num_classes}, got {wrong}", subject=name)
        return on_device(np.eye(self.num_classes, dtype=np.float32)[numbers], labels)


class MixUp(_Mix):
    """Each image faded into its neighbour in the batch, and the labels alike.

    `x_i <- share x_i + (1 - share) x_{i-1}`, one share for the batch.

    Args:
        alpha: of the Beta(alpha, alpha) distribution of the share.
        num_classes: makes rows of one-hot labels out of whole numbers.
        labels_getter: a function that finds the labels in the batch; by default they are its second entry.

    See: Zhang, Cisse, Dauphin & Lopez-Paz (2018), "mixup: Beyond Empirical Risk Minimization".

    >>> images, labels = MixUp(num_classes=3)(np.ones((2, 1, 2, 2)), np.array([0, 2]))
    >>> labels.shape, labels.sum(axis=1).tolist()
    ((2, 3), [1.0, 1.0])
    """

    def _images(self, x: Any, share: float, rng: np.random.Generator) -> tuple[Any, float]:
        if not is_floating(x):
            raise DTypeError(f"expects images in floats, got {x.dtype}", subject="MixUp")
        return in_type_of(_between(computed(x), share), x), share


class CutMix(_Mix):
    """A rectangle of each image replaced by its neighbour's, and the labels mixed by the areas.

    Args:
        alpha: of the Beta(alpha, alpha) distribution of the share that stays.
        num_classes, labels_getter: as in `MixUp`.

    See: Yun et al. (2019), "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features".

    >>> images, labels = CutMix(num_classes=2)(np.ones((2, 1, 4, 4)), np.array([0, 1]))
    >>> images.shape, labels.sum(axis=1).tolist()
    ((2, 1, 4, 4), [1.0, 1.0])
    """

    def _images(self, x: Any, share: float, rng: np.random.Generator) -> tuple[Any, float]:
        height, width = x.shape[2:]
        x_middle, y_middle = int(rng.integers(width)), int(rng.integers(height))
        half = 0.5 * np.sqrt(1.0 - share)
        half_w, half_h = int(half * width), int(half * height)
        left, right = max(x_middle - half_w, 0), min(x_middle + half_w, width)
        top, bottom = max(y_middle - half_h, 0), min(y_middle + half_h, height)
        inside = np.zeros((1, 1, height, width), dtype=bool)
        inside[:, :, top:bottom, left:right] = True
        xp = namespace(x)
        mixed = xp.where(on_device(inside, x), xp.roll(x, 1, axis=0), x)
        return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


def _between(x: Array, share: float) -> Any:
    return x * share + namespace(x).roll(x, 1, axis=0) * (1.0 - share)
