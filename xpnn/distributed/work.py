"""What is under way between processes, and what all functions of this package do with their arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, DTypeError, Group, ProcessError, ShapeError, expect_processes
from xpnn.distributed.membership import LeftOut
from xpnn.futures import Future

__all__ = ["Work"]


class Work:
    """What was begun with `async_op=True`, by `isend` or `irecv`. Wait for it before its Tensors are used.

    Args:
        advance: goes on with it; whether it is done.
        finish: waits for it.
        tensors: that hold what has come when it is done.
    """

    def __init__(
        self,
        advance: Callable[[], bool] = lambda: True,
        finish: Callable[[], None] = lambda: None,
        tensors: Sequence[Tensor] = (),
    ) -> None:
        self._advance = advance
        self._finish = finish
        self._over = False
        self._tensors = list(tensors)
        self._future: Future[list[Tensor]] | None = None

    def is_completed(self) -> bool:
        """Whether it is done; its Tensors then hold what has come."""
        if not self._over and self._advance():
            self.wait()
        return self._over

    def wait(self, timeout: Any = None) -> bool:
        """Wait until it is done; `timeout` is accepted, and has no effect."""
        if not self._over:
            self._finish()
            self._over = True
            if self._future is not None:
                self._future.set_result(self._tensors)
        return True

    def get_future(self) -> Future[list[Tensor]]:
        """A future of the list of the Tensors that hold what has come."""
        if self._future is None:
            self._future = Future.of(self)
            if self._over:
                self._future.set_result(self._tensors)
        return self._future

    def result(self) -> list[Tensor]:
        """The Tensors that hold what has come."""
        self.wait()
        return self._tensors

    def is_success(self) -> bool:
        """Whether it is done without an error, which would have been raised."""
        return self.is_completed()

    def synchronize(self) -> None:
        """The same as `wait`."""
        self.wait()


def done(async_op: bool, tensors: Sequence[Tensor] = ()) -> Work | None:
    """What a function that is over returns: nothing, or work that is done."""
    return Work(tensors=tensors) if async_op else None


def members_of(group: Group | LeftOut | None, subject: str) -> Group | None:
    """The group, or that of all processes; None with a warning in a process that is not in it."""
    if isinstance(group, LeftOut):
        warnings.warn(
            f"{subject} does nothing in a process that is not in the group", RuntimeWarning, stacklevel=3
        )
        return None
    return expect_processes(group)


def rank_in(group: Group, rank: int | None, group_rank: int | None, subject: str, name: str) -> int:
    """The rank in a group of a process that is given by its rank in the job, or in the group.

    Args:
        name: of the first argument; that of the second is "group_" and the same. With neither it is 0.
    """
    if rank is not None and group_rank is not None:
        raise ArgumentError(f"expects {name} or group_{name}, got both", subject=subject)
    if group_rank is not None:
        return group.member(group_rank, subject)
    rank = group.ranks[0] if rank is None else rank
    if rank not in group.ranks:
        shown = f"[0, {group.size})" if group.ranks == list(range(group.size)) else f"{group.ranks}"
        raise ArgumentError(f"expects {name} as a rank in {shown}, got {rank!r:.40}", subject=subject)
    return group.ranks.index(rank)


def array_of(tensor: Any, subject: str) -> Any:
    """The raw array of a Tensor. Raises: DTypeError for what is none."""
    if not isinstance(tensor, Tensor):
        raise DTypeError(f"expects a Tensor, got {type(tensor).__name__}", subject=subject)
    return tensor.array


def put(tensor: Tensor, array: Any) -> None:
    """Write what has come into a Tensor; what it is a view of sees it."""
    with no_grad():
        tensor.copy_(Tensor(array))


def expect_alike(place: Any, shape: tuple[int, ...], dtype: Any, subject: str) -> None:
    """Refuse a place that what comes does not fit into."""
    found = array_of(place, subject)
    if tuple(found.shape) != tuple(shape):
        raise ShapeError(
            f"expects a Tensor of shape {tuple(shape)} for what comes, got {tuple(found.shape)}",
            subject=subject,
        )
    if found.dtype != dtype:
        raise DTypeError(f"expects a Tensor of {dtype} for what comes, got {found.dtype}", subject=subject)


def expect_one_each(places: Sequence[Any], group: Group, subject: str) -> None:
    """Refuse a list that has not one entry a process."""
    if len(places) != group.size:
        raise ShapeError(f"expects {group.size} entries, one a process, got {len(places)}", subject=subject)


def expect_only_at_root(given: bool, here: bool, subject: str, name: str, rank: int) -> None:
    """Refuse a list that the one process has not which needs it, or that another one has."""
    if here and not given:
        raise ArgumentError(f"expects a {name} in rank {rank}", subject=subject)
    if given and not here:
        raise ArgumentError(f"expects {name} in rank {rank} only, got one in another", subject=subject)


def expect_member(group: Group | LeftOut | None) -> Group:
    """The group. Raises: ProcessError in a process that is not in it."""
    if isinstance(group, LeftOut):
        raise ProcessError("is not in the group", subject="This process")
    return expect_processes(group)
