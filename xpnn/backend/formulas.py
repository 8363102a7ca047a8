"""Activations and losses as formulas, for backends that write kernels from them.

An activation is a value and a gradient (see `functional.activation.pointwise`), each a function of a
namespace and of arrays; a loss of single elements is one of two arrays (see `functional.loss.elementwise`).
A backend that can call it with something else than arrays gets a kernel of each
activation from that, without a second formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Formula:
    """A pointwise activation.

    Attributes:
        name: of the primitive. value: `value(xp, x, **options)`.
        gradient: `gradient(xp, gy, *saved, **options)`.
        saved: what is kept for it: 0 is the input, 1 the output.
        kept_alike: whether the primitive itself keeps the same.
    """

    name: str
    value: Callable[..., Any]
    gradient: Callable[..., Any]
    saved: tuple[int, ...]
    kept_alike: bool = True


@dataclass(frozen=True)
class LossFormula:
    """A loss of single elements.

    Attributes:
        name: of the primitive. value: `value(xp, x, t, *others, **options)`.
        gx, gt: `gx(xp, gl, x, t, *others, **options)`; gt is None where it is -gx.
        others: how many other arrays there are, each of which may be None.
    """

    name: str
    value: Callable[..., Any]
    gx: Callable[..., Any]
    gt: Callable[..., Any] | None
    others: int


_formulas: dict[str, Formula] = {}
_losses: dict[str, LossFormula] = {}


def register_formula(formula: Formula) -> None:
    """Make it known; a later one of the same name replaces an earlier one."""
    _formulas[formula.name] = formula


def registered_formulas() -> list[Formula]:
    """All of them."""
    return list(_formulas.values())


def register_loss(formula: LossFormula) -> None:
    """Make it known; a later one of the same name replaces an earlier one."""
    _losses[formula.name] = formula


def registered_losses() -> list[LossFormula]:
    """All of them."""
    return list(_losses.values())
