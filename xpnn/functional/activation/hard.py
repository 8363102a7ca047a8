"""Activations of straight lines: cheap stand-ins for tanh, the sigmoid and SiLU; the step and shrinkage."""

from __future__ import annotations

from typing import Any

from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, ArrayT, is_integer
from xpnn.functional.activation.pointwise import Pointwise
from xpnn.functional.arguments import number
from xpnn.functional.inplace import in_place, in_place_of

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "relu6",
    "softshrink",
    "step",
]


def hardtanh(input: ArrayT, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> ArrayT:
    """Cut off what is outside of an interval: y = min(max(x, min_val), max_val).

    Backward: gx = gy where min_val < x < max_val, else 0. With `inplace` a Tensor `input` takes the result.

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
    if is_integer(input):
        min_val, max_val = int(min_val), int(max_val)
    return in_place_of(input, _hardtanh(input, low=min_val, high=max_val), inplace, "hardtanh")


hardtanh_ = in_place(hardtanh)


def relu6(input: ArrayT, inplace: bool = False) -> ArrayT:
    """`hardtanh` between 0 and 6: a ReLU for few bits.

    See: Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10".

    >>> import numpy as np
    >>> relu6(np.asarray([-2.0, 0.5, 8.0])).tolist()
    [0.0, 0.5, 6.0]
    """
    low, high = (0, 6) if is_integer(input) else (0.0, 6.0)
    return in_place_of(input, _relu6(input, low=low, high=high), inplace, "relu6")


_hardtanh, _relu6 = (
    Pointwise(
        name,
        value=lambda xp, x, *, low, high: _between(xp, x, low, high),
        gradient=lambda xp, gy, x, *, low, high: select(~((x <= low) | (x >= high)), gy),
        flat=True,
        integers=True,
    )
    for name in ("hardtanh", "relu6")
)


def hardsigmoid(input: ArrayT, inplace: bool = False) -> ArrayT:
    """The sigmoid in three straight lines: y = min(max(x / 6 + 1/2, 0), 1).

    Backward: gx = gy / 6 where -3 < x < 3, else 0. With `inplace` a Tensor `input` takes the result.

    See: Courbariaux, Bengio & David (2015), "BinaryConnect".

    >>> import numpy as np
    >>> hardsigmoid(np.asarray([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return in_place_of(input, _hardsigmoid(input), inplace, "hardsigmoid")


_hardsigmoid = Pointwise(
    "hardsigmoid",
    value=lambda xp, x: _between(xp, x / 6 + 0.5, 0.0, 1.0),
    gradient=lambda xp, gy, x: select((x > -3) & (x < 3), gy / 6),
    flat=True,
)


def hardswish(input: ArrayT, inplace: bool = False) -> ArrayT:
    """Weigh each number by its hard sigmoid: y = x min(max(x + 3, 0), 6) / 6.

    Backward: gx = gy (2 x + 3) / 6 where -3 < x < 3, gy right of it and 0 left of it. With `inplace` a Tensor
    `input` takes the result.

    See: Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le & Adam (2019), "Searching for
    MobileNetV3".

    >>> import numpy as np
    >>> hardswish(np.asarray([0.0, 1.5, 3.0])).tolist()
    [0.0, 1.125, 3.0]
    """
    return in_place_of(input, _hardswish(input), inplace, "hardswish")


_hardswish = Pointwise(
    "hardswish",
    value=lambda xp, x: x * _between(xp, x + 3, 0.0, 6.0) / 6,
    gradient=lambda xp, gy, x: select((x > -3) & (x < 3), gy * (2 * x + 3) / 6) + select(~(x < 3), gy),
)


def hardshrink(input: ArrayT, lambd: float = 0.5) -> ArrayT:
    """Set to zero what is small: y = x where |x| > lambd, else 0.

    Backward: gx = gy where |x| > lambd, else 0. NaN passes both ways.

    See: Donoho & Johnstone (1994), "Ideal spatial adaptation by wavelet shrinkage".

    >>> import numpy as np
    >>> hardshrink(np.asarray([-1.0, 0.5, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    return _hardshrink(input, lambd=number(lambd, "lambd", "hardshrink"))


_hardshrink = Pointwise(
    "hardshrink",
    value=lambda xp, x, *, lambd: select(~_is_small(x, lambd), x),
    gradient=lambda xp, gy, x, *, lambd: select(~_is_small(x, lambd), gy),
    half=True,
    flat=True,
)


def softshrink(input: ArrayT, lambd: float = 0.5) -> ArrayT:
    """Move each number towards zero by lambd, and what is smaller onto it: y = sign(x) max(|x| - lambd, 0).

    Backward: gx = gy where |x| > lambd, else 0.

    Raises: ArgumentError for a negative lambd.

    See: Donoho (1995), "De-noising by soft-thresholding".

    >>> import numpy as np
    >>> softshrink(np.asarray([-1.0, 0.5, 2.0])).tolist()
    [-0.5, 0.0, 1.5]
    """
    lambd = number(lambd, "lambd", "softshrink")
    if lambd < 0:
        raise ArgumentError(f"expects lambd of at least 0, got {lambd}", subject="softshrink")
    return _softshrink(input, lambd=lambd)


_softshrink = Pointwise(
    "softshrink",
    value=lambda xp, x, *, lambd: x - _between(xp, x, -lambd, lambd),
    gradient=lambda xp, gy, x, *, lambd: select(~_is_small(x, lambd), gy),
    flat=True,
)


def step(input: ArrayT, at_zero: float = 0.0) -> ArrayT:
    """Heaviside's step: y = 1 where x > 0, 0 where x < 0, and `at_zero` at 0.

    Backward: gx = 0, the derivative wherever there is one. NaN passes both ways.

    See: McCulloch & Pitts (1943), "A logical calculus of the ideas immanent in nervous activity".

    >>> import numpy as np
    >>> step(np.asarray([-2.0, 0.0, 3.0]), at_zero=0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    return _step(input, at_zero=number(at_zero, "at_zero", "step"))


def _step_value(xp: Any, x: Any, *, at_zero: float) -> Any:
    left = xp.where(x < 0, xp.zeros_like(x), xp.where(x == 0, xp.full_like(x, at_zero), x))
    return xp.where(x > 0, xp.ones_like(x), left)


_step = Pointwise(
    "step",
    value=_step_value,
    gradient=lambda xp, gy, x, *, at_zero: select(x != x, gy),
    half=True,
)


def _is_small(x: Any, lambd: float) -> Any:
    return (x >= -lambd) & (x <= lambd)


def _between(xp: Any, x: Any, low: float, high: float) -> Any:
    return xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))
