"""Derivatives by finite differences: the slow and sure way, and the yardstick of all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd.mode import no_grad
from xpnn.autograd.tensor import Tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    ShapeError,
    backend_of,
    device_of,
    dtype_name,
    is_array,
    is_tensor,
    move,
    namespace,
    to_numpy,
)

_METHODS = ("central", "forward")


def numerical_gradient(
    func: Callable[[Any], Any], x: Array | Tensor, *, eps: float = 1e-6, method: str = "central"
) -> Array:
    """The gradient of a function with one number as its result, by finite differences.

    Args:
        func: takes an array (or a Tensor, if `x` is one) and returns an array or Tensor of one element.
        x: float64, of any shape and library.
        eps: the step h. The truncation error of the central difference falls with h**2, the round-off
            error grows with 1/h; 1e-6 is near the best for both.
        method: `"central"`: (f(x + h) - f(x - h)) / 2h, or `"forward"`: (f(x + h) - f(x)) / h.

    Returns: a raw array of x's shape, library and device.

    Raises: ShapeError if the result has more than one element; DTypeError if `x` is not float64.

    >>> import numpy as np
    >>> numerical_gradient(lambda x: (x**2).sum(), np.asarray([1.0, 3.0])).round(6).tolist()
    [2.0, 6.0]
    """
    jacobian = numerical_jacobian(func, x, eps=eps, method=method)
    shape = tuple(jacobian.shape)[: jacobian.ndim - x.ndim]
    if any(size != 1 for size in shape):
        raise ShapeError(
            f"expects a function with one number as its result, got an array of shape {shape}",
            subject="numerical_gradient",
            hint="Use numerical_jacobian",
        )
    return namespace(jacobian).reshape(jacobian, x.shape)


def numerical_jacobian(
    func: Callable[[Any], Any], x: Array | Tensor, *, eps: float = 1e-6, method: str = "central"
) -> Array:
    """All first derivatives of a function of one array, by finite differences: two calls per element.

    Args: as `numerical_gradient`, but the result of `func` may have any shape.

    Returns: a raw array of shape (*result, *x), in x's library and on its device.

    >>> import numpy as np
    >>> numerical_jacobian(lambda x: x * x[0], np.asarray([1.0, 3.0])).round(6).tolist()
    [[2.0, 0.0], [3.0, 1.0]]
    """
    if method not in _METHODS:
        raise ArgumentError(
            f"expects method to be one of {_METHODS}, got {method!r}", subject="numerical_jacobian"
        )
    check_float64(x, "numerical_jacobian", "the input")
    host, rebuild = to_numpy(x), rebuilder(x)

    def evaluate(values: Array) -> Array:
        with no_grad():
            return to_numpy(func(rebuild(values)))

    start = evaluate(host)
    xp = namespace(host)
    columns = xp.zeros((start.size, host.size), dtype=xp.float64)
    for i in range(host.size):
        above = evaluate(nudged(host, i, eps))
        below = evaluate(nudged(host, i, -eps)) if method == "central" else start
        columns[:, i] = xp.reshape(above - below, (-1,)) / (2 * eps if method == "central" else eps)
    raw = x.array if is_tensor(x) else x
    return move(xp.reshape(columns, (*start.shape, *host.shape)), backend_of(raw), device_of(raw))


def check_float64(x: Any, subject: str, name: str) -> None:
    """Refuse anything but float64: in single precision a difference quotient has three digits."""
    if not is_array(x):
        raise DTypeError(f"expects {name} to be an array or Tensor, got {type(x).__name__}", subject=subject)
    if dtype_name(x.dtype) != "float64":
        raise DTypeError(
            f"expects {name} in float64, got {dtype_name(x.dtype)}, too coarse for a difference quotient",
            subject=subject,
            hint="Convert it with xpnn.asarray(x, dtype='float64'); JAX has it only with JAX_ENABLE_X64=1",
        )


def rebuilder(x: Array | Tensor) -> Callable[[Array], Any]:
    """A function from NumPy arrays to what `x` is: an array of its library and device, or a Tensor of one."""
    raw = x.array if is_tensor(x) else x
    backend, device = backend_of(raw), device_of(raw)

    def rebuild(values: Array) -> Any:
        array = move(values, backend, device)
        return Tensor(array) if is_tensor(x) else array

    return rebuild


def nudged(values: Array, position: int, step: float) -> Array:
    """A copy of a NumPy array with `step` added to the element at a flat position."""
    copy = values.copy()
    copy.reshape(-1)[position] += step
    return copy
