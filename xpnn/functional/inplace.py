"""Results in place of the input: `inplace=True`, and the functions whose names end in an underscore.

A Tensor is a handle on an array that is never overwritten: "in place" makes the handle name the result, on
the tape and for all views, and what was computed with the values before keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError
from xpnn.functional.arguments import check_flags

_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_place_of(input: Any, result: Any, inplace: bool, subject: str) -> Any:
    """The result; where `inplace`, as the new values of the Tensor `input`.

    A raw array is nobody's handle and stays as it is.

    Raises: ArgumentError unless `inplace` is True or False; GradientError for a leaf that requires a
    gradient.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0])
    >>> in_place_of(x, x * 2, True, "twice") is x, x.tolist()
    (True, [2.0, 4.0])
    """
    check_flags(subject, inplace=inplace)
    if not inplace or result is input or not isinstance(input, Tensor):
        return result
    return input._rebind(result, f"{subject}(inplace=True)")


def in_place(function: _Function) -> _Function:
    """The twin of a function with an argument `inplace`, which is always true for it: `relu_` of `relu`.

    Raises, when called: DTypeError for a raw array, which cannot be written into on every backend.
    """
    name = f"{function.__name__}_"

    def twin(input: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            raise DTypeError(
                f"expects a Tensor to write into, got {type(input).__name__}",
                subject=name,
                hint=f"Write x = {function.__name__}(x) instead",
            )
        if "inplace" in options:
            raise ArgumentError("takes no inplace: it is always in place", subject=name)
        return function(input, *args, inplace=True, **options)

    twin.__name__ = twin.__qualname__ = name
    twin.__module__ = function.__module__
    twin.__doc__ = f"`{function.__name__}` in place: its result becomes the values of the Tensor `input`."
    return twin  # type: ignore[return-value]
