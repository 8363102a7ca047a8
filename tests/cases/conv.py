"""Convolution and transposed convolution."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases import oracles
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def _same_in_torch(torch, x, w, b, stride, dilation, groups):
    """PyTorch refuses "same" with a stride: pad by hand."""
    steps, gaps = oracles.sizes(stride, x.ndim - 2), oracles.sizes(dilation, x.ndim - 2)
    pairs = oracles.pads("same", x.shape[2:], w.shape[2:], steps, gaps)
    x = torch.nn.functional.pad(x, [cells for pair in reversed(pairs) for cells in pair])
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
        naive=oracles.conv,
        axes=(3, 4),
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
        naive=oracles.conv,
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
        naive=oracles.conv_transpose,
        axes=(3, 4),
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

LAYERS = [
    layer("Conv2d", (4, 7, 6), in_channels=4, out_channels=6, kernel_size=3),
    layer("ConvTranspose2d", (4, 3, 4), in_channels=4, out_channels=6, kernel_size=3),
    layer("ConvTranspose2d", (2, 4, 3, 4), in_channels=4, out_channels=6, kernel_size=3, stride=2).called(
        output_size=(8, 9)
    ),
    layer("Conv2d", (2, 4, 7, 6), in_channels=4, out_channels=6, kernel_size=3),
    layer(
        *("Conv2d", (2, 4, 7, 6)),
        in_channels=4,
        out_channels=6,
        kernel_size=(3, 2),
        stride=(2, 1),
        padding=1,
        dilation=(1, 2),
        groups=2,
        bias=False,
    ),
    layer("Conv2d", (2, 2, 5, 6), in_channels=2, out_channels=3, kernel_size=3, padding="same"),
    layer("ConvTranspose2d", (2, 4, 3, 4), in_channels=4, out_channels=6, kernel_size=3),
    layer(
        *("ConvTranspose2d", (2, 4, 3, 4)),
        in_channels=4,
        out_channels=6,
        kernel_size=(3, 2),
        stride=2,
        padding=(1, 0),
        output_padding=1,
        groups=2,
        bias=False,
        dilation=2,
    ),
]
