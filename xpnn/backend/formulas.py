"""Activations as formulas, for backends that write kernels from them.

An activation is a value and a gradient (see `functional.activation.pointwise`), each a function of a
namespace and of arrays. A backend that can call it with something else than arrays gets a kernel of each
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


_formulas: dict[str, Formula] = {}


def register_formula(formula: Formula) -> None:
    """Make it known; a later one of the same name replaces an earlier one."""
    _formulas[formula.name] = formula


def registered_formulas() -> list[Formula]:
    """All of them."""
    return list(_formulas.values())
