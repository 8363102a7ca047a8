"""GELU and softmax by PyTorch's own operations: one pass each where the references take several."""

from __future__ import annotations

import torch

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.torch.graph import Array

_aten = torch.ops.aten


def _in_single_precision(x: Array) -> bool:
    """PyTorch's GELU adds 1 and a number close to -1 for negative x, where float64 has digits to lose."""
    return x.dtype != torch.float64


@kernel("torch", "gelu", when=_in_single_precision)
def gelu(x: Array) -> tuple[Array, tuple]:
    """The reference's `_gelu`."""
    return torch.nn.functional.gelu(x), (x,)


@gelu.backward
def _gelu_backward(gy: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array]:
    return (_aten.gelu_backward(gy, *saved),)


@kernel("torch", "gelu_tanh")
def gelu_tanh(x: Array) -> tuple[Array, tuple]:
    """The reference's `_gelu_tanh`."""
    return torch.nn.functional.gelu(x, approximate="tanh"), (x,)


@gelu_tanh.backward
@saves_as_reference
def _gelu_tanh_backward(gy: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array]:
    return (_aten.gelu_backward(gy, *saved, approximate="tanh"),)


@kernel("torch", "softmax")
def softmax(x: Array, *, axis: int) -> tuple[Array, tuple]:
    """The reference's `_softmax`."""
    y = torch.softmax(x, axis)
    return y, (y,)


@softmax.backward
@saves_as_reference
def _softmax_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Array]:
    (y,) = saved
    return (_aten._softmax_backward_data(gy, y, axis, y.dtype),)


@kernel("torch", "log_softmax")
def log_softmax(x: Array, *, axis: int) -> tuple[Array, tuple]:
    """The reference's `_log_softmax`."""
    y = torch.log_softmax(x, axis)
    return y, (y,)


@log_softmax.backward
@saves_as_reference
def _log_softmax_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Array]:
    (y,) = saved
    return (_aten._log_softmax_backward_data(gy, y, axis, y.dtype),)
