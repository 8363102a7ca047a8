"""Convolution and transposed convolution."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from xpnn.backend import ArgumentError, DTypeError, ShapeError


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _pad(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any) -> np.ndarray:
    if padding == "same":
        pairs = list(map(_same, x.shape[2:], w.shape[2:], _pair(stride), _pair(dilation)))
    else:
        pairs = [(p, p) for p in _pair(0 if padding == "valid" else padding)]
    return np.pad(x, [(0, 0), (0, 0), *pairs])


def naive_conv2d(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    """A loop over every output cell."""
    x = _pad(x, w, stride, padding, dilation)
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    (n, _, height, width), (o, cg, kh, kw) = x.shape, w.shape
    y = np.zeros((n, o, (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1))
    for image, out, i, j in itertools.product(*map(range, y.shape)):
        first = out // (o // groups) * cg
        window = x[image, first : first + cg, i * sh :: dh, j * sw :: dw][:, :kh, :kw]
        y[image, out, i, j] = np.sum(window * w[out])
    return y if b is None else y + b[:, None, None]


def naive_conv_transpose2d(x, w, b, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every input cell stamps its kernel."""
    (sh, sw), (dh, dw), (ph, pw), (eh, ew) = map(_pair, (stride, dilation, padding, output_padding))
    (n, c, height, width), (_, og, kh, kw) = x.shape, w.shape
    y = np.zeros(
        (
            n,
            og * groups,
            (height - 1) * sh + dh * (kh - 1) + 1 + eh,
            (width - 1) * sw + dw * (kw - 1) + 1 + ew,
        )
    )
    for image, channel, i, j in itertools.product(*map(range, x.shape)):
        first = channel // (c // groups) * og
        for u, v in itertools.product(range(kh), range(kw)):
            y[image, first : first + og, i * sh + u * dh, j * sw + v * dw] += (
                x[image, channel, i, j] * w[channel, :, u, v]
            )
    y = y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw]
    return y if b is None else y + b[:, None, None]


def _same_in_torch(torch, x, w, b, stride, dilation, groups):
    """PyTorch refuses "same" with a stride: pad by hand."""
    rows, columns = map(_same, x.shape[2:], w.shape[2:], _pair(stride), _pair(dilation))
    x = torch.nn.functional.pad(x, (*columns, *rows))
    return torch.nn.functional.conv2d(x, w, b, stride=stride, dilation=dilation, groups=groups)


