"""What all transforms share: one call for images of every kind, one method for a batch."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xpnn.autograd.core import new_tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    RefusingConstructor,
    ShapeError,
    admit,
    backend_of,
    device_of,
    is_array,
    is_floating,
    is_half,
    is_tensor,
    move,
    namespace,
    optional_import,
    to_numpy,
)
from xpnn.data.seeding import transform_generator

__all__ = ["Transform", "transform_batch"]

Generator = np.random.Generator


class Transform(RefusingConstructor):
    """The base of transforms: subclasses define `batch`, and all other ways to call it follow from that.

    A sample is an array (C, H, W) of NumPy or any other library, a Tensor, or a Pillow image, and comes back
    as the same kind; a batch is (N, C, H, W). Of a dict, the entry "image" is transformed; an entry "mask",
    (H, W) or (C, H, W), follows where the image is moved, by the nearest pixel.

    >>> class Invert(Transform):
    ...     def batch(self, x, rng=None):
    ...         return 1 - x
    >>> Invert()(np.zeros((1, 1, 2))).tolist()
    [[[1.0, 1.0]]]
    """

    moves = False  # whether pixels change their places, which a mask has to follow

    def __call__(self, x: Any, rng: Generator | None = None) -> Any:
        """Transform a sample, or a batch (N, C, H, W) of images.

        Args:
            rng: what random transforms draw from. None is the generator of the batch that a DataLoader
                is loading, which depends on (seed, epoch, batch) alone; outside of one, the host's.
        """
        if type(x) is np.ndarray:
            return self._raw(x, rng)
        if isinstance(x, Mapping):
            return self._entries(x, transform_generator() if rng is None else rng)
        if is_pillow(x):
            return self.pillow(x, rng)
        if is_tensor(x):
            return new_tensor(self._raw(admit(x, type(self).__name__), rng))
        return self._raw(x if is_array(x) else np.asarray(x), rng)

    def batch(self, x: Any, rng: Generator | None = None) -> Any:
        """Transform samples stacked along the first axis. Each draws random numbers of its own."""
        raise NotImplementedError(f"{type(self).__name__} must define batch")

    def pillow(self, image: Any, rng: Generator | None = None) -> Any:
        """Transform a Pillow image."""
        return to_pillow(self.batch(from_pillow(image)[None], rng)[0])

    def __repr__(self) -> str:
        shown = ((name, value) for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown)})"

    def _raw(self, x: Array, rng: Generator | None) -> Any:
        return self.batch(x, rng) if x.ndim == 4 else self.batch(x[None], rng)[0]

    def _entries(self, sample: Mapping[Any, Any], rng: Generator) -> dict[Any, Any]:
        """A dict with its image transformed, and its mask by the same draw."""
        if "image" not in sample:
            raise ArgumentError(
                f"expects a dict with an entry 'image', got {list(sample)}", subject=type(self).__name__
            )
        if not self.moves or "mask" not in sample:
            return {**sample, "image": self(sample["image"], rng)}
        seed = int(rng.integers(2**63))
        image = self(sample["image"], np.random.default_rng(seed))
        follow, mask = copy.copy(self), sample["mask"]
        follow.__dict__.update({"interpolation": "nearest", "fill": 0})
        flat = not is_pillow(mask) and mask.ndim == 2
        moved = follow(mask[None] if flat else mask, np.random.default_rng(seed))
        return {**sample, "image": image, "mask": moved[0] if flat else moved}


def transform_batch(transform: Callable[[Any], Any], batch: Any, rng: Generator | None = None) -> Any:
    """Apply any transform to samples stacked along the first axis, one by one if it knows no batches.

    >>> transform_batch(lambda image: image.reshape(-1), np.zeros((5, 1, 2, 2))).shape
    (5, 4)
    """
    if isinstance(transform, Transform):
        return transform.batch(batch, rng)
    samples = [transform(sample) for sample in batch]
    if is_pillow(samples[0]):
        samples = [from_pillow(sample) for sample in samples]
    samples = [admit(sample, "a transform") if is_tensor(sample) else sample for sample in samples]
    return namespace(*samples).stack(samples) if is_array(samples[0]) else np.stack(samples)


def drawn_from(rng: Generator | None) -> Generator:
    """`rng`, or else the generator of the batch that is being loaded."""
    return transform_generator() if rng is None else rng


def parts_of(x: Array, groups: Sequence[tuple[np.ndarray, Callable[[Any], Any] | None]], subject: str) -> Any:
    """A batch whose samples are transformed by groups.

    Args:
        x: (N, ...).
        groups: the samples' numbers and what to do with them, None to leave them; all N occur once.
    """
    groups = [(chosen, function) for chosen, function in groups if len(chosen)]
    if not groups or all(function is None for _, function in groups):
        return x
    if len(groups) == 1 and groups[0][1] is not None:
        return groups[0][1](x)
    xp = namespace(x)
    done = []
    for chosen, function in groups:
        part = x[chosen] if type(x) is np.ndarray else xp.take(x, on_device(chosen, x), axis=0)
        done.append(part if function is None else function(part))
    if len({(part.shape[1:], str(part.dtype)) for part in done}) > 1:
        found = " and ".join(sorted({f"{tuple(part.shape[1:])} {part.dtype}" for part in done}))
        raise ShapeError(
            f"expects transforms that give samples of one shape and element type, got {found}",
            subject=subject,
            hint="Apply it sample by sample, or give it transforms that keep the shape",
        )
    back = np.argsort(np.concatenate([chosen for chosen, _ in groups]))
    whole = xp.concat(done, axis=0)
    return whole[back] if type(whole) is np.ndarray else xp.take(whole, on_device(back, whole), axis=0)


def sometimes(
    x: Array, p: float, rng: Generator | None, change: Callable[[Any], Any], transform: Transform
) -> Any:
    """A batch whose samples are changed with probability `p` each."""
    chosen = drawn_from(rng).random(x.shape[0]) < p
    groups = [(np.flatnonzero(~chosen), None), (np.flatnonzero(chosen), change)]
    return parts_of(x, groups, type(transform).__name__)


def on_device(values: np.ndarray, like: Array, floating: bool = False) -> Any:
    """Host values where `like` is; floating ones in the type that `like` is computed in."""
    if type(like) is np.ndarray:
        return values.astype(computing_type(like), copy=False) if floating else values
    moved = move(values, backend_of(like), device_of(like))
    return namespace(like).astype(moved, computing_type(like)) if floating else moved


def per_image(values: Any, like: Array) -> Any:
    """One number for each image of a batch, as (N, 1, 1, 1) where that is."""
    return on_device(np.asarray(values, dtype=np.float64).reshape(-1, 1, 1, 1), like, floating=True)


def computing_type(x: Array) -> Any:
    """The type that images are computed in: their own if that is a float of 32 bits or more, else float32."""
    return x.dtype if is_floating(x) and not is_half(x) else namespace(x).float32


def float_type(x: Array) -> Any:
    """The element type of a result in floats: floats keep theirs, integers become float32."""
    return x.dtype if is_floating(x) else namespace(x).float32


def computed(x: Array) -> Any:
    """`x` in the type that it is computed in."""
    return namespace(x).astype(x, computing_type(x), copy=False)


def in_type_of(values: Any, x: Array, nearest: bool = True) -> Any:
    """Results in the element type of `x`; for integers rounded, or cut, and brought into the type's range."""
    xp = namespace(values)
    if not is_floating(x):
        values = xp.clip(xp.round(values) if nearest else values, *integer_range(x))
    return xp.astype(values, x.dtype, copy=False)


