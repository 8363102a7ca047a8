"""Making a module without drawing its parameters."""

from __future__ import annotations

from typing import Any

from xpnn.backend import DTypeError
from xpnn.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """`module_cls(*args, **kwargs)`, whose parameters are to be loaded: their values mean nothing.

    They are those of a new module here: that costs less than the memory that they take.

    >>> from xpnn import nn
    >>> skip_init(nn.Linear, 3, 2).weight.shape
    (2, 3)
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise DTypeError(f"expects a class of modules, got {module_cls!r:.60}", subject="skip_init")
    return module_cls(*args, **kwargs)
