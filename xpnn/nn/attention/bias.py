"""Masks of causal attention under PyTorch's names, for queries that are not as many as the keys."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, xp

__all__ = ["causal_lower_right", "causal_upper_left"]


def causal_upper_left(*size: int) -> Tensor:
    """(L, S) booleans: query i sees the keys up to i, as `is_causal` has it.

    >>> causal_upper_left(2, 3).tolist()
    [[True, False, False], [True, True, False]]
    """
    return _up_to_diagonal(size, 0)


def causal_lower_right(*size: int) -> Tensor:
    """(L, S) booleans: the last query sees all keys, as behind steps that a `KeyValueCache` holds.

    >>> causal_lower_right(2, 3).tolist()
    [[True, True, False], [True, True, True]]
    """
    return _up_to_diagonal(size, size[-1] - size[0])


def _up_to_diagonal(size: tuple[int, ...], k: int) -> Any:
    queries, keys = size
    return xp.tril(xp.ones((queries, keys), dtype=xp.bool), k=k)