def _images(rng, groups=1, **options):
    return (
        rng.standard_normal((2, 4, 7, 6)),
        rng.standard_normal((6, 4 // groups, 3, 2)),
        rng.standard_normal(6),
    )


def _transposed_images(rng, groups=1, **options):
    return (
        rng.standard_normal((2, 4, 3, 4)),
        rng.standard_normal((4, 4 // groups, 3, 2)),
        rng.standard_normal(4),
    )


def _ones(*shapes: tuple[int, ...]):
    return lambda rng, **options: tuple(np.ones(shape) for shape in shapes)


def conv2d_case(name, inputs, options, **more):
    return Case(
        name,
        F.conv2d,
        inputs=inputs,
        options=options,
        torch=lambda torch, *inputs, **options: torch.nn.functional.conv2d(*inputs, **options),
        naive=naive_conv2d,
        **more,
    )


def normal(*shapes):
    return lambda rng, **options: tuple(None if s is None else rng.standard_normal(s) for s in shapes)


CASES = [
    conv2d_case(
        "conv2d",
        _images,
        [
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
            *grid(stride=[1, (2, 1)], padding=(2, 1), dilation=[1, (1, 2)], groups=2),
            {"stride": 3, "padding": 1, "dilation": 2},
            {"padding": "valid"},
            {"padding": 4},
        ],
        errors=[
            bad(
                ShapeError,
                r"conv2d expects 4 input channels \(NCHW\), got 3 from an input of shape \(1, 3, 5, 5\)",
                inputs=_ones((1, 3, 5, 5), (2, 4, 3, 3)),
            ),
            bad(ShapeError, r"of 4 axes \(NCHW\), got 3", inputs=_ones((4, 5, 5), (2, 4, 3, 3))),
            bad(ShapeError, r"expects weight of 4 axes", inputs=_ones((1, 4, 5, 5), (2, 4, 3))),
            bad(
                ShapeError,
                r"kernel of 5 x 5, larger than its input of 2 x 2 \(padded: 4 x 4\)",
                inputs=_ones((1, 1, 2, 2), (1, 1, 5, 5)),
                padding=1,
            ),
            bad(ShapeError, r"bias of shape \(2,\)", inputs=_ones((1, 4, 5, 5), (2, 4, 3, 3), (3,))),
            bad(ArgumentError, r"groups that divide the 6 output channels, got groups=4", groups=4),
            bad(ArgumentError, r"groups of at least 1", groups=0),
            bad(ArgumentError, r"stride of at least 1, got 0", stride=0),
            bad(ArgumentError, r"stride as an integer or 2 integers", stride=(1, 2, 3)),
            bad(ArgumentError, r"dilation of at least 1", dilation=(0, 1)),
            bad(ArgumentError, r"padding of at least 0", padding=-1),
            bad(ArgumentError, r"'valid' or 'same', got 'full'", padding="full"),
            bad(
                DTypeError,
                r"conv2d expects a floating-point input, got int64",
                inputs=lambda rng: (np.ones((1, 1, 3, 3), dtype=np.int64), np.ones((1, 1, 1, 1))),
            ),
            bad(
                DTypeError,
                r"got float32 and float64",
                inputs=lambda rng: (np.ones((1, 1, 3, 3), dtype=np.float32), np.ones((1, 1, 1, 1))),
            ),
        ],
    ),
    Case(
        "conv2d same",
        F.conv2d,
        inputs=_images,
        options=[
            {"padding": "same", "stride": 1, "dilation": 1, "groups": 1},
            {"padding": "same", "stride": 2, "dilation": 1, "groups": 2},
            {"padding": "same", "stride": (3, 2), "dilation": 2, "groups": 1},
        ],
        torch=lambda torch, x, w, b, padding, **options: _same_in_torch(torch, x, w, b, **options),
        naive=naive_conv2d,
    ),
    conv2d_case(
        "conv2d one channel",
        normal((2, 1, 5, 6), (2, 1, 2, 3), (2,)),
        grid(stride=[1, 2], padding=1),
    ),
    conv2d_case(
        "conv2d from one channel to nine",
        normal((2, 1, 5, 6), (9, 1, 2, 3), (9,)),
        grid(stride=[1, 2], padding=1),
    ),
    conv2d_case("conv2d pointwise", normal((2, 6, 4, 3), (5, 6, 1, 1), None), grid(stride=[1, 2], padding=1)),
    conv2d_case(
        "conv2d depthwise",
        normal((2, 6, 4, 5), (6, 1, 3, 3), (6,)),
        grid(groups=6, stride=[1, 2], padding=1),
    ),
    Case(
        "conv_transpose2d",
        F.conv_transpose2d,
        inputs=_transposed_images,
        options=[
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
            *grid(stride=[1, (2, 3)], padding=1, dilation=[1, (2, 1)], groups=2),
            {"stride": 2, "padding": 1, "output_padding": 1},
            {"stride": 4, "output_padding": (3, 1)},
            {"dilation": 3, "output_padding": 2},
        ],
        torch=lambda torch, *inputs, **options: torch.nn.functional.conv_transpose2d(*inputs, **options),
        naive=naive_conv_transpose2d,
        errors=[
            bad(
                ShapeError,
                r"conv_transpose2d expects 4 input channels",
                inputs=_ones((1, 3, 5, 5), (4, 2, 3, 3)),
            ),
            bad(ShapeError, r"padding=4 takes away more than there is", padding=4),
            bad(
                ShapeError, r"bias of shape \(4,\)", inputs=_ones((1, 4, 5, 5), (4, 2, 3, 3), (2,)), groups=2
            ),
            bad(ArgumentError, r"output_padding smaller than stride \(1, 1\) or dilation", output_padding=1),
            bad(ArgumentError, r"groups that divide the 4 input channels, got groups=3", groups=3),
        ],
    ),
]
