"""Images as arrays: sheets of many in one, and PNG files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    ShapeError,
    asarray,
    backend_of,
    device_of,
    errors_naming,
    optional_import,
    to_numpy,
    use_backend,
)


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Any:
    """Lay images out in rows, as one image.

    Args:
        tensor: images (N, C, H, W), a list of images (C, H, W), one image (C, H, W) or (H, W); arrays of any
            library, or Tensors. One channel is repeated to three.
        nrow: images in a row.
        padding: cells between the images and around them.
        normalize: bring `value_range`, or else the smallest and largest value, to 0 and 1.
        scale_each: take that smallest and largest value from each image by itself.
        pad_value: the value of the cells between.

    Returns: (3, rows * (H + padding) + padding, columns * (W + padding) + padding), and a single image as it
    is; a Tensor of Tensors, else a NumPy array.

    Raises: ShapeError for anything else than images; ArgumentError for nrow < 1 or padding < 0.

    >>> make_grid(np.ones((5, 1, 8, 8)), nrow=3).shape
    (3, 22, 32)
    """
    if nrow < 1 or padding < 0:
        raise ArgumentError(
            f"expects nrow >= 1 and padding >= 0, got nrow={nrow} and padding={padding}", subject="make_grid"
        )
    images = batch_of(tensor)
    if normalize:
        images = normalized(images, value_range, scale_each)
    grid = images[0] if len(images) == 1 else _grid(images, nrow, padding, pad_value)
    first = tensor[0] if isinstance(tensor, list) else tensor
    if not isinstance(first, Tensor):
        return grid
    with use_backend(backend_of(first.array).name, device_of(first.array)):
        return Tensor(asarray(grid))


def _grid(images: np.ndarray, nrow: int, padding: int, pad_value: float) -> np.ndarray:
    n, _, h, w = images.shape
    columns = min(nrow, n)
    rows = math.ceil(n / columns)
    grid = np.full(
        (3, rows * (h + padding) + padding, columns * (w + padding) + padding), pad_value, images.dtype
    )
    for number, image in enumerate(images):
        top = padding + number // columns * (h + padding)
        left = padding + number % columns * (w + padding)
        grid[:, top : top + h, left : left + w] = image
    return grid


def save_image(tensor: Any, fp: str | Path | BinaryIO, format: str | None = None, **grid: Any) -> Any:
    """Write images as one picture.

    Args:
        tensor: as for `make_grid`; floats in [0, 1] (what lies outside is clipped) or uint8.
        fp: the file's path, or a file that is open for writing bytes.
        format: "png", "jpeg" ...; None is what the file's name ends with.
        **grid: the options of `make_grid`.

    Returns: the file's path, or the file. Raises: what `make_grid` raises; MissingDependencyError without
    Pillow.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image(np.ones((4, 1, 8, 8)), f"{folder}/ones.png").name
    'ones.png'
    """
    picture = _picture(tensor, **grid)
    if not isinstance(fp, str | Path):
        picture.save(fp, format=format)
        return fp
    with errors_naming(fp):
        picture.save(fp, format=format)
    return Path(fp)


def png_of(image: Any) -> bytes:
    """A PNG file of one image, as `save_image` writes it.

    >>> png_of(np.ones((1, 4, 4)))[1:4]
    b'PNG'
    """
    return save_image(image, io.BytesIO(), "PNG").getvalue()


def _picture(tensor: Any, **grid: Any) -> Any:
    """A Pillow image of a grid."""
    pillow = optional_import("PIL.Image", extra="train")
    pixels = to_numpy(make_grid(tensor, **grid))
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return pillow.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def batch_of(tensor: Any) -> np.ndarray:
    """Images as (N, 3, H, W), in each form that `make_grid` takes them in."""
    images = np.stack([to_numpy(image) for image in tensor]) if isinstance(tensor, list) else to_numpy(tensor)
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ShapeError(
            f"expects images (N, C, H, W) of one or three channels, got shape {images.shape}",
            subject="make_grid",
        )
    return np.broadcast_to(images, (len(images), 3, *images.shape[2:]))


def normalized(
    images: np.ndarray, value_range: tuple[float, float] | None = None, each: bool = False
) -> np.ndarray:
    """Images (N, C, H, W) stretched linearly to float32 in [0, 1], together or each by itself."""
    if images.dtype == np.bool_:
        images = images.astype(np.float32)
    axes = (1, 2, 3) if each else (0, 1, 2, 3)
    low, high = value_range or (images.min(axes, keepdims=True), images.max(axes, keepdims=True))
    scaled = (np.clip(images, low, high) - low) / np.maximum(high - low, 1e-5)
    return scaled.astype(np.float32)
