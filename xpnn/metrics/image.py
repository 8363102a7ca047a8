"""Measures of how near an image is to another."""

from __future__ import annotations

import math
from typing import Any

from xpnn.backend import ArgumentError, Array, ShapeError, namespace, refusing
from xpnn.metrics.classification import raw
from xpnn.metrics.regression import as_floats, mean_squared_error

_WINDOW, _SIGMA = 11, 1.5  # the window of the paper
_K1, _K2 = 0.01, 0.03


@refusing
def psnr(predictions: Array, targets: Array, data_range: float = 1.0) -> Array:
    """The peak signal-to-noise ratio, 10 log10(range^2 / mean squared error) dB; inf for equal images.

    Args:
        predictions, targets: images of one shape (N, ...).
        data_range: the largest value less the smallest that a pixel may have: 1.0, or 255.

    >>> import numpy as np
    >>> float(psnr(np.full((1, 4), 0.1), np.zeros((1, 4))).round(4))
    20.0
    """
    return psnr_of(mean_squared_error(predictions, targets), data_range)


@refusing
def ssim(predictions: Array, targets: Array, data_range: float = 1.0) -> Array:
    """The structural similarity of images, averaged over all places, channels and images; 1 for equal ones.

    Means, variances and the covariance of each place are weighted by a Gaussian of standard deviation 1.5
    over 11 x 11 pixels; only windows that lie within the image count.

    Args:
        predictions, targets: images (N, C, H, W), H and W at least 11.
        data_range: the largest value less the smallest that a pixel may have: 1.0, or 255.

    Raises: ShapeError for other or smaller images.

    See: Wang, Bovik, Sheikh & Simoncelli (2004), "Image quality assessment: from error visibility to
    structural similarity".

    >>> import numpy as np
    >>> image = np.arange(144.0).reshape(1, 1, 12, 12) / 144
    >>> float(ssim(image, image).round(4))
    1.0
    """
    total, count = similarities(predictions, targets, data_range)
    return total / count


def psnr_of(error: Array, data_range: float) -> Array:
    """The peak signal-to-noise ratio that a mean squared error gives."""
    xp = namespace(error)
    equal = error == 0
    ratio = _range(data_range, "psnr") ** 2 / xp.where(equal, xp.ones_like(error), error)
    return xp.where(equal, xp.full_like(error, math.inf), 10 * xp.log10(ratio))


def similarities(predictions: Array, targets: Array, data_range: float) -> tuple[Array, int]:
    """The summed similarities of the images, and how many images there are."""
    x, y = raw(predictions), raw(targets)
    xp = namespace(x, y)
    shape = tuple(x.shape)
    if tuple(y.shape) != shape or len(shape) != 4 or min(shape[2:]) < _WINDOW:
        raise ShapeError(
            f"expects two batches of images (N, C, H, W) of at least {_WINDOW} x {_WINDOW} pixels, "
            f"got {shape} and {tuple(y.shape)}",
            subject="ssim",
        )
    x = as_floats(x, "ssim")
    y = xp.astype(y, x.dtype)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x * mean_x, _blurred(y * y) - mean_y * mean_y
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = ((k * _range(data_range, "ssim")) ** 2 for k in (_K1, _K2))
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness = likeness / ((mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2))
    return xp.sum(xp.mean(likeness, axis=(1, 2, 3))), shape[0]


def _blurred(x: Any) -> Any:
    """The Gaussian means of all windows within the image: along the height, then along the width."""
    distances = range(-(_WINDOW // 2), _WINDOW // 2 + 1)
    powers = [math.exp(-(d**2) / (2 * _SIGMA**2)) for d in distances]
    height, width = (size - _WINDOW + 1 for size in x.shape[2:])
    x = sum(p / sum(powers) * x[:, :, i : i + height, :] for i, p in enumerate(powers))
    return sum(p / sum(powers) * x[:, :, :, i : i + width] for i, p in enumerate(powers))


def _range(data_range: float, subject: str) -> float:
    if not data_range > 0:
        raise ArgumentError(f"expects a positive data_range, got {data_range!r}", subject=subject)
    return float(data_range)
