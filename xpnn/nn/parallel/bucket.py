"""Gradients that travel together, as a hook of the user's sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.core import new_tensor
from xpnn.backend import Array, DTypeError, ShapeError, namespace

__all__ = ["GradBucket"]


class GradBucket:
    """One process's gradients of some parameters, which are ready to be sent.

    Args:
        index: which of the buckets it is; it may be another one after the first step.
        last: whether it is the last one of this backward.
        buffer: (n,), all gradients, one after the other.
        parameters: whose they are.
    """

    def __init__(self, index: int, last: bool, buffer: Tensor, parameters: Sequence[Tensor]) -> None:
        self._index = index
        self._last = last
        self._buffer = buffer
        self._parameters = list(parameters)

    def buffer(self) -> Tensor:
        """All gradients, one after the other: (n,)."""
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Put another Tensor in the place of the gradients."""
        if not isinstance(buffer, Tensor):
            raise DTypeError(f"expects a Tensor, got {type(buffer).__name__}", subject="set_buffer")
        self._buffer = buffer

    def index(self) -> int:
        """Which of the buckets it is, from 0, in the order in which they are sent."""
        return self._index

    def is_last(self) -> bool:
        """Whether it is the last one of this backward."""
        return self._last

    def gradients(self) -> list[Tensor]:
        """The gradient of each parameter, in its shape: views of the buffer."""
        found, start = [], 0
        for parameter in self._parameters:
            end = start + math.prod(parameter.shape)
            found.append(self._buffer[start:end].reshape(parameter.shape))
            start = end
        return found

    def parameters(self) -> list[Tensor]:
        """The parameters whose gradients it has."""
        return list(self._parameters)


class HookedSums:
    """What a user's hook makes of the gradients, in place of their means (see `Exchange`).

    Args:
        hook: `hook(state, bucket)` returns a future of what takes the buffer's place.
        parameters: all that are shared.
    """

    def __init__(
        self, state: Any, hook: Callable[[Any, GradBucket], Any], parameters: Sequence[Tensor]
    ) -> None:
        self._state = state
        self._hook = hook
        self._parameters = parameters

    def travelling(self, array: Array) -> Array:
        """The hook is given gradients as they are."""
        return array

    @no_grad()
    def start(self, index: int, last: bool, members: Sequence[int], whole: Array) -> HookedSum:
        """Hand the gradients of some parameters to the hook."""
        flat = new_tensor(namespace(whole).reshape(whole, (-1,)))
        future = self._hook(
            self._state, GradBucket(index, last, flat, [self._parameters[i] for i in members])
        )
        if not (callable(getattr(future, "wait", None)) and callable(getattr(future, "done", None))):
            raise DTypeError(
                f"expects a future from the hook, got {type(future).__name__}",
                subject="register_comm_hook",
                hint="Return xpnn.futures.Future(), or all_reduce(..., async_op=True).get_future()",
            )
        return HookedSum(future, whole.shape)


class HookedSum:
    """What a hook has begun with a bucket."""

    def __init__(self, future: Any, shape: tuple[int, ...]) -> None:
        self._future = future
        self._shape = shape

    @no_grad()
    def advance(self) -> bool:
        """Go on with it; whether it is done."""
        return self._future.done()

    @no_grad()
    def result(self) -> Array:
        """What takes the place of the gradients."""
        found = self._future.wait()
        if isinstance(found, list | tuple) and len(found) == 1:
            found = found[0]
        if not isinstance(found, Tensor):
            raise DTypeError(
                f"expects a future of one Tensor from the hook, got {type(found).__name__}",
                subject="register_comm_hook",
            )
        if math.prod(found.shape) != math.prod(self._shape):
            raise ShapeError(
                f"expects {math.prod(self._shape)} numbers from the hook, as the bucket has, "
                f"got a Tensor of shape {tuple(found.shape)}",
                subject="register_comm_hook",
            )
        return namespace(found.array).reshape(found.array, self._shape)
