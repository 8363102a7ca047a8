"""Which of the ways to compute attention may be taken: PyTorch's `sdpa_kernel`.

There are two here. MATH is the formula, which every library has; it holds the scores of all queries and keys
at once. A kernel of xpnn's goes over tiles of them and holds few. PyTorch has three of that kind, of which
any stands for xpnn's.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from typing import Any

from xpnn.autograd import Primitive
from xpnn.backend import BackendError, DTypeError, backend_of, choose, find_kernels
from xpnn.backend.kernels import kernels_enabled
from xpnn.backend.scope import scoped
from xpnn.functional.arguments import raw_array

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """The ways that `sdpa_kernel` chooses from, under PyTorch's names and numbers."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


class _Block(threading.local):
    """What the innermost `sdpa_kernel` of this thread allows; None outside of all."""

    allowed: frozenset[SDPBackend] | None = None


_block = _Block()


@scoped
def sdpa_kernel(backends: SDPBackend | list[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """Allow only some ways to compute attention inside of the block.

    MATH alone is the formula. Without MATH a kernel must take the call, which is an error where there is
    none for the library or these arguments. With both it is as without the block.

    Args:
        backends: one of the ways, or a list.
        set_priority: changes nothing: a kernel comes before the formula.

    Raises: DTypeError for other than SDPBackend. In the block, attention raises a BackendError where none of
    the ways allowed takes the call.

    >>> import numpy as np
    >>> from xpnn.functional import scaled_dot_product_attention
    >>> x = np.asarray([[0.0], [0.0]])
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     scaled_dot_product_attention(x, x, x + 1).tolist()
    [[1.0], [1.0]]
    """
    several = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(several, (list, tuple)) or not all(isinstance(way, SDPBackend) for way in several):
        raise DTypeError(f"expects an SDPBackend or a list of them, got {backends!r}", subject="sdpa_kernel")
    before, _block.allowed = _block.allowed, frozenset(several)
    try:
        yield
    finally:
        _block.allowed = before


def allowed_ways() -> frozenset[SDPBackend] | None:
    """What the innermost `sdpa_kernel` allows; None outside of all."""
    return _block.allowed


def way_of(
    usual: Primitive, formula: Primitive, arrays: tuple[Any, ...], options: dict[str, Any]
) -> Primitive:
    """The primitive that computes a call inside of `sdpa_kernel`: with kernels, or without.

    Raises: BackendError if none that is allowed takes the call.
    """
    allowed = _block.allowed or frozenset()
    tiled = allowed - {SDPBackend.MATH, SDPBackend.ERROR}
    if tiled and kernels_enabled():
        raw = [None if x is None else raw_array(x) for x in arrays]
        kernels = find_kernels(backend_of(raw[0]), usual.name)
        if choose(kernels, raw, options) is not None:
            return usual
    if SDPBackend.MATH in allowed:
        return formula
    names = ", ".join(sorted(way.name for way in allowed)) or "none"
    raise BackendError(
        f"expects a kernel that takes this call, as sdpa_kernel allows {names}; there is none for these "
        f"arrays of {backend_of(raw_array(arrays[0])).name}",
        subject="scaled_dot_product_attention",
        hint="Allow SDPBackend.MATH too",
    )
