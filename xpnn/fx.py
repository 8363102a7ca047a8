"""`xpnn.fx`: the one name of PyTorch's graph tracer that networks use; there is no tracer to heed it."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["wrap"]

FunctionOrNameT = TypeVar("FunctionOrNameT")


def wrap(fn_or_name: FunctionOrNameT) -> FunctionOrNameT:
    """A mark of functions that PyTorch's tracer does not look into; gives back what it is given.

    >>> wrap("len")
    'len'
    """
    return fn_or_name
