"""What all processes do together: sums, copies and waiting. Each must be called by every process alike.

A `group` leaves the other processes out; ranks are those in the whole job, or in the group where an argument
is called so. With `async_op` they return a `Work`: sums and means of float32, float64 and complex numbers go
on beside what is computed until it is waited for; all others are done already.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    Group,
    ProcessError,
    ShapeError,
    backend_of,
    device_of,
    is_complex,
    is_floating,
    is_half,
    move,
    namespace,
)
from xpnn.distributed.membership import LeftOut
from xpnn.distributed.work import (
    Work,
    array_of,
    done,
    expect_alike,
    expect_one_each,
    expect_only_at_root,
    members_of,
    put,
    rank_in,
)

__all__ = [
    "ReduceOp",
    "all_gather",
    "all_gather_into_tensor",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "gather",
    "monitored_barrier",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
]

Members = Group | LeftOut | None  # a group, what stands for it in other processes, or None for all


class ReduceOp:
    """How arrays of several processes become one; the last three are of the bits of integers."""

    SUM: ClassVar[str] = "sum"
    AVG: ClassVar[str] = "mean"
    PRODUCT: ClassVar[str] = "product"
    MIN: ClassVar[str] = "min"
    MAX: ClassVar[str] = "max"
    BAND: ClassVar[str] = "bitwise_and"
    BOR: ClassVar[str] = "bitwise_or"
    BXOR: ClassVar[str] = "bitwise_xor"


def all_reduce(
    tensor: Tensor, op: str = ReduceOp.SUM, group: Members = None, async_op: bool = False
) -> Work | None:
    """Put the sum (mean, product, min, max) of every process's Tensor into it, in all of them.

    Half precision is summed in float32. The result has the same bits in every process. No gradient passes
    through it; `xpnn.autograd.sum_over_processes` has one.

    Raises: ProcessError without processes; DTypeError for what is no Tensor, and for booleans.
    """
    found = members_of(group, "all_reduce")
    if found is None:
        return None
    array = array_of(tensor, "all_reduce")
    between = _summed(array, op)
    if (
        async_op
        and between == ReduceOp.SUM
        and not is_half(array)
        and (is_floating(array) or is_complex(array))
    ):
        under_way = found.start_sum(found.travelling(array))

        def finish() -> None:
            total = _mean_or(under_way.result(), op, found)
            put(tensor, move(total, backend_of(array), device_of(array), array.dtype))

        return Work(under_way.advance, finish, [tensor])
    put(tensor, _mean_or(found.all_reduce(array, between), op, found))
    return done(async_op, [tensor])


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: str = ReduceOp.SUM,
    group: Members = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """As `all_reduce`, but only process `dst` gets the result; the others keep what they have."""
    found = members_of(group, "reduce")
    if found is None:
        return None
    root = rank_in(found, dst, group_dst, "reduce", "dst")
    array = array_of(tensor, "reduce")
    result = found.all_reduce(array, _summed(array, op))
    if found.rank == root:
        put(tensor, _mean_or(result, op, found))
    return done(async_op, [tensor])


def reduce_scatter(
    output: Tensor,
    input_list: Sequence[Tensor],
    op: str = ReduceOp.SUM,
    group: Members = None,
    async_op: bool = False,
) -> Work | None:
    """Put the sum over processes of each one's `input_list[r]` into the `output` of process r."""
    found = members_of(group, "reduce_scatter")
    if found is None:
        return None
    expect_one_each(input_list, found, "reduce_scatter")
    like = array_of(output, "reduce_scatter")
    for part in input_list:
        expect_alike(part, like.shape, like.dtype, "reduce_scatter")
    whole = namespace(like).stack([part.array for part in input_list])
    put(output, _mean_or(found.reduce_scatter(whole, _summed(like, op)), op, found))
    return done(async_op, [output])


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: str = ReduceOp.SUM,
    group: Members = None,
    async_op: bool = False,
) -> Work | None:
    """Put part r of the sum over processes of each one's `input` into the `output` of process r.

    The input is as many outputs as there are processes, one after the other along the first axis, or stacked.
    """
    found = members_of(group, "reduce_scatter_tensor")
    if found is None:
        return None
    part = array_of(output, "reduce_scatter_tensor")
    whole = _in_parts(array_of(input, "reduce_scatter_tensor"), part, found, "reduce_scatter_tensor")
    put(output, _mean_or(found.reduce_scatter(whole, _summed(part, op)), op, found))
    return done(async_op, [output])


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Members = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Put process `src`'s Tensor into that of every process."""
    found = members_of(group, "broadcast")
    if found is None:
        return None
    root = rank_in(found, src, group_src, "broadcast", "src")
    put(tensor, found.broadcast(array_of(tensor, "broadcast"), root))
    return done(async_op, [tensor])


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: Members = None, async_op: bool = False
) -> Work | None:
    """Put every process's Tensor into `tensor_list`, in the order of their ranks."""
    found = members_of(group, "all_gather")
    if found is None:
        return None
    expect_one_each(tensor_list, found, "all_gather")
    array = array_of(tensor, "all_gather")
    for place in tensor_list:
        expect_alike(place, array.shape, array.dtype, "all_gather")
    gathered = found.all_gather(array)
    for rank, place in enumerate(tensor_list):
        put(place, gathered[rank, ...])
    return done(async_op, tensor_list)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Members = None, async_op: bool = False
) -> Work | None:
    """Put every process's Tensor into one, along its first axis or stacked."""
    found = members_of(group, "all_gather_into_tensor")
    if found is None:
        return None
    part = array_of(input_tensor, "all_gather_into_tensor")
    whole = array_of(output_tensor, "all_gather_into_tensor")
    _in_parts(whole, part, found, "all_gather_into_tensor")
    put(output_tensor, namespace(part).reshape(found.all_gather(part), whole.shape))
    return done(async_op, [output_tensor])


