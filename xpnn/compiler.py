"""`xpnn.compiler`: how PyTorch's programs speak to its compiler; see `xpnn.compile` for the one here."""

from __future__ import annotations

from typing import Any, TypeVar

from xpnn.train import compile as compile

__all__ = [
    "allow_in_graph",
    "compile",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "reset",
]

FunctionT = TypeVar("FunctionT")


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A mark of functions that PyTorch's compiler leaves alone; with and without parentheses.

    >>> disable(abs)(-2), disable()(abs)(-2)
    (2, 2)
    """
    return allow_in_graph if fn is None else fn


def allow_in_graph(fn: FunctionT) -> FunctionT:
    """A mark of functions that PyTorch's compiler does not look into."""
    return fn


def is_compiling() -> bool:
    """False: the one program runs with and without `xpnn.compile`."""
    return False


def is_dynamo_compiling() -> bool:
    """False, as `is_compiling`."""
    return False


def is_exporting() -> bool:
    """False: a network is written by `xpnn.onnx`, which runs it as it is."""
    return False


def reset() -> None:
    """Nothing: steps that were compiled are kept by their own objects."""
