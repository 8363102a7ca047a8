"""`xpnn.fx`: the names of PyTorch's graph tracer that networks use; there is no tracer to heed them."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["wrap"]

FunctionOrNameT = TypeVar("FunctionOrNameT")


def wrap(fn_or_name: FunctionOrNameT) -> FunctionOrNameT:
    """A mark of functions that PyTorch's tracer does not look into; gives back what it is given.

    >>> wrap("len")
    'len'
    """
    return fn_or_name


def _assert(condition: Any, message: str) -> None:
    """`assert` as a function, which the tracer can see: `xpnn._assert`.

    >>> _assert(True, "expects it to hold")
    """
    assert condition, message
