"""Pooling."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from xpnn.backend import ArgumentError, DTypeError, ShapeError


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _count(cells: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    free = cells + 2 * p - d * (k - 1) - 1
    count = math.ceil(free / s) + 1 if ceil_mode else free // s + 1
    return count - 1 if (count - 1) * s >= cells + p else count


def _windows(x, kernel_size, stride, padding, dilation, ceil_mode):
    """For each output cell its place, and the rows and columns of its window, padding included."""
    kernel, stride, padding, dilation = map(_pair, (kernel_size, stride or kernel_size, padding, dilation))
    counts = [_count(*sizes, ceil_mode) for sizes in zip(x.shape[2:], kernel, stride, padding, dilation)]
    for place in itertools.product(*map(range, counts)):
        cells = [
            [i * s - p + t * d for t in range(k)]
            for i, k, s, p, d in zip(place, kernel, stride, padding, dilation)
        ]
        yield (counts, place, *cells)


def naive_max_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The first of the largest real cells of each window."""
    y = indices = None
    height, width = x.shape[2:]
    for counts, (i, j), rows, columns in _windows(x, kernel_size, stride, padding, dilation, ceil_mode):
        if y is None:
            y = np.full((*x.shape[:2], *counts), -np.inf)
            indices = np.zeros(y.shape, dtype=np.int64)
        for n, c, row, column in itertools.product(range(x.shape[0]), range(x.shape[1]), rows, columns):
            if 0 <= row < height and 0 <= column < width and x[n, c, row, column] > y[n, c, i, j]:
                y[n, c, i, j] = x[n, c, row, column]
                indices[n, c, i, j] = row * width + column
    return (y, indices) if return_indices else y


def naive_avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The sum of the real cells over the number of cells that count."""
    y = None
    height, width = x.shape[2:]
    ph, pw = _pair(padding)
    for counts, (i, j), rows, columns in _windows(x, kernel_size, stride, padding, 1, ceil_mode):
        if y is None:
            y = np.zeros((*x.shape[:2], *counts))
        border = (ph, pw) if count_include_pad else (0, 0)
        counted = math.prod(
            sum(-p <= cell < cells + p for cell in along)
            for along, cells, p in zip((rows, columns), (height, width), border)
        )
        for row, column in itertools.product(rows, columns):
            if 0 <= row < height and 0 <= column < width:
                y[:, :, i, j] += x[:, :, row, column]
        y[:, :, i, j] /= divisor_override or counted
    return y


def _adaptive_slices(cells: int, windows: int | None) -> list[slice]:
    windows = windows or cells
    return [slice(i * cells // windows, math.ceil((i + 1) * cells / windows)) for i in range(windows)]


def _adaptive(x, output_size, function):
    sizes = output_size if isinstance(output_size, tuple) else (output_size,) * 2
    rows, columns = map(_adaptive_slices, x.shape[2:], sizes)
    return np.stack([np.stack([function(x[:, :, r, c]) for c in columns], -1) for r in rows], -2)


def naive_adaptive_avg_pool2d(x, output_size):
    return _adaptive(x, output_size, lambda window: window.mean((2, 3)))


def naive_adaptive_max_pool2d(x, output_size, return_indices=False):
    y = _adaptive(x, output_size, lambda window: window.max((2, 3)))
    if not return_indices:
        return y
    places = np.broadcast_to(np.arange(x[0, 0].size).reshape(x.shape[2:]), x.shape)

    def first_of_largest(window):
        cells = window.reshape(*window.shape[:2], -1)
        values, numbers = cells.real, cells.imag
        return np.take_along_axis(numbers, values.argmax(-1)[..., None], -1)[..., 0]

    return y, _adaptive(x + 1j * places, output_size, first_of_largest).astype(np.int64)


def _images(rng, **options):
    return (rng.standard_normal((2, 3, 6, 7)),)


def _distinct(rng, **options):
    """Values far enough apart that finite differences change no winner."""
    return (rng.permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7) / 10.0,)


def _in_torch(name):
    return lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options)


_REFUSALS = [
    bad(ShapeError, r"of 4 axes \(NCHW\), got 3", inputs=lambda rng: (np.ones((3, 6, 7)),)),
    bad(
        DTypeError, r"floating-point input, got int64", inputs=lambda rng: (np.ones((1, 1, 4, 4), np.int64),)
    ),
]
_WINDOW_REFUSALS = [
    *_REFUSALS,
    bad(
        ShapeError,
        r"kernel of 8 x 8, larger than its input of 6 x 7",
        kernel_size=8,
        padding=0,
        ceil_mode=False,
    ),
    bad(ArgumentError, r"stride of at least 1, got 0", stride=0),
    bad(ArgumentError, r"kernel_size as an integer or 2 integers", kernel_size="2"),
    bad(ArgumentError, r"padding of at most half of the kernel", kernel_size=2, padding=2),
]

CASES = [
    Case(
        "max_pool2d",
        F.max_pool2d,
        inputs=_distinct,
        options=[
            *grid(kernel_size=2, stride=[None, 1], padding=0, ceil_mode=[False, True]),
            *grid(kernel_size=(3, 2), stride=[None, (1, 2)], padding=1, ceil_mode=True),
            {"kernel_size": 2, "dilation": (2, 3), "stride": 1},
            {"kernel_size": 1, "stride": 2},
        ],
        torch=_in_torch("max_pool2d"),
        naive=naive_max_pool2d,
        errors=_WINDOW_REFUSALS,
    ),
    Case(
        "max_pool2d indices",
        F.max_pool2d,
        inputs=_distinct,
        options=grid(kernel_size=(3, 2), padding=[0, 1], ceil_mode=True, return_indices=True),
        torch=_in_torch("max_pool2d"),
        naive=naive_max_pool2d,
    ),
    Case(
        "avg_pool2d",
        F.avg_pool2d,
        inputs=_images,
        options=[
            *grid(kernel_size=(3, 2), padding=1, ceil_mode=[False, True], count_include_pad=[True, False]),
            {"kernel_size": 2},
            {"kernel_size": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": (2, 1), "padding": 1},
            {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 4},
        ],
        torch=_in_torch("avg_pool2d"),
        naive=naive_avg_pool2d,
        errors=[*_WINDOW_REFUSALS, bad(ArgumentError, r"divisor_override other than 0", divisor_override=0)],
    ),
    Case(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        inputs=_images,
        options=grid(output_size=[1, 3, (4, 5), (None, 2), 8]),
        torch=_in_torch("adaptive_avg_pool2d"),
        naive=naive_adaptive_avg_pool2d,
        errors=[
            *_REFUSALS,
            bad(ArgumentError, r"output_size of at least 1", output_size=0),
            bad(ArgumentError, r"output_size as an integer or 2 integers", output_size=(1, 2, 3)),
        ],
    ),
    Case(
        "adaptive_max_pool2d",
        F.adaptive_max_pool2d,
        inputs=_distinct,
        options=grid(output_size=[1, (4, 5), (None, 2)], return_indices=[False, True]),
        torch=_in_torch("adaptive_max_pool2d"),
        naive=naive_adaptive_max_pool2d,
        errors=[*_REFUSALS, bad(ArgumentError, r"output_size of at least 1", output_size=(0, 1))],
    ),
]
