"""Transforms of images and labels on the host, each for a single sample and for a whole batch at once.

Images are channels-first: a sample is (C, H, W), a batch (N, C, H, W). A transform of one's own is any
callable on a sample; a subclass of `Transform` that defines `batch` is fast in a DataLoader, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError, is_array, to_numpy
from xpnn.data.seeding import transform_generator

_PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class Transform:
    """The base of transforms: subclasses define `batch`, and single samples follow from it.

    >>> class Invert(Transform):
    ...     def batch(self, x, rng=None):
    ...         return 1 - x
    >>> Invert()(np.zeros((1, 1, 2))).tolist()
    [[[1.0, 1.0]]]
    """

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images.

        Args:
            rng: what random transforms draw from. None is the generator of the batch that a DataLoader
                is loading, which depends on (seed, epoch, batch) alone; outside of one, the host's.
        """
        x = to_numpy(x)
        return self.batch(x, rng) if x.ndim == 4 else self.batch(x[None], rng)[0]

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform samples stacked along the first axis."""
        raise NotImplementedError(f"{type(self).__name__} must define batch")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in vars(self).items())})"


def transform_batch(
    transform: Callable[[Any], Any], batch: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Apply any transform to samples stacked along the first axis, one by one if it knows no batches.

    >>> transform_batch(lambda image: image.reshape(-1), np.zeros((5, 1, 2, 2))).shape
    (5, 4)
    """
    if isinstance(transform, Transform):
        return transform.batch(batch, rng)
    return np.stack([transform(sample) for sample in batch])


