"""SGD, Adam and AdamW in one pass over memory: fused updates (see `kernels.numpy.optim.bundles`).

Where NumPy works on pieces in a dozen passes, each number is read and written once.
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import COMPILED
from xpnn.backend.update_kernels import Options, State, bias_correction, fused_update
from xpnn.kernels.numba.compiling import In1, Out1, Real, compiled_function, compiled_guard


@compiled_function
def _sgd(param: Out1, grad: In1, lr: Real, decay: Real, sign: Real) -> None:
    for i in range(param.size):
        param[i] -= lr * (sign * grad[i] + decay * param[i])


@compiled_function
def _momentum(
    param: Out1,
    grad: In1,
    buffer: Out1,
    lr: Real,
    decay: Real,
    sign: Real,
    momentum: Real,
    undampened: Real,
    direct: Real,
    ahead: Real,
) -> None:
    """The step is `direct` gradients and `ahead` directions."""
    for i in range(param.size):
        g = sign * grad[i] + decay * param[i]
        buffer[i] = momentum * buffer[i] + undampened * g
        param[i] -= lr * (direct * g + ahead * buffer[i])


@compiled_function
def _adam(
    param: Out1,
    grad: In1,
    mean: Out1,
    square: Out1,
    beta1: Real,
    beta2: Real,
    step: Real,
    eps: Real,
    shrink: Real,
    decay: Real,
    sign: Real,
) -> None:
    """The betas are what of a new value enters a running mean, 1 - beta."""
    for i in range(param.size):
        p = param[i] * shrink
        g = sign * grad[i] + decay * p
        mean[i] += beta1 * (g - mean[i])
        square[i] += beta2 * (g * g - square[i])
        param[i] = p - step * mean[i] / (np.sqrt(square[i]) + eps)


@fused_update("numpy", "sgd", when=compiled_guard(_sgd, _momentum), priority=COMPILED)
def sgd(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> None:
    """See `xpnn.optim.SGD.update`."""
    lr, decay, sign = options["lr"], options["weight_decay"], -1.0 if options["maximize"] else 1.0
    buffer = state.get("momentum_buffer")
    if buffer is None:
        _sgd(param, grad, lr, decay, sign)
        return
    momentum, dampened = options["momentum"], options["dampening"] != 0 and state["step"] > 1
    undampened = 1.0 - options["dampening"] if dampened else 1.0
    direct, ahead = (undampened, momentum) if options["nesterov"] else (0.0, 1.0)
    _momentum(param, grad, buffer, lr, decay, sign, momentum, undampened, direct, ahead)


def _without_maxima(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> bool:
    return not options["amsgrad"]


@fused_update("numpy", "adam", when=compiled_guard(_adam, when=_without_maxima), priority=COMPILED)
def adam(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> None:
    """See `xpnn.optim.Adam.update`; lr m / b1 / (sqrt(v / b2) + eps) with the root of b2 drawn out."""
    (beta1, beta2), count, decay = options["betas"], state["step"], options["weight_decay"]
    root = math.sqrt(bias_correction(beta2, count))
    step, eps = options["lr"] * root / bias_correction(beta1, count), options["eps"] * root
    shrink, decay = (1.0 - options["lr"] * decay, 0.0) if options["decoupled_weight_decay"] else (1.0, decay)
    sign = -1.0 if options["maximize"] else 1.0
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    _adam(param, grad, mean, square, 1.0 - beta1, 1.0 - beta2, step, eps, shrink, decay, sign)
