"""Numbers that stand for one along each axis, under PyTorch's names."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any


def _repeated(value: Any, *, count: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) else (value,) * count


def _ntuple(n: int, name: str = "parse") -> functools.partial[tuple[Any, ...]]:
    """The function that makes a tuple of `n` equal ones of a value, and a tuple of what holds several.

    >>> _ntuple(2)(3), _pair([1, 2])
    ((3, 3), (1, 2))
    """
    return functools.partial(_repeated, count=n)


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))


def _reverse_repeat_tuple(t: Iterable[Any], n: int) -> tuple[Any, ...]:
    """The values from the last to the first, each `n` times.

    >>> _reverse_repeat_tuple((1, 2), 2)
    (2, 2, 1, 1)
    """
    return tuple([value for value in reversed(tuple(t)) for _ in range(n)])


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix, such as `"module."`, off the names of a state dict, in place.

    >>> state = {"module.weight": 1, "bias": 2}
    >>> consume_prefix_in_state_dict_if_present(state, "module.")
    >>> state
    {'weight': 1, 'bias': 2}
    """
    entries = [(name.removeprefix(prefix), value) for name, value in state_dict.items()]
    state_dict.clear()
    state_dict.update(entries)
