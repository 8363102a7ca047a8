"""Nested tuples, lists and dicts: taken apart into their leaves, and put together around others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from xpnn.backend import ArgumentError

__all__ = ["TreeSpec", "tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


class TreeSpec:
    """What a nesting is without its leaves.

    Attributes:
        num_leaves: how many it has.
    """

    def __init__(self, rebuild: Callable[[Iterator[Any]], Any], num_leaves: int) -> None:
        self.rebuild = rebuild
        self.num_leaves = num_leaves

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The same nesting around other leaves. Raises: ArgumentError if they are more or fewer."""
        given = list(leaves)
        if len(given) != self.num_leaves:
            raise ArgumentError(f"expects {self.num_leaves} leaves, got {len(given)}", subject="TreeSpec")
        return self.rebuild(iter(given))


def tree_flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of a nesting in order, and what it is without them.

    Tuples, NamedTuples, lists and dicts are nestings; all else, None too, is a leaf.

    >>> leaves, spec = tree_flatten({"a": 1, "b": [2, 3]})
    >>> leaves, spec.unflatten([4, 5, 6])
    ([1, 2, 3], {'a': 4, 'b': [5, 6]})
    """
    leaves: list[Any] = []
    rebuild = _take_apart(tree, leaves)
    return leaves, TreeSpec(rebuild, len(leaves))


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """What `tree_flatten` took apart, around other leaves.

    >>> tree_unflatten([3, 4], tree_flatten((1, 2))[1])
    (3, 4)
    """
    return treespec.unflatten(leaves)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a nesting in order.

    >>> tree_leaves([1, (2, {"a": 3})])
    [1, 2, 3]
    """
    return tree_flatten(tree)[0]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any) -> Any:
    """The nesting of what `func` makes of each leaf, and of what others have in the same places.

    Dicts meet by their keys, in any order. Raises: ArgumentError if others are nested otherwise.

    >>> tree_map(lambda a, b: a + b, {"x": 1, "y": (2,)}, {"x": 10, "y": (20,)})
    {'x': 11, 'y': (22,)}
    """
    leaves, spec = tree_flatten(tree)
    return spec.unflatten(map(func, leaves, *[list(_in_places_of(tree, rest)) for rest in rests]))


def _in_places_of(tree: Any, other: Any) -> Iterator[Any]:
    """What a nesting has where another one has its leaves."""
    if isinstance(tree, dict):
        if not isinstance(other, dict) or other.keys() != tree.keys():
            raise _nested_otherwise(f"a dict of the keys {list(tree)}", other)
        for key, part in tree.items():
            yield from _in_places_of(part, other[key])
    elif isinstance(tree, tuple | list):
        if type(other) is not type(tree) or len(other) != len(tree):
            raise _nested_otherwise(f"a {type(tree).__name__} of {len(tree)}", other)
        for part, others in zip(tree, other):
            yield from _in_places_of(part, others)
    else:
        yield other


def _nested_otherwise(expected: str, came: Any) -> ArgumentError:
    return ArgumentError(f"expects nestings alike: {expected}, got {came!r:.80}", subject="tree_map")


def _take_apart(value: Any, leaves: list[Any]) -> Callable[[Iterator[Any]], Any]:
    """Append the leaves of a nesting to a list; the result puts others together in their places."""
    if isinstance(value, dict):
        parts = [(key, _take_apart(part, leaves)) for key, part in value.items()]
        if isinstance(value, defaultdict):
            made = value.default_factory
            return lambda others: type(value)(made, ((key, part(others)) for key, part in parts))
        return lambda others: type(value)((key, part(others)) for key, part in parts)
    if isinstance(value, tuple | list):
        items = [_take_apart(part, leaves) for part in value]
        if hasattr(value, "_fields"):  # a NamedTuple
            return lambda others: type(value)(*[part(others) for part in items])
        return lambda others: type(value)([part(others) for part in items])
    leaves.append(value)
    return next
