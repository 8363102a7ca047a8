"""Nested tuples, lists and dicts of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

from xpnn.autograd import Tensor
from xpnn.backend import DTypeError, is_array


class Structure(NamedTuple):
    """The shape of a nesting: what kind of node, what belongs to it, and the structures below."""

    kind: Any  # a container type, Tensor, "array", "number" or "constant"
    detail: Any  # hashable
    parts: tuple[Structure, ...] = ()


def take_apart(value: Any, leaves: list[Any]) -> Structure:
    """Append the arrays and numbers of a nesting to `leaves`, and return its structure, which is hashable.

    Booleans, strings and other hashable objects belong to the structure.

    >>> leaves = []
    >>> structure = take_apart({"a": (1, "text")}, leaves)
    >>> leaves, put_together(structure, iter([2]))
    ([1], {'a': (2, 'text')})
    """
    if isinstance(value, Tensor):
        leaves.append(value.array)
        return Structure(Tensor, value.requires_grad)
    if is_array(value):
        leaves.append(value)
        return Structure("array", None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        leaves.append(value)
        return Structure("number", type(value))
    if isinstance(value, dict):
        return Structure(dict, tuple(value), tuple(take_apart(part, leaves) for part in value.values()))
    if isinstance(value, list | tuple):
        return Structure(type(value), None, tuple(take_apart(part, leaves) for part in value))
    if not isinstance(value, Hashable):
        raise DTypeError(
            "expected arrays, numbers, strings, or tuples, lists and dicts of them, "
            f"got {type(value).__name__}"
        )
    return Structure("constant", value)


def put_together(structure: Structure, leaves: Iterator[Any]) -> Any:
    """The nesting of that structure around other arrays and numbers; Tensors are new ones."""
    kind, detail, parts = structure
    if kind is Tensor:
        return Tensor(next(leaves), requires_grad=detail)
    if kind in ("array", "number"):
        return next(leaves)
    if kind == "constant":
        return detail
    if kind is dict:
        return dict(zip(detail, [put_together(part, leaves) for part in parts]))
    values = [put_together(part, leaves) for part in parts]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def map_arrays(function: Callable[[Any], Any], value: Any) -> Any:
    """`value` with `function` applied to each array and Tensor in its tuples, lists and dicts."""
    if is_array(value):
        return function(value)
    if isinstance(value, dict):
        return {key: map_arrays(function, part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [map_arrays(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
