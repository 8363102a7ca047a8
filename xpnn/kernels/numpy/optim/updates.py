"""SGD, Adam and AdamW in place on pieces of memory: fused updates (see `bundles`)."""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend.update_kernels import Options, State, bias_correction, fused_update
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.optim.axpy import add_scaled


@fused_update("numpy", "sgd")
def sgd(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> None:
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


@fused_update("numpy", "adam")
def adam(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> None:
    """See `xpnn.optim.Adam.update`: nine passes over a piece that stays in the cache.

    With both corrections of bias b1, b2 drawn into two numbers,

        lr m / b1 / (sqrt(v / b2) + eps) = (lr sqrt(b2) / b1) m / (sqrt(v) + eps sqrt(b2))

    the step needs one pass less than the formula.
    """
    (beta1, beta2), count = options["betas"], state["step"]
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    if options["decoupled_weight_decay"]:
        np.multiply(param, 1 - options["lr"] * options["weight_decay"], out=param)
        options = {**options, "weight_decay": 0}
    grad = _with_decay(param, grad, options)
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


def _with_decay(param: np.ndarray, grad: np.ndarray, options: Options) -> np.ndarray:
    """The gradient with its sign and L2 penalty: as it is where neither changes it, else in scratch."""
    decay, maximize = options["weight_decay"], options["maximize"]
    if decay == 0 and not maximize:
        return grad
    out = scratch("optimizer gradient", param.shape, param.dtype)
    if decay == 0:
        return np.negative(grad, out=out)
    np.multiply(param, decay, out=out)
    return np.subtract(out, grad, out=out) if maximize else np.add(out, grad, out=out)