def gather(
    tensor: Tensor,
    gather_list: Sequence[Tensor] | None = None,
    dst: int | None = None,
    group: Members = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """As `all_gather`, but only process `dst` gets them, in its `gather_list`."""
    found = members_of(group, "gather")
    if found is None:
        return None
    root = rank_in(found, dst, group_dst, "gather", "dst")
    array = array_of(tensor, "gather")
    expect_only_at_root(bool(gather_list), found.rank == root, "gather", "gather_list", root)
    places = gather_list or ()
    if found.rank == root:
        expect_one_each(places, found, "gather")
    for place in places:
        expect_alike(place, array.shape, array.dtype, "gather")
    came = found.exchange([(array, root)], [(array, rank) for rank in range(len(places))])
    for place, part in zip(places, came):
        put(place, part)
    return done(async_op, places)


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int | None = None,
    group: Members = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Put the Tensor of its own rank, out of process `src`'s `scatter_list`, into that of every process."""
    found = members_of(group, "scatter")
    if found is None:
        return None
    root = rank_in(found, src, group_src, "scatter", "src")
    like = array_of(tensor, "scatter")
    expect_only_at_root(bool(scatter_list), found.rank == root, "scatter", "scatter_list", root)
    parts = scatter_list or ()
    if found.rank == root:
        expect_one_each(parts, found, "scatter")
    for part in parts:
        expect_alike(part, like.shape, like.dtype, "scatter")
    sends = [(array_of(part, "scatter"), rank) for rank, part in enumerate(parts)]
    (mine,) = found.exchange(sends, [(like, root)])
    put(tensor, mine)
    return done(async_op, [tensor])


def all_to_all(
    output_tensor_list: Sequence[Tensor],
    input_tensor_list: Sequence[Tensor],
    group: Members = None,
    async_op: bool = False,
) -> Work | None:
    """Put entry r of process s's `input_tensor_list` into entry s of process r's `output_tensor_list`.

    Entries may differ in shape; each must fit what comes.
    """
    found = members_of(group, "all_to_all")
    if found is None:
        return None
    expect_one_each(output_tensor_list, found, "all_to_all")
    expect_one_each(input_tensor_list, found, "all_to_all")
    came = found.exchange(
        [(array_of(part, "all_to_all"), rank) for rank, part in enumerate(input_tensor_list)],
        [(array_of(place, "all_to_all"), rank) for rank, place in enumerate(output_tensor_list)],
    )
    for place, part in zip(output_tensor_list, came):
        put(place, part)
    return done(async_op, output_tensor_list)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Members = None,
    async_op: bool = False,
) -> Work | None:
    """As `all_to_all`, with parts of one Tensor along its first axis, equal ones or of the given sizes."""
    found = members_of(group, "all_to_all_single")
    if found is None:
        return None
    whole, place = array_of(input, "all_to_all_single"), array_of(output, "all_to_all_single")
    given, places = _split(whole, input_split_sizes, found), _split(place, output_split_sizes, found)
    expect_alike(input, (*whole.shape[:1], *place.shape[1:]), place.dtype, "all_to_all_single")
    came = found.exchange(
        [(part, rank) for rank, part in enumerate(given)], [(part, rank) for rank, part in enumerate(places)]
    )
    put(output, namespace(output.array).concat(came))
    return done(async_op, [output])


