"""Activations in one pass over memory.

Times are of 1,048,576 elements in float32 on one thread, in ms, forward + backward: of this file, of plain
NumPy, and of PyTorch.
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.kernels.numba.arithmetic import exp, normal_cdf, sigmoid, tanh
from xpnn.kernels.numba.compiling import In1, Out1, compiled_function, compiled_kernel
from xpnn.kernels.numba.elements import by_element

# Elements up to which the fewest calls are fastest, whatever they cost for an element.
FEW = 8192

Result = tuple[np.ndarray, tuple]
Gradient = tuple[np.ndarray]

_MINUS_HALF, _HALF, _ONE, _TWO, _THREE = (np.float32(c) for c in (-0.5, 0.5, 1, 2, 3))
_ROOT = np.float32(math.sqrt(0.5 / math.pi))
# sqrt(2 / pi) (x + 0.044715 x^3) = x (_LINEAR + _CUBIC x^2), what the tanh is taken of in one form of GELU.
_LINEAR = np.float32(math.sqrt(2 / math.pi))
_CUBIC = np.float32(0.044715 * math.sqrt(2 / math.pi))


@compiled_function
def _relu(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = 0 if x[i] <= 0 else x[i]


@compiled_function
def _relu_gradient(gy: In1, y: In1, gx: Out1) -> None:
    for i in range(y.size):
        gx[i] = gy[i] if y[i] != 0 else 0


# 0.08 + 0.21, 0.11 + 0.37, 0.09 + 0.27
@compiled_kernel("relu", _relu, _relu_gradient, when=lambda x: x.size > FEW)
def relu(x: np.ndarray) -> Result:
    """The reference's `_relu`."""
    y = by_element(_relu, 1, np.empty_like(x), x)
    return y, (y,)


@relu.backward
def _relu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (y,) = saved
    return (by_element(_relu_gradient, 2, np.empty_like(y), gy, y),)


@compiled_function
def _gelu(x: In1, y: Out1) -> None:
    for i in range(x.size):
        v = x[i]
        y[i] = v * normal_cdf(v, exp(_MINUS_HALF * v * v))


@compiled_function
def _gelu_gradient(gy: In1, x: In1, gx: Out1) -> None:
    for i in range(x.size):
        v = x[i]
        bell = exp(_MINUS_HALF * v * v)
        gx[i] = gy[i] * (normal_cdf(v, bell) + v * _ROOT * bell)


# 0.38 + 0.40, 1.35 + 0.80, 0.41 + 0.74
@compiled_kernel("gelu", _gelu, _gelu_gradient, dtypes=("float32",))
def gelu(x: np.ndarray) -> Result:
    """The reference's `_gelu`; Phi is not kept, for it takes no longer to compute than to read."""
    return by_element(_gelu, 4, np.empty_like(x), x), (x,)


@gelu.backward
def _gelu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (x,) = saved
    return (by_element(_gelu_gradient, 5, np.empty_like(x), gy, x),)


@compiled_function
def _gelu_tanh(x: In1, y: Out1) -> None:
    for i in range(x.size):
        v = x[i]
        y[i] = _HALF * v * (_ONE + tanh(v * (_LINEAR + _CUBIC * v * v)))


@compiled_function
def _gelu_tanh_gradient(gy: In1, x: In1, gx: Out1) -> None:
    """gx = gy (1 + t) (1 + x (1 - t) z') / 2, with t = tanh(z)."""
    for i in range(x.size):
        v = x[i]
        t = tanh(v * (_LINEAR + _CUBIC * v * v))
        slope = _LINEAR + _THREE * _CUBIC * v * v
        gx[i] = gy[i] * _HALF * (_ONE + t) * (_ONE + v * (_ONE - t) * slope)


# 0.27 + 0.33, 0.52 + 1.07, 1.23 + 1.37
@compiled_kernel("gelu_tanh", _gelu_tanh, _gelu_tanh_gradient, dtypes=("float32",))
def gelu_tanh(x: np.ndarray) -> Result:
    """The reference's `_gelu_tanh`."""
    return by_element(_gelu_tanh, 3, np.empty_like(x), x), (x,)


@gelu_tanh.backward
def _gelu_tanh_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (x,) = saved
    return (by_element(_gelu_tanh_gradient, 4, np.empty_like(x), gy, x),)


@compiled_function
def _silu(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = x[i] * sigmoid(x[i])


@compiled_function
def _silu_gradient(gy: In1, x: In1, gx: Out1) -> None:
    for i in range(x.size):
        s = sigmoid(x[i])
        gx[i] = gy[i] * s * (_ONE + x[i] * (_ONE - s))


# 0.18 + 0.24, 0.69 + 0.99, 0.23 + 0.38
@compiled_kernel("silu", _silu, _silu_gradient, dtypes=("float32",))
def silu(x: np.ndarray) -> Result:
    """The reference's `_silu`."""
    return by_element(_silu, 3, np.empty_like(x), x), (x,)


@silu.backward
def _silu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (x,) = saved
    return (by_element(_silu_gradient, 3, np.empty_like(x), gy, x),)
