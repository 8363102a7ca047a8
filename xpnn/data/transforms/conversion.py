"""From images of Pillow to Tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.autograd.core import new_tensor
from xpnn.backend import (
    ShapeError,
    admit,
    dtype_name,
    get_backend,
    get_device,
    is_array,
    is_tensor,
    move,
    namespace,
)
from xpnn.data.transforms.base import Transform, from_pillow, is_pillow, to_pillow
from xpnn.data.transforms.values import ToFloat

__all__ = ["PILToTensor", "ToPILImage", "ToTensor"]

_MOST_CHANNELS = 4


class ToTensor(Transform):
    """A Pillow image or array to a Tensor (C, H, W) of the current backend, bytes to float32 in [0, 1].

    Arrays are (H, W, C) with at most four channels or (H, W), as PyTorch takes them, or (C, H, W), as the
    datasets of `xpnn.data` give them: the last axis decides if it could be channels. uint8 is divided by 255;
    other element types are kept. In a batch of arrays, arrays come back.

    Raises: ShapeError for an array that has channels neither first nor last.

    >>> ToTensor()(np.full((2, 3, 1), 255, dtype=np.uint8)).shape
    (1, 2, 3)
    """

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """The Tensor of a sample, or of a batch."""
        if isinstance(x, dict):
            return super().__call__(x, rng)
        if is_tensor(x):
            return new_tensor(_bytes_to_floats(admit(x, "ToTensor")))
        array = from_pillow(x) if is_pillow(x) else x if is_array(x) else np.asarray(x)
        if not is_pillow(x):
            array = _channels_first(array)
        return new_tensor(move(_bytes_to_floats(array), get_backend(), get_device()))

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Transform images stacked along the first axis."""
        return _bytes_to_floats(_channels_first(x) if x.ndim == 4 else x)


class PILToTensor(Transform):
    """A Pillow image to a Tensor (C, H, W) of the current backend, in its own element type.

    >>> from PIL import Image
    >>> PILToTensor()(Image.new("RGB", (4, 2))).shape
    (3, 2, 4)
    """

    def pillow(self, image: Any, rng: np.random.Generator | None = None) -> Any:
        """The Tensor of an image."""
        return new_tensor(move(from_pillow(image), get_backend(), get_device()))

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Arrays, as they come."""
        return x


class ToPILImage(Transform):
    """A Tensor or array to a Pillow image; floats in [0, 1] become 8 bits.

    Args:
        mode: Pillow's mode; None is "L", "LA", "RGB" or "RGBA" by the number of channels.

    Tensors are (C, H, W) or (H, W); NumPy arrays (H, W, C), (H, W) or (C, H, W), where the last axis decides
    as in `ToTensor`.

    Raises: ShapeError for anything but one image; MissingDependencyError without Pillow.

    >>> ToPILImage()(np.zeros((3, 6, 8), dtype=np.uint8)).size
    (8, 6)
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """The image of a sample."""
        if isinstance(x, dict):
            return super().__call__(x, rng)
        if is_pillow(x):
            return x if self.mode is None else x.convert(self.mode)
        array = admit(x, "ToPILImage") if is_tensor(x) else x if is_array(x) else np.asarray(x)
        if array.ndim == 3 and isinstance(array, np.ndarray) and not is_tensor(x):
            array = _channels_first(array)
        return to_pillow(array, self.mode)

    def batch(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Refuse a batch, which Pillow has not."""
        raise ShapeError("makes one image at a time, got a batch", subject="ToPILImage")


def _channels_first(array: Any) -> Any:
    """(..., C, H, W) of an array with its channels last, or first already."""
    if array.ndim == 2:
        return array[None]
    if array.ndim not in (3, 4):
        raise ShapeError(
            f"expects an image of 2 or 3 axes, got shape {tuple(array.shape)}", subject="ToTensor"
        )
    if array.shape[-1] <= _MOST_CHANNELS:
        return namespace(array).moveaxis(array, -1, -3)
    if array.shape[-3] <= _MOST_CHANNELS:
        return array
    raise ShapeError(
        f"expects an image with at most {_MOST_CHANNELS} channels, first or last, got shape "
        f"{tuple(array.shape)}",
        subject="ToTensor",
    )


def _bytes_to_floats(array: Any) -> Any:
    return ToFloat().batch(array) if dtype_name(array.dtype) == "uint8" else array