class Compose(Transform):
    """One transform after the other; any callables on a sample.

    >>> Compose([ToFloat(), Rescale(-1, 1)])(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images."""
        for transform in self.transforms:
            x = transform(x, rng) if isinstance(transform, Transform) else transform(x)
        return x

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform samples stacked along the first axis."""
        for transform in self.transforms:
            x = transform_batch(transform, x, rng)
        return x


class ToFloat(Transform):
    """Integers to float32 in [0, 1], divided by the largest value of their type; floats to float32.

    >>> ToFloat()(np.array([0, 51, 255], dtype=np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform an array of any shape."""
        if x.dtype.kind in "iu":
            return np.divide(x, np.iinfo(x.dtype).max, dtype=np.float32)
        return x.astype(np.float32, copy=False)


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

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform an array of any shape."""
        a, b = self.source or (0, np.iinfo(x.dtype).max if x.dtype.kind in "iu" else 1)
        scale = (self.high - self.low) / (b - a)
        rescaled = np.multiply(x, scale, dtype=_float_type(x))
        rescaled += self.low - a * scale
        return rescaled


class Standardize(Transform):
    """Subtract the mean and divide by the standard deviation, per channel: `(x - mean) / std`.

    Args:
        mean, std: numbers, or sequences of one number per channel, which is the sample's first axis.

    Integers become float32, floats keep their type. Raises: ArgumentError for a std that is not positive.

    >>> Standardize(mean=[1.0, 0.0], std=[2.0, 1.0])(np.ones((2, 1, 1))).ravel().tolist()
    [0.0, 1.0]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = np.asarray(mean, dtype=np.float64)
        self.std = np.asarray(std, dtype=np.float64)
        if not np.all(self.std > 0):
            raise ArgumentError(f"expects a positive std for each channel, got {std}", subject="Standardize")

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
            raise ArgumentError("expects at least one sample, got an empty dataset", subject="Standardize")
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - np.square(mean), 0)))

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform samples (N, C, ...)."""
        dtype, shape = _float_type(x), (-1, *(1,) * (x.ndim - 2))
        channels = max(self.mean.size, self.std.size)
        if channels > 1 and (x.ndim < 2 or x.shape[1] != channels):
            raise ShapeError(
                f"expects {channels} channels, got samples of shape {x.shape[1:]}", subject="Standardize"
            )
        mean, std = (value.astype(dtype).reshape(shape) for value in (self.mean, self.std))
        centred = np.subtract(x, mean, dtype=dtype)
        centred /= std
        return centred


class OneHot(Transform):
    """Integer labels to rows of the identity matrix: (...) to (..., num_classes) float32.

    Raises: DTypeError for labels that are no integers, IndexOutOfRangeError for one out of range.

    >>> OneHot(3)(1).tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform labels of any shape."""
        if x.dtype.kind not in "iu":
            raise DTypeError(f"expects integer labels, got {x.dtype}", subject="OneHot")
        if x.size and not 0 <= x.min() <= x.max() < self.num_classes:
            wrong = x.min() if x.min() < 0 else x.max()
            raise IndexOutOfRangeError(
                f"expects labels below {self.num_classes}, got {wrong}", subject="OneHot"
            )
        return np.eye(self.num_classes, dtype=np.float32)[x]


class Pad(Transform):
    """Add cells around images.

    Args:
        padding: the same on all sides, (left and right, top and bottom), or (left, top, right, bottom).
        fill: the value of the cells for the mode "constant".
        padding_mode: "constant", "edge", "reflect" (without the border cell) or "symmetric" (with it).

    >>> Pad((1, 0))(np.ones((1, 1, 2))).tolist()
    [[[0.0, 1.0, 1.0, 0.0]]]
    """

    def __init__(self, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant") -> None:
        sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        sides = sides * 2 if len(sides) == 2 else sides
        if len(sides) != 4 or min(sides) < 0:
            raise ArgumentError(f"expects 1, 2 or 4 numbers >= 0 as padding, got {padding}", subject="Pad")
        if padding_mode not in _PADDING_MODES:
            raise ArgumentError(f"expects one of {_PADDING_MODES}, got {padding_mode!r}", subject="Pad")
        self.padding = sides
        self.fill = fill
        self.padding_mode = padding_mode

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform images (N, C, H, W)."""
        left, top, right, bottom = self.padding
        options = {"constant_values": self.fill} if self.padding_mode == "constant" else {}
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        return np.pad(_images(x, self), widths, mode=self.padding_mode, **options)  # type: ignore[call-overload]


class CenterCrop(Transform):
    """Cut the middle out of images; what is smaller than `size` is first padded with zeros.

    Args:
        size: (height, width), or one number for both.

    >>> CenterCrop(1)(np.arange(9).reshape(1, 3, 3)).tolist()
    [[[4]]]
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = _pair(size, self)

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform images (N, C, H, W)."""
        h, w = self.size
        gap_h, gap_w = (max(goal - side, 0) for goal, side in zip(self.size, _images(x, self).shape[2:]))
        if gap_h or gap_w:
            x = Pad((gap_w // 2, gap_h // 2, (gap_w + 1) // 2, (gap_h + 1) // 2)).batch(x)
        top, left = round((x.shape[2] - h) / 2), round((x.shape[3] - w) / 2)
        return x[:, :, top : top + h, left : left + w]


class RandomCrop(Transform):
    """Cut `size` out of each image at a place of its own, after padding.

    Args:
        size: (height, width), or one number for both.
        padding, fill, padding_mode: as for `Pad`; no padding by default.

    Raises: ShapeError for images smaller than `size`.

    >>> RandomCrop(28, padding=4)(np.zeros((16, 1, 28, 28))).shape
    (16, 1, 28, 28)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | Sequence[int] | None = None,
        *,
        fill: float = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = _pair(size, self)
        self.pad = None if padding is None else Pad(padding, fill, padding_mode)

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform images (N, C, H, W)."""
        rng = transform_generator() if rng is None else rng
        x = _images(x, self) if self.pad is None else self.pad.batch(x)
        n, _, height, width = x.shape
        h, w = self.size
        if height < h or width < w:
            raise ShapeError(
                f"expects images of at least {h} x {w}, got {height} x {width} after padding",
                subject="RandomCrop",
                hint="Add padding=, or Resize first",
            )
        top, left = rng.integers(height - h + 1, size=n), rng.integers(width - w + 1, size=n)
        windows = np.lib.stride_tricks.sliding_window_view(x, self.size, axis=(2, 3))
        return windows[np.arange(n), :, top, left]


class RandomHorizontalFlip(Transform):
    """Mirror each image left to right with probability `p`.

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[1, 2]]])).tolist()
    [[[2, 1]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"expects a probability p in [0, 1], got {p}", subject="RandomHorizontalFlip")
        self.p = p

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform images (N, C, H, W)."""
        rng = transform_generator() if rng is None else rng
        chosen = rng.random(len(_images(x, self))) < self.p
        flipped = x.copy()
        flipped[chosen] = x[chosen, :, :, ::-1]
        return flipped


class Resize(Transform):
    """Bring images to a size by linear interpolation, averaging over the pixels that fall together.

    Args:
        size: (height, width); or one number for the shorter side, which keeps the proportions.

    Each target pixel is a weighted mean with weights that fall linearly from its centre; when shrinking,
    over as many more pixels as the image shrinks (antialiasing). uint8 stays uint8, rounded.

    >>> Resize((1, 1))(np.array([[[0.0, 1.0], [2.0, 3.0]]])).tolist()
    [[[1.5]]]
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = size if isinstance(size, int) else _pair(size, self)

    def batch(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transform images (N, C, H, W)."""
        height, width = _images(x, self).shape[2:]
        if isinstance(self.size, int):
            short = min(height, width)
            h, w = (self.size * side // short for side in (height, width))
        else:
            h, w = self.size
        if (h, w) == (height, width):
            return x
        values = x.astype(_float_type(x), copy=False)
        rows, columns = (_resampling(*sizes).astype(values.dtype) for sizes in ((height, h), (width, w)))
        resized = rows @ values @ columns.T
        if x.dtype.kind in "iu":
            return np.rint(resized).astype(x.dtype)
        return resized


def _resampling(source: int, target: int) -> np.ndarray:
    """The (target, source) matrix of linear interpolation with antialiasing; its rows add up to 1."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1 - distance, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _inputs(dataset: Any, indices: range) -> np.ndarray:
    """The inputs of the samples at `indices`, stacked."""
    if is_array(dataset):
        return to_numpy(dataset)[indices.start : indices.stop]
    if getattr(dataset, "batched", False):
        batch = dataset.gather(indices)
        return batch[0] if isinstance(batch, tuple) else batch
    samples = [dataset[index] for index in indices]
    return np.stack([to_numpy(sample[0] if isinstance(sample, tuple) else sample) for sample in samples])


def _float_type(x: np.ndarray) -> Any:
    """The element type of the result: floats keep theirs, integers become float32."""
    return x.dtype if x.dtype.kind == "f" else np.float32


def _images(x: np.ndarray, transform: Transform) -> np.ndarray:
    if x.ndim != 4:
        raise ShapeError(
            f"expects images (C, H, W), in a batch (N, C, H, W), got samples of shape {x.shape[1:]}",
            subject=type(transform).__name__,
            hint="Grey images need an axis of one channel: images[:, None]",
        )
    return x


def _pair(size: int | tuple[int, int], transform: Transform) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ArgumentError(
            f"expects a size (height, width) of positive numbers, got {size}",
            subject=type(transform).__name__,
        )
    return pair