def barrier(
    group: Members = None, async_op: bool = False, device_ids: Any = None, timeout: Any = None
) -> Work | None:
    """Wait until every process is here; `device_ids` and `timeout` are accepted, and have no effect."""
    found = members_of(group, "barrier")
    if found is None:
        return None
    found.barrier()
    return done(async_op)


def monitored_barrier(group: Members = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Wait until every process is here, but not for ever.

    Args:
        timeout: how long, a `datetime.timedelta`; None is half an hour.
        wait_all_ranks: is accepted; the error names no rank.

    Raises: ProcessError where some process has not come in time.
    """
    found = members_of(group, "monitored_barrier")
    if found is None:
        return
    limit = 1800.0 if timeout is None else timeout.total_seconds()
    request, begun = found.start_barrier(), time.monotonic()
    while not request.Test():
        if time.monotonic() - begun > limit:
            raise ProcessError(
                f"has waited {limit:g} s, and not all of {found.size} processes have come",
                subject="monitored_barrier",
            )
        time.sleep(0.001)


def _summed(array: Any, op: str) -> str:
    """What is computed between the processes for an operation."""
    if op != ReduceOp.AVG:
        return op
    if not (is_floating(array) or is_complex(array)):
        raise DTypeError(f"has no mean of arrays of {array.dtype}", subject="ReduceOp.AVG")
    return ReduceOp.SUM


def _mean_or(total: Any, op: str, group: Group) -> Any:
    return total / group.size if op == ReduceOp.AVG else total


def _in_parts(whole: Any, part: Any, group: Group, subject: str) -> Any:
    """The array with an axis of one part a process before the others."""
    stacked = (group.size, *part.shape)
    joined = (group.size * part.shape[0], *part.shape[1:]) if part.ndim else None
    if tuple(whole.shape) not in (stacked, joined):
        raise ShapeError(
            f"expects {group.size} times the shape {tuple(part.shape)}, got {tuple(whole.shape)}",
            subject=subject,
        )
    if whole.dtype != part.dtype:
        raise DTypeError(f"expects Tensors of one type, got {whole.dtype} and {part.dtype}", subject=subject)
    return namespace(whole).reshape(whole, stacked)


def _split(array: Any, sizes: Sequence[int] | None, group: Group) -> list[Any]:
    """An array's parts for the processes, along its first axis."""
    count = array.shape[0] if array.ndim else 0
    if not sizes:
        if array.ndim == 0 or count % group.size:
            raise ShapeError(
                f"expects a first axis that {group.size} processes share evenly, got {tuple(array.shape)}",
                subject="all_to_all_single",
                hint="Give the sizes of the parts",
            )
        sizes = [count // group.size] * group.size
    if len(sizes) != group.size or sum(sizes) != count or min(sizes) < 0:
        raise ArgumentError(
            f"expects {group.size} sizes that add up to {count}, got {list(sizes)}",
            subject="all_to_all_single",
        )
    ends = [sum(sizes[: rank + 1]) for rank in range(group.size)]
    return [array[end - size : end, ...] for size, end in zip(sizes, ends)]
