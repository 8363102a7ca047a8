"""Activations of straight lines: cheap stand-ins for tanh, the sigmoid and SiLU."""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError, ArrayT
from xpnn.functional.activation.pointwise import Pointwise, select
from xpnn.functional.arguments import number

__all__ = ["hardsigmoid", "hardswish", "hardtanh", "relu6"]


def hardtanh(input: ArrayT, min_val: float = -1.0, max_val: float = 1.0) -> ArrayT:
    """Cut off what is outside of an interval: y = min(max(x, min_val), max_val).

    Backward: gx = gy where min_val < x < max_val, else 0.

    Raises: ArgumentError unless min_val <= max_val.

    See: Collobert (2004), "Large scale machine learning".

    >>> import numpy as np
    >>> hardtanh(np.asarray([-2.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    min_val, max_val = number(min_val, "min_val", "hardtanh"), number(max_val, "max_val", "hardtanh")
    if not min_val <= max_val:
        raise ArgumentError(
            f"expects min_val of at most max_val, got {min_val} and {max_val}", subject="hardtanh"
        )
    return _hardtanh(input, low=min_val, high=max_val)


def relu6(input: ArrayT) -> ArrayT:
    """`hardtanh` between 0 and 6: a ReLU for few bits.

    See: Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10".

    >>> import numpy as np
    >>> relu6(np.asarray([-2.0, 0.5, 8.0])).tolist()
    [0.0, 0.5, 6.0]
    """
    return _relu6(input, low=0.0, high=6.0)


_hardtanh, _relu6 = (
    Pointwise(
        name,
        value=lambda xp, x, *, low, high: _between(xp, x, low, high),
        gradient=lambda xp, gy, x, *, low, high: select(~((x <= low) | (x >= high)), gy),
    )
    for name in ("hardtanh", "relu6")
)


def hardsigmoid(input: ArrayT) -> ArrayT:
    """The sigmoid in three straight lines: y = min(max(x / 6 + 1/2, 0), 1).

    Backward: gx = gy / 6 where -3 < x < 3, else 0.

    See: Courbariaux, Bengio & David (2015), "BinaryConnect".

    >>> import numpy as np
    >>> hardsigmoid(np.asarray([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return _hardsigmoid(input)


_hardsigmoid = Pointwise(
    "hardsigmoid",
    value=lambda xp, x: _between(xp, x / 6 + 0.5, 0.0, 1.0),
    gradient=lambda xp, gy, x: select((x > -3) & (x < 3), gy / 6),
)


def hardswish(input: ArrayT) -> ArrayT:
    """Weigh each number by its hard sigmoid: y = x min(max(x + 3, 0), 6) / 6.

    Backward: gx = gy (2 x + 3) / 6 where -3 < x < 3, gy right of it and 0 left of it.

    See: Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le & Adam (2019), "Searching for
    MobileNetV3".

    >>> import numpy as np
    >>> hardswish(np.asarray([0.0, 1.5, 3.0])).tolist()
    [0.0, 1.125, 3.0]
    """
    return _hardswish(input)


_hardswish = Pointwise(
    "hardswish",
    value=lambda xp, x: x * _between(xp, x + 3, 0.0, 6.0) / 6,
    gradient=lambda xp, gy, x: select((x > -3) & (x < 3), gy * (2 * x + 3) / 6) + select(~(x < 3), gy),
)


def _between(xp: Any, x: Any, low: float, high: float) -> Any:
    return xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))
