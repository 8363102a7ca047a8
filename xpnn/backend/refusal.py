"""What an array library refuses, said as xpnn says it: the operation, what it was given, and why not.

A library's own words name neither: "only integer scalar arrays can be converted to a scalar index" may be a
reduction along an axis that is a Tensor. They stay, at the end of the message and as its cause.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from xpnn.backend.arrays import dtype_name
from xpnn.backend.errors import (
    ArgumentError,
    DTypeError,
    IndexOutOfRangeError,
    LinAlgError,
    ShapeError,
    XpnnError,
)
from xpnn.backend.namespace import is_array, is_tensor

REFUSALS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError)

_CALLS = TypeVar("_CALLS", bound=Callable)
_LONGEST = 60  # characters of an argument that are shown


def explain_refusal(
    error: Exception, name: str, args: Iterable[Any], options: Mapping[str, Any] | None = None
) -> None:
    """Raise the error of xpnn that says what `error`, raised by a library inside of `name`, is about.

    Returns, so that the error goes on as it is, if it is xpnn's already, or of a class that someone may wait
    for, such as JAX's under `jit`.

    Args:
        name: the operation, as the user called it.
        args, options: what it was given.
    """
    kind = type(error)
    if isinstance(error, XpnnError | NotImplementedError | RecursionError):
        return
    singular = kind.__name__.endswith("LinAlgError")  # NumPy's, CuPy's and PyTorch's
    if kind.__module__ != "builtins" and not kind.__module__.startswith("numpy.") and not singular:
        return
    if isinstance(error, IndexError):
        ours: type[XpnnError] = IndexOutOfRangeError
    elif singular:
        ours = LinAlgError
    elif isinstance(error, AttributeError):
        ours = DTypeError
    elif "shape" in str(error) or "broadcast" in str(error):
        ours = ShapeError
    else:
        ours = DTypeError if isinstance(error, TypeError) else ArgumentError
    given = [_described(value) for value in args]
    given += [f"{key}={_described(value)}" for key, value in (options or {}).items()]
    what = f"does not take {', '.join(given)}" if given else "takes arguments"
    raise ours(f"{what}: {error}", subject=name) from error


def refusing(function: _CALLS, name: str = "") -> _CALLS:
    """`function`, with what a library refuses inside of it said as `explain_refusal` says it.

    A constructor goes by the name of the class that is made.
    """

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except REFUSALS as error:
            if function.__name__ == "__init__":
                explain_refusal(error, type(args[0]).__name__, args[1:], options)
            else:
                explain_refusal(error, name or function.__name__, args, options)
            raise

    return call  # type: ignore[return-value]


def refusing_methods(kind: type) -> type:
    """Decorate a class: its public methods are `refusing`."""
    for name, value in vars(kind).items():
        if not name.startswith("_") and callable(value):
            setattr(kind, name, refusing(value, name))
    return kind


class RefusingConstructor:
    """The base of xpnn's classes, whose constructors are `refusing`; a user's subclass raises as it likes.

    Attributes:
        refusing: the names of other methods that are so too.
    """

    refusing: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            for name in {"__init__", *cls.refusing} & vars(cls).keys():
                setattr(cls, name, refusing(vars(cls)[name]))


def _described(value: Any) -> str:
    if is_array(value) or is_tensor(value):
        return f"{dtype_name(value.dtype)} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
