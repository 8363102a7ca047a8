"""Activations of straight lines: cheap stand-ins for tanh, the sigmoid and SiLU."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, namespace
from xpnn.functional.arguments import check_floating

__all__ = ["hardsigmoid", "hardswish", "hardtanh", "relu6"]


def hardtanh(input: Array | Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Cut off what is outside of an interval: y = min(max(x, min_val), max_val).

    Backward: gx = gy where min_val < x < max_val, else 0.

    Raises: ArgumentError unless min_val <= max_val.

    See: Collobert (2004), "Large scale machine learning".

    >>> import numpy as np
    >>> hardtanh(np.asarray([-2.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    return _clipped(input, min_val, max_val, "hardtanh")


def relu6(input: Array | Tensor) -> Any:
    """`hardtanh` between 0 and 6: a ReLU for few bits.

    See: Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10".

    >>> import numpy as np
    >>> relu6(np.asarray([-2.0, 0.5, 8.0])).tolist()
    [0.0, 0.5, 6.0]
    """
    return _clipped(input, 0.0, 6.0, "relu6")


def hardsigmoid(input: Array | Tensor) -> Any:
    """The sigmoid in three straight lines: y = min(max(x / 6 + 1/2, 0), 1).

    Backward: gx = gy / 6 where -3 < x < 3, else 0.

    See: Courbariaux, Bengio & David (2015), "BinaryConnect".

    >>> import numpy as np
    >>> hardsigmoid(np.asarray([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    check_floating(input, "hardsigmoid")
    return _hardsigmoid(input)


def hardswish(input: Array | Tensor) -> Any:
    """Weigh each number by its hard sigmoid: y = x min(max(x + 3, 0), 6) / 6.

    Backward: gx = gy (2 x + 3) / 6 where -3 < x < 3, gy right of it and 0 left of it.

    See: Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le & Adam (2019), "Searching for
    MobileNetV3".

    >>> import numpy as np
    >>> hardswish(np.asarray([0.0, 1.5, 3.0])).tolist()
    [0.0, 1.125, 3.0]
    """
    check_floating(input, "hardswish")
    return _hardswish(input)


@primitive
def _hardtanh(x, *, low, high):
    return _between(x, low, high), (x,)


@_hardtanh.backward
def _hardtanh_backward(gy, saved, needs, *, low, high):
    (x,) = saved
    return (gy * _inside(x, low, high),)


@primitive
def _hardsigmoid(x):
    return _between(x / 6 + 0.5, 0.0, 1.0), (x,)


@_hardsigmoid.backward
def _hardsigmoid_backward(gy, saved, needs):
    (x,) = saved
    return (gy * _inside(x, -3.0, 3.0) / 6,)


@primitive
def _hardswish(x):
    return x * _between(x + 3, 0.0, 6.0) / 6, (x,)


@_hardswish.backward
def _hardswish_backward(gy, saved, needs):
    (x,) = saved
    right = namespace(x).astype(x >= 3, x.dtype)
    return (gy * (_inside(x, -3.0, 3.0) * (2 * x + 3) / 6 + right),)


def _clipped(x: Any, low: float, high: float, subject: str) -> Any:
    check_floating(x, subject)
    if not low <= high:
        raise ArgumentError(f"expects min_val of at most max_val, got {low} and {high}", subject=subject)
    return _hardtanh(x, low=float(low), high=float(high))


def _between(x: Any, low: float, high: float) -> Any:
    xp = namespace(x)
    return xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))


def _inside(x: Any, low: float, high: float) -> Any:
    """1.0 between the bends, else 0.0."""
    xp = namespace(x)
    return xp.astype(x > low, x.dtype) * xp.astype(x < high, x.dtype)
