"""Transforms of values: ranges, statistics, element types, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import (
    ArgumentError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    is_array,
    is_floating,
    namespace,
    to_numpy,
)
from xpnn.data.transforms.base import Transform, computed, float_type, integer_range, on_device

__all__ = ["Normalize", "OneHot", "Rescale", "Standardize", "ToFloat"]


class ToFloat(Transform):
    """Integers to float32 in [0, 1], divided by the largest value of their type; floats to float32.

    >>> ToFloat()(np.array([0, 51, 255], dtype=np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform an array of any shape."""
        if type(x) is np.ndarray and x.dtype.kind in "iu":
            return np.divide(x, integer_range(x)[1], dtype=np.float32)
        xp = namespace(x)
        if is_floating(x):
            return xp.astype(x, xp.float32, copy=False)
        return xp.astype(x, xp.float32) / integer_range(x)[1]


class Rescale(Transform):
    """Map a range linearly onto [low, high]: `low + (x - a) (high - low) / (b - a)`.

    Args:
        low, high: the range of the result.
        source: the range (a, b) of the input; None is (0, largest value) of an integer type
            and (0, 1) for floats.

    Integers become float32, floats keep their type.

    >>> Rescale(-1, 1)(np.array([0, 255], dtype=np.uint8)).tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self, low: float = 0.0, high: float = 1.0, source: tuple[float, float] | None = None
    ) -> None:
        if source is not None and source[0] == source[1]:
            raise ArgumentError(f"expects a source range of some width, got {source}", subject="Rescale")
        self.low = low
        self.high = high
        self.source = source

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform an array of any shape."""
        a, b = self.source or (0, 1 if is_floating(x) else integer_range(x)[1])
        scale = (self.high - self.low) / (b - a)
        return namespace(x).astype(computed(x) * scale + (self.low - a * scale), float_type(x), copy=False)


class Standardize(Transform):
    """Subtract the mean and divide by the standard deviation, per channel: `(x - mean) / std`.

    Args:
        mean, std: numbers, or sequences of one number per channel, which is the sample's first axis.

    Integers become float32, floats keep their type. Raises: ArgumentError for a std that is not positive.

    >>> Standardize(mean=[1.0, 0.0], std=[2.0, 1.0])(np.ones((2, 1, 1))).ravel().tolist()
    [0.0, 1.0]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = to_numpy(mean).astype(np.float64)
        self.std = to_numpy(std).astype(np.float64)
        self._shaped: tuple[Any, ...] | None = None  # as the last batch needed them
        if not np.all(self.std > 0):
            raise ArgumentError(
                f"expects a positive std for each channel, got {std}", subject=type(self).__name__
            )

    @classmethod
    def fit(cls, dataset: Any, batch_size: int = 1024) -> Standardize:
        """The transform that gives each channel of `dataset` mean 0 and standard deviation 1.

        Args:
            dataset: an array (N, C, ...), or a dataset whose samples are (C, ...) or tuples of which
                that is the first entry.
            batch_size: samples read at a time.

        >>> Standardize.fit(np.array([[[[1.0]]], [[[3.0]]]]))
        Standardize(mean=[2.], std=[1.])
        """
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(dataset), batch_size):
            indices = range(start, min(start + batch_size, len(dataset)))
            x = _inputs(dataset, indices).astype(np.float64)
            axes = (0, *range(2, x.ndim))
            count += x.size // x.shape[1]
            total = total + x.sum(axis=axes)
            squares = squares + np.square(x).sum(axis=axes)
        if not count:
            raise ArgumentError("expects at least one sample, got an empty dataset", subject=cls.__name__)
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - np.square(mean), 0)))

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples (N, C, ...)."""
        channels = max(self.mean.size, self.std.size)
        if channels > 1 and (x.ndim < 2 or x.shape[1] != channels):
            raise ShapeError(
                f"expects {channels} channels, got samples of shape {tuple(x.shape[1:])}",
                subject=type(self).__name__,
            )
        shape = (-1, *(1,) * (x.ndim - 2))
        if type(x) is np.ndarray and x.dtype != np.float16:
            dtype = float_type(x)
            if self._shaped is None or self._shaped[0] != (dtype, x.ndim):
                parts = (value.astype(dtype).reshape(shape) for value in (self.mean, self.std))
                self._shaped = ((dtype, x.ndim), *parts)
            _, mean, std = self._shaped
            centred = np.subtract(x, mean, dtype=dtype)
            centred /= std
            return centred
        mean, std = (on_device(value.reshape(shape), x, floating=True) for value in (self.mean, self.std))
        return namespace(x).astype((computed(x) - mean) / std, float_type(x), copy=False)


class Normalize(Standardize):
    """`Standardize` by PyTorch's name and arguments, for images in floats.

    Args:
        mean, std: as in `Standardize`.
        inplace: accepted as PyTorch writes it; the input is never changed.

    Raises: DTypeError for integers, which ToTensor or ToFloat make floats of.

    >>> Normalize([0.5], [0.25])(np.ones((1, 1, 1))).tolist()
    [[[2.0]]]
    """

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], inplace: bool = False
    ) -> None:
        super().__init__(mean, std)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform samples (N, C, ...)."""
        if not is_floating(x):
            raise DTypeError(
                f"expects images in floats, got {x.dtype}",
                subject="Normalize",
                hint="Put ToTensor() or ToFloat() before it, or use Standardize",
            )
        return super().batch(x, rng)

    def pillow(self, image: Any, rng: np.random.Generator | None = None) -> Any:
        """Refuse an image of Pillow, which has no floats."""
        raise DTypeError(
            "expects images in floats, got one of Pillow",
            subject="Normalize",
            hint="Put ToTensor() before it",
        )


class OneHot(Transform):
    """Integer labels to rows of the identity matrix: (...) to (..., num_classes) float32.

    Raises: DTypeError for labels that are no integers, IndexOutOfRangeError for one out of range.

    >>> OneHot(3)(1).tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform labels of any shape."""
        labels = to_numpy(x)
        if labels.dtype.kind not in "iu":
            raise DTypeError(f"expects integer labels, got {labels.dtype}", subject="OneHot")
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise IndexOutOfRangeError(
                f"expects labels below {self.num_classes}, got {wrong}", subject="OneHot"
            )
        return on_device(np.eye(self.num_classes, dtype=np.float32)[labels], x)


def _inputs(dataset: Any, indices: range) -> np.ndarray:
    """The inputs of the samples at `indices`, stacked."""
    if is_array(dataset):
        return to_numpy(dataset)[indices.start : indices.stop]
    if getattr(dataset, "batched", False):
        batch = dataset.gather(indices)
        return batch[0] if isinstance(batch, tuple) else batch
    samples = [dataset[index] for index in indices]
    return np.stack([to_numpy(sample[0] if isinstance(sample, tuple) else sample) for sample in samples])
