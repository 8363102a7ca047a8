"""What marks functions, methods and classes for TorchScript: each gives back what it is put on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = [
    "annotate",
    "export",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "script",
    "script_if_tracing",
    "script_method",
    "unused",
]

MarkedT = TypeVar("MarkedT")


def script(obj: MarkedT, optimize: Any = None, example_inputs: Any = None) -> MarkedT:
    """The function, class or module that is given, as it is.

    Args:
        obj: what PyTorch would compile. optimize, example_inputs: change nothing.

    >>> script(abs)(-2)
    2
    """
    return obj


def ignore(drop: Any = False, **settings: Any) -> Any:
    """A mark of methods that PyTorch leaves to Python; with and without parentheses.

    >>> ignore(abs)(-2), ignore()(abs)(-2)
    (2, 2)
    """
    return drop if callable(drop) else unused


def unused(fn: MarkedT) -> MarkedT:
    """A mark of methods that TorchScript replaces by an error."""
    return fn


def export(fn: MarkedT) -> MarkedT:
    """A mark of methods that TorchScript compiles beside `forward`."""
    return fn


def interface(obj: MarkedT) -> MarkedT:
    """A mark of classes that say which methods a module has."""
    return obj


def script_method(fn: MarkedT) -> MarkedT:
    """A mark of methods of a `ScriptModule`."""
    return fn


def script_if_tracing(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A mark of functions that are compiled only where a program is being traced."""
    return fn


def annotate(the_type: Any, the_value: MarkedT) -> MarkedT:
    """The value; its type is told to readers alone.

    >>> annotate(list[int], [])
    []
    """
    return the_value


def is_scripting() -> bool:
    """False: nothing is compiled to TorchScript."""
    return False


def is_tracing() -> bool:
    """False: nothing is traced for TorchScript."""
    return False
