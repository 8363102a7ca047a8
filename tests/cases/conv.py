"""Convolution and transposed convolution, of sequences, images and volumes."""

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


def conv_case(name, inputs, options, **more):
    """A case of the function that the first word of the name names."""
    function = name.split()[0]
    axes = int(function[-2])
    return Case(
        name,
        getattr(F, function),
        inputs=inputs,
        options=options,
        torch=lambda torch, *inputs, **options: getattr(torch.nn.functional, function)(*inputs, **options),
        naive=oracles.conv_transpose if "transpose" in function else oracles.conv,
        axes=(axes + 1, axes + 2),
        **more,
    )


def naive_tbc(x, w, b, pad=0):
    y = oracles.conv(x.transpose(1, 2, 0), w.transpose(2, 1, 0), b, padding=pad)
    return y.transpose(2, 0, 1)


def normal(*shapes):
    return lambda rng, **options: tuple(None if s is None else rng.standard_normal(s) for s in shapes)


CASES = [
    conv_case(
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
            bad(ArgumentError, r"'valid', 'same' or 'full', got 'wide'", padding="wide"),
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
    conv_case(
        "conv2d one channel",
        normal((2, 1, 5, 6), (2, 1, 2, 3), (2,)),
        grid(stride=[1, 2], padding=1),
    ),
    conv_case(
        "conv2d from one channel to nine",
        normal((2, 1, 5, 6), (9, 1, 2, 3), (9,)),
        grid(stride=[1, 2], padding=1),
    ),
    conv_case("conv2d pointwise", normal((2, 6, 4, 3), (5, 6, 1, 1), None), grid(stride=[1, 2], padding=1)),
    conv_case(
        "conv2d depthwise",
        normal((2, 6, 4, 5), (6, 1, 3, 3), (6,)),
        grid(groups=6, stride=[1, 2], padding=1),
    ),
    conv_case(
        "conv_transpose2d",
        _transposed_images,
        [
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
            *grid(stride=[1, (2, 3)], padding=1, dilation=[1, (2, 1)], groups=2),
            {"stride": 2, "padding": 1, "output_padding": 1},
            {"stride": 4, "output_padding": (3, 1)},
            {"dilation": 3, "output_padding": 2},
        ],
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
    conv_case(
        "conv1d",
        normal((2, 4, 7), (6, 2, 3), (6,)),
        [
            {"groups": 2, "stride": 1, "padding": 0, "dilation": 1},
            {"groups": 2, "stride": (2,), "padding": 2, "dilation": 2},
            {"groups": 2, "padding": "same"},
            {"groups": 2, "padding": "valid", "stride": 3},
        ],
        errors=[
            bad(
                ShapeError,
                r"conv1d expects 4 input channels \(NCL\), got 3",
                inputs=_ones((1, 3, 5), (2, 4, 3)),
                groups=1,
            ),
            bad(ArgumentError, r"stride as an integer or 1 integers", stride=(1, 2)),
            bad(
                ShapeError,
                r"conv1d expects a kernel of at least one cell along each axis, got shape \(2, 1, 0\)",
                inputs=_ones((1, 1, 5), (2, 1, 0)),
                groups=1,
            ),
        ],
    ),
    conv_case("conv1d depthwise", normal((2, 3, 7), (3, 1, 2), (3,)), [{"groups": 3, "padding": 1}]),
    conv_case(
        "conv3d",
        normal((2, 2, 4, 3, 4), (3, 2, 3, 2, 2), (3,)),
        [
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
            {"stride": (2, 1, 3), "padding": (1, 0, 2), "dilation": (1, 2, 1)},
        ],
        errors=[
            bad(
                ShapeError,
                r"conv3d expects 4 input channels \(NCDHW\), got 3",
                inputs=_ones((1, 3, 2, 2, 2), (2, 4, 1, 1, 1)),
            ),
            bad(
                ShapeError,
                r"kernel of 3 x 2 x 2 \(dilated: 7 x 4 x 4\), larger than its input of",
                padding=0,
                dilation=3,
            ),
        ],
    ),
    conv_case(
        "conv3d of groups",
        normal((2, 4, 3, 2, 3), (4, 2, 2, 1, 2), None),
        [{"groups": 2, "padding": (1, 0, 0)}, {"groups": 2, "stride": 2}],
    ),
    conv_case(
        "conv3d depthwise", normal((1, 3, 3, 3, 2), (3, 1, 3, 1, 1), (3,)), [{"groups": 3, "padding": "same"}]
    ),
    conv_case(
        "conv_transpose1d",
        normal((2, 4, 3), (4, 3, 3), (6,)),
        [
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 2},
            {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2},
            {"dilation": 3, "output_padding": 2, "groups": 2},
        ],
    ),
    conv_case(
        "conv_transpose3d",
        normal((2, 2, 2, 3, 2), (2, 3, 2, 2, 3), (3,)),
        [
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
            {"stride": (2, 1, 3), "padding": (1, 0, 1), "output_padding": (1, 0, 2)},
        ],
    ),
    conv_case(
        "conv_transpose3d of groups",
        normal((2, 4, 2, 1, 2), (4, 1, 2, 2, 1), None),
        [{"groups": 2, "dilation": 2, "padding": (0, 1, 0)}],
    ),
    Case(
        "conv_tbc",
        F.conv_tbc,
        inputs=normal((4, 2, 3), (2, 3, 4), (4,)),
        options=[{"pad": 0}, {"pad": 1}],
        torch=lambda torch, *inputs, **options: torch.nn.functional.conv_tbc(*inputs, **options),
        naive=naive_tbc,
        axes=(3, 3),
        batched=(),
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
    layer("Conv1d", (2, 4, 7), in_channels=4, out_channels=6, kernel_size=3, padding="valid", groups=2),
    layer(
        *("Conv1d", (4, 7)), in_channels=4, out_channels=2, kernel_size=3, padding=2, padding_mode="replicate"
    ),
    layer(
        *("Conv2d", (2, 2, 5, 6)),
        in_channels=2,
        out_channels=3,
        kernel_size=(3, 2),
        stride=2,
        padding=(1, 2),
        padding_mode="circular",
    ),
    layer(
        *("Conv2d", (2, 2, 5, 6)),
        in_channels=2,
        out_channels=3,
        kernel_size=(3, 5),
        padding="same",
        padding_mode="reflect",
    ),
    layer("Conv3d", (2, 2, 3, 4, 3), in_channels=2, out_channels=3, kernel_size=(3, 1, 2), bias=False),
    layer(
        *("Conv3d", (2, 3, 4, 3)),
        in_channels=2,
        out_channels=3,
        kernel_size=3,
        padding=(2, 0, 1),
        padding_mode="reflect",
    ),
    layer(
        *("ConvTranspose1d", (2, 4, 3)),
        in_channels=4,
        out_channels=6,
        kernel_size=3,
        stride=2,
        padding=1,
        output_padding=1,
        groups=2,
        dilation=2,
    ),
    layer("ConvTranspose1d", (4, 3), in_channels=4, out_channels=2, kernel_size=3, stride=3).called(
        output_size=(11,)
    ),
    layer(
        *("ConvTranspose3d", (2, 2, 2, 1, 3)),
        in_channels=2,
        out_channels=3,
        kernel_size=(1, 3, 2),
        stride=(1, 2, 2),
        bias=False,
    ).called(output_size=(2, 4, 6)),
    layer("LazyConv1d", (2, 4, 5), out_channels=2, kernel_size=3),
    layer(
        "LazyConv2d", (4, 5, 4), out_channels=2, kernel_size=3, groups=2, padding_mode="circular", padding=1
    ),
    layer("LazyConv3d", (2, 2, 2, 3, 2), out_channels=3, kernel_size=2, bias=False),
    layer("LazyConvTranspose1d", (2, 4, 5), out_channels=2, kernel_size=3, stride=2, output_padding=1),
    layer("LazyConvTranspose2d", (2, 2, 3, 3), out_channels=2, kernel_size=2, groups=2),
    layer("LazyConvTranspose3d", (2, 2, 2, 1, 2), out_channels=2, kernel_size=2),
]
