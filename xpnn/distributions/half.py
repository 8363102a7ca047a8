"""Half precision: what distributions answer is computed in float32, and rounded once.

Parameters are attributes, so a copy is asked whose Tensors are in float32, and so are those of the parts that
it has: other distributions, and transforms. What it was given is checked before, as half precision has it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import is_floating, is_half

# What is computed so, and the check of what each is given.
ANSWERS = {
    **dict.fromkeys(("log_prob", "cdf"), "checked"),
    "icdf": "checked_share",
    **dict.fromkeys(("entropy", "mean", "mode", "perplexity", "stddev", "variance"), ""),
}


def answering_in_float32(kind: type) -> None:
    """Let the methods and properties of a class that `ANSWERS` names be computed in float32."""
    for name, check in ANSWERS.items():
        member = vars(kind).get(name)
        if isinstance(member, property) and member.fget is not None:
            wide = property(_wide(member.fget, check), member.fset, member.fdel, member.__doc__)
            setattr(kind, name, wide)
        elif callable(member):
            setattr(kind, name, _wide(member, check))


def widened(value: Any) -> Any:
    """The same with float32 in place of half precision, on the tape; what has none is returned as it is."""
    if not holds_half(value):
        return value
    if isinstance(value, Tensor):
        return value.to("float32")
    if isinstance(value, list | tuple):
        return type(value)([widened(part) for part in value])
    wide = copy.copy(value)
    for name, held in vars(value).items():
        vars(wide)[name] = widened(held)
    if hasattr(wide, "validate_args"):
        wide._validate_args = False
    return wide


def holds_half(value: Any) -> bool:
    """Whether a Tensor, a distribution or a transform, or one in a list of them, is of half precision."""
    if isinstance(value, Tensor):
        return is_half(value.array)
    if isinstance(value, list | tuple):
        return any(map(holds_half, value))
    if hasattr(value, "log_prob") or hasattr(value, "log_abs_det_jacobian"):
        return any(map(holds_half, vars(value).values()))
    return False


def rounded(found: Any, like: Any) -> Any:
    """An answer in float32 as half precision."""
    is_wide = isinstance(found, Tensor) and found.dtype == "float32"
    return found.to(like) if is_wide else found


def half_of(value: Any) -> Any:
    """The element type of half precision that it holds."""
    if isinstance(value, Tensor):
        return value.dtype
    parts = value if isinstance(value, list | tuple) else vars(value).values()
    return half_of(next(part for part in parts if holds_half(part)))


def _wide(method: Callable[..., Any], check: str) -> Callable[..., Any]:
    @wraps(method)
    def answer(self: Any, *args: Any, **options: Any) -> Any:
        if not holds_half(self):
            return method(self, *args, **options)
        if check:
            value, *others = args or (options.pop("value"),)
            args = (getattr(self, check)(value), *others)
        wide = {name: widened(option) for name, option in options.items()}
        found = method(widened(self), *map(widened, args), **wide)
        others = [a for a in args if isinstance(a, Tensor) and is_floating(a.array) and not is_half(a.array)]
        return found if others else rounded(found, half_of(self))

    return answer
