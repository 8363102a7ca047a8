"""What copies of PyTorch's functions ask before they begin: no argument replaces functions here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from xpnn.backend import ArgumentError

__all__ = ["handle_torch_function", "has_torch_function"]


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the arguments replaces functions: never.

    >>> has_torch_function((1.0,))
    False
    """
    return False


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> NoReturn:
    """What is called where `has_torch_function` is true. Raises: ArgumentError."""
    raise ArgumentError("finds no argument that replaces functions", subject="handle_torch_function")