def integer_range(x: Array) -> tuple[int, int]:
    """The smallest and largest value of the integer type of `x`."""
    return _range_of(namespace(x), x.dtype)


@functools.lru_cache(maxsize=64)
def _range_of(xp: Any, dtype: Any) -> tuple[int, int]:
    info = xp.iinfo(dtype)
    return int(info.min), int(info.max)


def largest(x: Array) -> float:
    """What stands for white: 1 in floats, the largest value of an integer type."""
    return 1.0 if is_floating(x) else integer_range(x)[1]


def images(x: Any, transform: Any) -> Any:
    """`x`, if it is a batch of images."""
    if x.ndim != 4:
        raise ShapeError(
            f"expects images (C, H, W), in a batch (N, C, H, W), got samples of shape {tuple(x.shape[1:])}",
            subject=type(transform).__name__,
            hint="Grey images need an axis of one channel: images[:, None]",
        )
    return x


def pair(size: Any, transform: Any) -> tuple[int, int]:
    """(height, width) of one number or two."""
    given = (size,) * 2 if isinstance(size, int | np.integer) else tuple(size)
    given = given * 2 if len(given) == 1 else given
    if len(given) != 2 or min(given) < 1:
        raise ArgumentError(
            f"expects a size (height, width) of positive numbers, got {size}",
            subject=type(transform).__name__,
        )
    return given


