"""Arrays that a kernel promises rather than computes, so that what comes next can join in the same pass.

Batch norm, the sum with a shortcut and relu are three passes over memory when each is computed by itself,
and one when batch norm's kernel returns a promise, which the sum and relu add to, and which is kept when a
convolution asks for the elements. The tape records the three operations as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.backend.registry import Array


class Deferred:
    """A promise of an array; a subclass knows its `shape` and `dtype`, and how to compute it.

    Kernels may return one in place of an array if they are registered with `defers=True`; what a user can
    reach is always the array. A kernel's backward may return one as a gradient; it reaches those backwards
    as it is that are marked by `takes_deferred`, all others as the array.
    """

    __slots__ = ("_array",)

    __array_ufunc__ = None  # `array + promise` is left to the promise
    shape: tuple[int, ...]
    dtype: Any

    def __init__(self) -> None:
        self._array: Array | None = None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def compute(self) -> Array:
        """The elements: a new array."""
        raise NotImplementedError

    def array(self) -> Array:
        """The elements, computed by the first who asks."""
        if self._array is None:
            self._array = self.compute()
        return self._array

    def absorb(self, name: str, args: tuple, options: dict[str, Any]) -> tuple[Any, tuple, Callable] | None:
        """The operation `name` on this promise as a kernel would return it, with its backward.

        Args:
            args: the raw arguments of the primitive; promises are among them.

        Returns: (output, saved, backward), or None to have the operation work on the array.
        """
        return None

    def __add__(self, other: Any) -> Any:
        return self.array() + array_of(other)

    def __radd__(self, other: Any) -> Any:
        return other + self.array()


def array_of(value: Any) -> Any:
    """The array that was promised; anything else as it is."""
    return value.array() if isinstance(value, Deferred) else value


def saves_as_reference(backward: Callable) -> Callable:
    """Mark a kernel's backward whose forward saves what the reference saves.

    The second derivative then comes from what was saved, and the inputs need not be kept for a replay.
    """
    backward.saves_as_reference = True  # type: ignore[attr-defined]
    return backward


def shares_saved(backward: Callable) -> bool:
    """Whether a backward is marked by `saves_as_reference`."""
    return getattr(backward, "saves_as_reference", False)


def takes_deferred(backward: Callable) -> Callable:
    """Mark a backward that takes promised gradients."""
    backward.takes_deferred = True  # type: ignore[attr-defined]
    return backward
