"""Activations in NumPy: all operations over one piece before the next, each thread its own pieces.

They are written from the formulas of the references (see `programs.py`), but GELU, which has a faster one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.backend.formulas import Formula, registered_formulas
from xpnn.kernels.expressions import Expression
from xpnn.kernels.numpy.chunks import by_element, lying_as
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.programs import FEW, INTEGERS, Programs, write_selected

# 2 Phi(x) - 1 = tanh(x P(x^2)), with the polynomial P fitted so that Phi is off by at most 3e-8, half a unit
# in float32's last place; beyond the farthest x that it was fitted for, Phi is 1 in float32. Lowest power
# first.
_NORMAL_CDF = (
    0.7978849414892009,
    0.03633308441175853,
    -3.259474794594435e-05,
    -5.530631535079635e-05,
    3.964772895148977e-06,
    -1.3226625858493624e-07,
    1.7562768705587371e-09,
)
_FARTHEST_SQUARE = 5.4**2

Result = tuple[np.ndarray, tuple]
Gradient = tuple[np.ndarray]


def _is_float32(x: np.ndarray) -> bool:
    return x.dtype == np.float32 and x.size > 0


# ---- GELU ----


@kernel("numpy", "gelu", when=_is_float32)
def gelu(x: np.ndarray) -> Result:
    """The reference's `_gelu`; like it, this keeps Phi(x), which costs more than all the rest."""
    y = np.empty_like(x)
    x_dense, cdf = lying_as(x, y), np.empty_like(x)

    def evaluate(y: np.ndarray, cdf: np.ndarray, x: np.ndarray) -> None:
        np.multiply(x, _normal_cdf(x, out=cdf), out=y)

    by_element(evaluate, 6, y, cdf, x_dense)
    return y, (x, cdf)


@gelu.backward
@saves_as_reference
def _gelu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    """gx = gy (Phi(x) + x phi(x))."""
    x, cdf = saved
    gx = np.empty_like(cdf)

    def pull_back(out: np.ndarray, gy: np.ndarray, x: np.ndarray, cdf: np.ndarray) -> None:
        np.multiply(x, x, out=out)
        out *= -0.5
        np.exp(out, out=out)
        out *= math.sqrt(0.5 / math.pi)
        out *= x
        out += cdf
        out *= gy

    by_element(pull_back, 5, gx, lying_as(gy, gx), lying_as(x, gx), cdf)
    return (gx,)


def _normal_cdf(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        square = np.multiply(x, x, out=scratch("square", x.shape, x.dtype))
    np.clip(square, 0.0, _FARTHEST_SQUARE, out=square)
    highest, *others = reversed(_NORMAL_CDF)
    np.multiply(square, highest, out=out)
    for coefficient in others[:-1]:  # Horner's rule
        out += coefficient
        out *= square
    out += others[-1]
    with np.errstate(over="ignore"):
        out *= x
    np.tanh(out, out=out)
    out += 1.0
    out *= 0.5
    return out


# ---- by formulas ----


@kernel("expressions", "sigmoid", when=lambda x: "sigmoid" in x.trace.own)
def _own_sigmoid(x: Expression) -> tuple[Expression, tuple]:
    """Where a formula takes the sigmoid of an expression: one operation for programs that have it."""
    return x.trace.add("sigmoid", (x,)), ()


def _register(formula: Formula) -> None:
    """The kernel of an activation that is written from its value and its gradient."""
    value = _FASTER.get(formula.name, formula.value)
    programs = Programs((value, "a"), (formula.gradient, "a" * (1 + len(formula.saved))))

    def when(x: np.ndarray, **options: Any) -> bool:
        return x.size > FEW and x.dtype.char in "fd" and programs.find(x.dtype, options) is not None

    @kernel("numpy", formula.name, when=when)
    def forward(x: np.ndarray, **options: Any) -> Result:
        y = programs.find(x.dtype, options)[0](x)
        return y, tuple([(x, y)[i] for i in formula.saved])

    @forward.backward
    @saves_as_reference
    def backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], **options: Any) -> Gradient:
        return (programs.find(gy.dtype, options)[1](gy, *saved),)


_FASTER = {"sigmoid": lambda xp, x: x.trace.add("sigmoid", (x,))}
_TANH = Formula("tanh", lambda xp, x: xp.tanh(x), lambda xp, gy, y: gy * (1 - y * y), saved=(1,))

for _formula in (*registered_formulas(), _TANH):
    if _formula.kept_alike:
        _register(_formula)


# ---- select ----


@kernel("numpy", "select", when=lambda condition, x: x.dtype.char in INTEGERS and x.shape == condition.shape)
def select(condition: np.ndarray, x: np.ndarray) -> Result:
    """The reference's `_select`."""
    y = np.empty_like(condition, dtype=x.dtype)
    return write_selected(y, condition, x), (condition,)