def probability(p: float, transform: Any) -> float:
    """`p`, if it is one."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"expects a probability p in [0, 1], got {p}", subject=type(transform).__name__)
    return p


def number_range(name: str, value: Any, transform: Any, least: float = -np.inf) -> tuple[float, float]:
    """(low, high) of a pair of numbers."""
    given = tuple(value) if not isinstance(value, int | float) else (value,)
    if len(given) != 2 or not least <= given[0] <= given[1]:
        bound = "" if least == -np.inf else f" from {least:g} on"
        raise ArgumentError(
            f"expects {name} as a range (low, high){bound}, got {value}", subject=type(transform).__name__
        )
    return float(given[0]), float(given[1])


def filling(fill: Any, x: Array, transform: Any) -> Any:
    """A fill value, or one for each channel, as (1, 1 or C, 1, 1) where `x` is."""
    values = np.asarray(0 if fill is None else fill, dtype=np.float64).reshape(1, -1, 1, 1)
    if values.shape[1] not in (1, x.shape[1]):
        raise ArgumentError(
            f"expects fill as one number or one for each of {x.shape[1]} channels, got {fill}",
            subject=type(transform).__name__,
        )
    return on_device(values, x, floating=True)


def is_pillow(x: Any) -> bool:
    """Whether `x` is an image of Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(x).__mro__)


def from_pillow(image: Any) -> np.ndarray:
    """A Pillow image as (C, H, W): uint8, or the wider type of modes like "I;16" and "F"."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    pixels = np.array(image)
    if image.mode == "1":
        pixels = pixels.astype(np.uint8) * 255
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def to_pillow(image: Any, mode: str | None = None) -> Any:
    """An image (C, H, W) as one of Pillow; floats in [0, 1] become 8 bits, what lies outside is clipped."""
    pillow = optional_import("PIL.Image", extra="train")
    pixels = to_numpy(image)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or pixels.shape[0] not in _MODES:
        raise ShapeError(
            f"expects an image (C, H, W) of 1 to 4 channels, got shape {pixels.shape}", subject="ToPILImage"
        )
    if pixels.dtype.kind == "f" and mode != "F":
        pixels = np.clip(pixels, 0, 1) * 255
    if mode == "F":
        pixels = pixels.astype(np.float32)
    elif not (pixels.shape[0] == 1 and pixels.dtype in (np.int16, np.uint16, np.int32)):
        pixels = pixels.astype(np.uint8)
    picture = pillow.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    if mode is None or mode == picture.mode:
        return picture
    if pillow.getmodebands(mode) != len(pixels):
        raise ArgumentError(
            f"expects a mode of {len(pixels)} channel(s), as the image has, got {mode!r}",
            subject="ToPILImage",
        )
    if mode in ("HSV", "YCbCr", "LAB", "CMYK", "RGBX", "RGBa"):
        return pillow.frombytes(mode, picture.size, picture.tobytes())
    return picture.convert(mode)
