"""Sizes of convolutions: what comes out, what a cell sees, and arrays without elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
import xpnn.functional as F
from xpnn import nn
from xpnn.backend import ArgumentError, ShapeError

SIZES = (1, 4, 5, 9)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_output_size_by_counting(kernel: int, dilation: int, stride: int) -> None:
    extent = dilation * (kernel - 1) + 1
    for size in SIZES:
        for padding in (0, 1, "same", "full"):
            around = {"same": 0, "full": extent - 1}.get(str(padding), padding)
            if padding == "same":
                expected = -(-size // stride)
            else:
                first_cells = range(-int(around), size + int(around) - extent + 1, stride)
                expected = len(first_cells)
            if expected:
                assert F.conv_output_size(size, kernel, stride, padding, dilation) == expected


def test_a_stride_that_does_not_divide_is_an_error_on_request() -> None:
    assert F.conv_output_size((32, 31), 3, stride=2) == (15, 15)
    with pytest.raises(ShapeError, match=r"leaves the last 1 x 0 .* Sizes that fit: 31 x 31, 33 x 31"):
        F.conv_output_size((32, 31), 3, stride=2, exact=True)
    assert F.conv_output_size((31, 33), 3, stride=2, exact=True) == (15, 16)


def test_full_padding_is_that_of_all_overlaps() -> None:
    x, w = np.arange(4.0), np.asarray([1.0, 2.0, 5.0])
    y = F.conv1d(x[None, None], w[::-1].copy()[None, None], padding="full")
    np.testing.assert_allclose(y[0, 0], np.convolve(x, w))


NETS: dict[str, Any] = {
    "plain": [nn.Conv1d(1, 1, 3), nn.ReLU(), nn.Conv1d(1, 1, 5)],
    "strides": nn.Sequential(
        nn.Conv1d(1, 2, 3, stride=2), nn.BatchNorm1d(2), nn.Sequential(nn.Conv1d(2, 1, 2, dilation=3))
    ),
    "padded": [nn.Conv1d(1, 1, 3, stride=3, padding=1), nn.Conv1d(1, 1, 3, padding="same")],
}


@pytest.mark.parametrize("name", NETS)
def test_receptive_field_is_where_the_gradient_is(name: str) -> None:
    net = nn.Sequential(*NETS[name]).eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 1.0)
    x = xpnn.tensor(np.ones((1, 1, 60)), dtype="float32", requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2].backward()
    seen = np.flatnonzero(x.grad.numpy())
    assert F.receptive_field(NETS[name]) == seen[-1] - seen[0] + 1


def test_receptive_field_along_each_axis() -> None:
    layers = [nn.Conv2d(1, 1, (3, 5)), nn.MaxPool2d(2), nn.AvgPool2d((1, 3), stride=1)]
    assert F.receptive_field(layers) == (4, 10)
    assert F.receptive_field([]) == 1
    for layer in (nn.Linear(2, 3), nn.ConvTranspose2d(1, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()):
        with pytest.raises(ArgumentError, match=f"what one cell behind {type(layer).__name__} sees"):
            F.receptive_field([nn.Conv2d(1, 1, 3), layer])


EMPTY = [
    ((1, 3, 5, 5), (0, 3, 3, 3)),
    ((1, 0, 5, 5), (2, 0, 3, 3)),
    ((0, 3, 5, 5), (2, 3, 3, 3)),
    ((1, 3, 5), (0, 3, 3)),
    ((1, 3, 4, 4, 4), (0, 3, 2, 2, 2)),
    ((1, 0, 4, 4, 4), (2, 0, 2, 2, 2)),
    ((0, 2, 4, 4, 4), (2, 2, 2, 2, 2)),
]


@pytest.mark.parametrize(("of_input", "of_weight"), EMPTY)
def test_without_images_channels_or_outputs(
    backend: Any, of_input: tuple[int, ...], of_weight: tuple[int, ...]
) -> None:
    axes = len(of_input) - 2
    for transposed in (False, True):
        channels = of_weight[0] if transposed else of_input[1]
        outputs = of_weight[1] if transposed else of_weight[0]
        shapes = ((of_input[0], channels, *of_input[2:]), of_weight, (outputs,))
        tensors = [xpnn.Tensor(backend.array(np.ones(shape)), requires_grad=True) for shape in shapes]
        function = getattr(F, f"conv_transpose{axes}d" if transposed else f"conv{axes}d")
        y = function(*tensors)
        assert y.shape[:2] == (of_input[0], outputs)
        if channels == 0:
            assert (backend.numpy(y.detach()) == 1.0).all()
        y.sum().backward()
        assert [tensor.grad.shape for tensor in tensors] == [tensor.shape for tensor in tensors]
