"""From the losses of single elements to one number, and back from its gradient."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import wraps
from math import nan
from typing import Any, TypeVar

from xpnn.backend import ArgumentError, namespace, size_of

_Function = TypeVar("_Function", bound=Callable[..., Any])


def loss(function: _Function) -> _Function:
    """Decorate a loss that takes `size_average` and `reduce`: it is called with the `reduction` they mean.

    PyTorch has the two from the time before `reduction`, and warns of them.

    >>> @loss
    ... def name_of_reduction(input, size_average=None, reduce=None, reduction="mean"):
    ...     return reduction
    >>> name_of_reduction(1.0, reduction="none")
    'none'
    """
    signature = inspect.signature(function)
    first = list(signature.parameters).index("size_average")

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if len(args) <= first and "size_average" not in options and "reduce" not in options:
            return function(*args, **options)
        given = signature.bind(*args, **options).arguments
        old = given.pop("size_average", None), given.pop("reduce", None)
        given["reduction"] = reduction_of(*old, given.get("reduction", "mean"), function.__name__)
        return function(**given)

    return call  # type: ignore[return-value]


def reduction_of(size_average: Any, reduce: Any, reduction: str, subject: str) -> str:
    """What PyTorch's old arguments mean; `reduction` where they are left out.

    Raises: ArgumentError if one is neither a switch, nor a number that stands for one, nor None.
    """
    if size_average is None and reduce is None:
        return reduction
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None and not isinstance(value, bool | int | float):
            raise ArgumentError(
                f"expects {name} as True, False or None, got {value!r}",
                subject=subject,
                hint=f"Did you mean reduction={value!r}?" if isinstance(value, str) else "",
            )
    meant = "none" if _is_off(reduce) else "sum" if _is_off(size_average) else "mean"
    warnings.warn(
        f"{subject}: size_average and reduce are PyTorch's old arguments; use reduction={meant!r}",
        stacklevel=3,
    )
    return meant


def _is_off(switch: Any) -> bool:
    return switch is not None and not switch


def reduced(losses: Any, reduction: str, count: Any = None) -> Any:
    """The losses themselves ("none"), their sum, or their sum over `count` ("mean").

    Args:
        losses: an array.
        count: what the mean divides by, a number or a 0-d array; None is the number of losses.

    >>> import numpy as np
    >>> float(reduced(np.asarray([1.0, 3.0]), "mean", 2))
    2.0
    """
    if reduction == "none":
        return losses
    total = namespace(losses).sum(losses)
    if reduction == "sum":
        return total
    return _average(total, size_of(losses.shape) if count is None else count)


def share(gy: Any, reduction: str, count: Any) -> Any:
    """The gradient into each loss, when `gy` is the one into what `reduced` returned.

    Where nothing was counted it is NaN, as the mean is: as in PyTorch, gradients of labels that all weigh 0
    are NaN. Those of labels that are ignored are left out by the caller.
    """
    if reduction != "mean":
        return gy
    if isinstance(count, int):
        return gy / (count or 1)
    return gy / _divisor(count)


def _average(total: Any, count: Any) -> Any:
    """total / count; NaN, as in PyTorch, but without a warning, where nothing was counted."""
    if isinstance(count, int):
        return total / count if count else total * nan
    return total / _divisor(count)


def _divisor(count: Any) -> Any:
    """The count; NaN for 0."""
    xp = namespace(count)
    return xp.where(count == 0, xp.full_like(count, nan), count)
