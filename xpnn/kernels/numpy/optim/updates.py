"""The arithmetic of SGD, Adam and AdamW, in place on pieces of memory.

A kernel of an optimizer has the name that its class gives as `kernel`, and the signature of its `update`:

    @kernel("numpy", "adam")
    def adam(param, grad, state, options) -> None

It writes the new values over the old:

- `param`: a piece of a large parameter, or several small ones, one behind the other: 1-D, contiguous, float32
  or float64, of at most `parameter_group.PIECE_BYTES`, so that all arrays of a piece fit into the
  second-level cache together. Is overwritten.
- `grad`: an array of the same kind and size. Is not written to.
- `state`: the slots of the optimizer, arrays of the same kind and size, which are overwritten; but `"step"`
  is an int, the number of this update, 1 for the first.
- `options`: those of the group, as Python numbers.

`parameter_group` cuts the pieces and has made sure that nobody else holds the memory. It calls the kernel
from several threads at the same time, with pieces that don't overlap: a kernel needs no threads of its own,
the BLAS's included, and should release Python's global lock. A kernel's guard (`when=`) is
asked once for a group, with the arguments of its first piece.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.optim.axpy import add_scaled

State = dict[str, Any]


@kernel("numpy", "sgd")
def sgd(param: np.ndarray, grad: np.ndarray, state: State, options: dict[str, Any]) -> None:
    """See `xpnn.optim.SGD.update`."""
    lr, direction = options["lr"], _with_decay(param, grad, options)
    buffer = state.get("momentum_buffer")
    if buffer is not None:
        dampened = options["dampening"] != 0 and state["step"] > 1
        np.multiply(buffer, options["momentum"], out=buffer)
        add_scaled(buffer, 1 - options["dampening"] if dampened else 1.0, direction)
        if options["nesterov"]:
            add_scaled(param, -lr, direction)
            lr *= options["momentum"]
        direction = buffer
    add_scaled(param, -lr, direction)


@kernel("numpy", "adam")
def adam(param: np.ndarray, grad: np.ndarray, state: State, options: dict[str, Any]) -> None:
    """See `xpnn.optim.Adam.update`."""
    _adam(param, _with_decay(param, grad, options), state, options)


@kernel("numpy", "adamw")
def adamw(param: np.ndarray, grad: np.ndarray, state: State, options: dict[str, Any]) -> None:
    """See `xpnn.optim.AdamW`."""
    if options["weight_decay"] != 0:
        np.multiply(param, 1 - options["lr"] * options["weight_decay"], out=param)
    _adam(param, _with_decay(param, grad, {**options, "weight_decay": 0}), state, options)


def _adam(param: np.ndarray, grad: np.ndarray, state: State, options: dict[str, Any]) -> None:
    """Both running means and the step: nine passes over a piece that stays in the cache.

    With both corrections of bias b1, b2 drawn into two numbers,

        lr m / b1 / (sqrt(v / b2) + eps) = (lr sqrt(b2) / b1) m / (sqrt(v) + eps sqrt(b2))

    the step needs one pass less than the formula.
    """
    (beta1, beta2), count = options["betas"], state["step"]
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    work = scratch("optimizer step", param.shape, param.dtype)
    np.multiply(mean, beta1, out=mean)
    add_scaled(mean, 1 - beta1, grad)
    np.multiply(square, beta2, out=square)
    add_scaled(square, 1 - beta2, np.multiply(grad, grad, out=work))
    if options["amsgrad"]:
        square = np.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])

    root = math.sqrt(bias_correction(beta2, count))
    np.sqrt(square, out=work)
    np.add(work, options["eps"] * root, out=work)
    np.divide(mean, work, out=work)
    add_scaled(param, -options["lr"] * root / bias_correction(beta1, count), work)


def _with_decay(param: np.ndarray, grad: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """The gradient with its sign and L2 penalty: as it is where neither changes it, else in scratch."""
    decay, maximize = options["weight_decay"], options["maximize"]
    if decay == 0 and not maximize:
        return grad
    out = scratch("optimizer gradient", param.shape, param.dtype)
    if decay == 0:
        return np.negative(grad, out=out)
    np.multiply(param, decay, out=out)
    return np.subtract(out, grad, out=out) if maximize else np.add(out, grad, out=out)


@functools.lru_cache(maxsize=16)
def bias_correction(beta: float, count: int) -> float:
    """`1 - beta**count`, exact to rounding."""
    return -math.expm1(count * math.log(beta)) if beta > 0 else 1.0
