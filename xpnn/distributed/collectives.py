"""What all processes do together: sums, copies and waiting. Each must be called by every process alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError, Group, ShapeError, expect_processes

__all__ = [
    "ReduceOp",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "reduce",
    "scatter",
]


class ReduceOp:
    """How arrays of several processes become one."""

    SUM: ClassVar[str] = "sum"
    AVG: ClassVar[str] = "mean"
    PRODUCT: ClassVar[str] = "product"
    MIN: ClassVar[str] = "min"
    MAX: ClassVar[str] = "max"


def all_reduce(
    tensor: Tensor, op: str = ReduceOp.SUM, group: Group | None = None, async_op: bool = False
) -> None:
    """Put the sum (mean, product, min, max) of every process's Tensor into it, in all of them.

    Half precision is summed in float32. The result has the same bits in every process. No gradient passes
    through it; `xpnn.autograd.sum_over_processes` has one.

    Raises: ProcessError without processes; DTypeError for what is no Tensor, and for booleans.
    """
    _refuse_async(async_op)
    found = expect_processes(group)
    array = _array(tensor, "all_reduce")
    if op == ReduceOp.AVG:
        tensor.store(found.all_reduce(array) / found.size)
    else:
        tensor.store(found.all_reduce(array, op))


def reduce(
    tensor: Tensor, dst: int = 0, op: str = ReduceOp.SUM, group: Group | None = None, async_op: bool = False
) -> None:
    """As `all_reduce`, but only process `dst` gets the result; the others keep what they have."""
    found = expect_processes(group)
    kept = _array(tensor, "reduce")
    all_reduce(tensor, op, group, async_op)
    if found.rank != dst:
        tensor.store(kept)


def broadcast(tensor: Tensor, src: int = 0, group: Group | None = None, async_op: bool = False) -> None:
    """Put process `src`'s Tensor into that of every process."""
    _refuse_async(async_op)
    tensor.store(expect_processes(group).broadcast(_array(tensor, "broadcast"), src))


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Group | None = None, async_op: bool = False
) -> None:
    """Put every process's Tensor into `tensor_list`, in the order of their ranks."""
    _refuse_async(async_op)
    found = expect_processes(group)
    _expect_one_each(tensor_list, found, "all_gather")
    gathered = found.all_gather(_array(tensor, "all_gather"))
    for rank, place in enumerate(tensor_list):
        place.store(gathered[rank, ...])


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Group | None = None, async_op: bool = False
) -> None:
    """Put every process's Tensor into one, along its first axis."""
    _refuse_async(async_op)
    gathered = expect_processes(group).all_gather(_array(input_tensor, "all_gather_into_tensor"))
    output_tensor.store(Tensor(gathered).reshape(output_tensor.shape).array)


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int = 0,
    group: Group | None = None,
    async_op: bool = False,
) -> None:
    """As `all_gather`, but only process `dst` gets them, in its `gather_list`."""
    found = expect_processes(group)
    here = found.rank == dst
    if here and gather_list is None:
        raise ArgumentError(f"expects a gather_list in rank {dst}", subject="gather")
    places = gather_list if here and gather_list is not None else [tensor.clone() for _ in range(found.size)]
    all_gather(places, tensor, group, async_op)


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int = 0,
    group: Group | None = None,
    async_op: bool = False,
) -> None:
    """Put the Tensor of its own rank, out of process `src`'s `scatter_list`, into that of every process."""
    _refuse_async(async_op)
    found = expect_processes(group)
    if found.rank == src:
        _expect_one_each(scatter_list or (), found, "scatter")
    for rank in range(found.size):
        given = scatter_list[rank] if found.rank == src and scatter_list is not None else tensor
        received = found.broadcast(_array(given, "scatter"), src)
        if rank == found.rank:
            mine = received
    tensor.store(mine)


def all_gather_object(object_list: list[Any], obj: Any, group: Group | None = None) -> None:
    """Put every process's object into `object_list`; it is pickled on the way."""
    found = expect_processes(group)
    _expect_one_each(object_list, found, "all_gather_object")
    object_list[:] = found.all_gather_object(obj)


def broadcast_object_list(object_list: list[Any], src: int = 0, group: Group | None = None) -> None:
    """Put process `src`'s objects into the list of every process; they are pickled on the way."""
    object_list[:] = expect_processes(group).broadcast_object(object_list, src)


def barrier(group: Group | None = None) -> None:
    """Wait until every process is here."""
    expect_processes(group).barrier()


def _array(tensor: Any, subject: str) -> Any:
    if not isinstance(tensor, Tensor):
        raise DTypeError(f"expects a Tensor, got {type(tensor).__name__}", subject=subject)
    return tensor.array


def _refuse_async(async_op: bool) -> None:
    if async_op:
        raise ArgumentError(
            "has no async_op",
            subject="xpnn.distributed",
            hint="DistributedDataParallel sends while it computes",
        )


def _expect_one_each(places: Sequence[Any], group: Group, subject: str) -> None:
    if len(places) != group.size:
        raise ShapeError(f"expects {group.size} entries, one a process, got {len(places)}", subject=subject)
