"""A batch norm in evaluation, put into the weights of the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from xpnn.autograd import Tensor, no_grad, xp
from xpnn.backend import ArgumentError, refusing
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


@refusing
def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A convolution that computes what the convolution and then the batch norm do in evaluation.

    Args:
        conv: in evaluation mode.
        bn: in evaluation mode, with running statistics.
        transpose: whether it is a transposed convolution.

    Raises: ArgumentError if one of them is in training, or has no running statistics.

    >>> from xpnn import nn
    >>> fuse_conv_bn_eval(nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval())
    Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
    """
    return _fused(conv, bn, 1 if transpose else 0, "fuse_conv_bn_eval")


@refusing
def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A linear layer that computes what the layer and then the batch norm do; see `fuse_conv_bn_eval`.

    >>> from xpnn import nn
    >>> fuse_linear_bn_eval(nn.Linear(1, 2).eval(), nn.BatchNorm1d(2).eval())
    Linear(in_features=1, out_features=2, bias=True)
    """
    return _fused(linear, bn, 0, "fuse_linear_bn_eval")


@refusing
def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of `fuse_conv_bn_eval`: w' = w s and b' = (b - mean) s + shift.

    s is the norm's weight over the root of its running variance + eps.
    """
    return _fuse(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


@refusing
def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of `fuse_linear_bn_eval`; see `fuse_conv_bn_weights`."""
    return _fuse(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fused(layer: Module, bn: Module, axis: int, subject: str) -> Module:
    if layer.training or bn.training or bn.running_mean is None:
        raise ArgumentError("expects both in evaluation, and running statistics", subject=subject)
    made = copy.deepcopy(layer)
    weight, bias = _fuse(
        made.weight, made.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, axis
    )
    made.weight = weight
    made.bias = bias
    return made


def _fuse(
    w: Tensor,
    b: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    scale: Tensor | None,
    shift: Tensor | None,
    axis: int,
) -> tuple[Parameter, Parameter]:
    with no_grad():
        factor: Any = 1.0 / xp.sqrt(variance + eps)
        factor = factor if scale is None else scale * factor
        shape = tuple(-1 if i == axis else 1 for i in range(w.ndim))
        moved = (-mean if b is None else b - mean) * factor
        moved = moved if shift is None else moved + shift
        return (
            Parameter(xp.astype(w * factor.reshape(shape), w.dtype), w.requires_grad),
            Parameter(xp.astype(moved, w.dtype), w.requires_grad if b is None else b.requires_grad),
        )
