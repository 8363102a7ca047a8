"""Tensors that one process sends to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError
from xpnn.distributed.collectives import Members
from xpnn.distributed.work import Work, array_of, expect_member, members_of, put, rank_in

__all__ = ["P2POp", "batch_isend_irecv", "irecv", "isend", "recv", "send"]


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Members = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send a Tensor to process `dst`, and wait until it may be changed.

    Args:
        tag: a number that the receiver names too; it tells messages apart that go through host memory.
    """
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Members = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Wait for the Tensor that process `src` sends, of the same shape and type, and put it into this one.

    Args:
        src: its rank; None is any process, which arrays on GPUs do not allow.
        tag: as of `send`.

    Returns: the rank in the job of the process that sent it; -1 in a process that is not in the group.
    """
    found = members_of(group, "recv")
    if found is None:
        return -1
    source = _source(found, src, group_src)
    under_way = found.start_exchange(receives=[(array_of(tensor, "recv"), source)], tag=tag)
    put(tensor, under_way.result()[0])
    return found.ranks[under_way.sources[0] if source is None else source]


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Members = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """Begin to send a Tensor to process `dst`; see `send`."""
    found = members_of(group, "isend")
    if found is None:
        return None
    to = _receiver(found, dst, group_dst)
    under_way = found.start_exchange(sends=[(array_of(tensor, "isend"), to)], tag=tag)
    return Work(under_way.advance, partial(_receive, under_way, []))


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Members = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """Begin to receive a Tensor that process `src` sends; it is there when the work is done. See `recv`."""
    found = members_of(group, "irecv")
    if found is None:
        return None
    source = _source(found, src, group_src)
    under_way = found.start_exchange(receives=[(array_of(tensor, "irecv"), source)], tag=tag)
    return Work(under_way.advance, lambda: put(tensor, under_way.result()[0]))


class P2POp:
    """One message of `batch_isend_irecv`.

    Args:
        op: `isend` or `irecv`. tensor: what is sent, or where it goes.
        peer: the other process's rank in the job; group_peer: or in the group.
        group: the processes; None is all. tag: as of `send`.
    """

    def __init__(
        self,
        op: Callable[..., Any],
        tensor: Tensor,
        peer: int | None = None,
        group: Members = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (isend, irecv):
            raise ArgumentError(f"expects op as isend or irecv, got {op!r:.60}", subject="P2POp")
        array_of(tensor, "P2POp")
        self.op = op
        self.tensor = tensor
        self.group = group
        self.tag = tag
        self.group_peer = _peer(expect_member(group), peer, group_peer, "P2POp", "peer")
        self.peer = expect_member(group).ranks[self.group_peer]


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Work]:
    """Begin several messages at once, so that their order does not matter between GPUs either."""
    if not p2p_op_list or not all(isinstance(part, P2POp) for part in p2p_op_list):
        raise DTypeError("expects a list of P2POp", subject="batch_isend_irecv")
    kinds = {(id(part.group), part.tag): part for part in p2p_op_list}
    works = []
    for key, first in kinds.items():
        parts = [part for part in p2p_op_list if (id(part.group), part.tag) == key]
        sent = [part for part in parts if part.op is isend]
        received = [part for part in parts if part.op is irecv]
        under_way = expect_member(first.group).start_exchange(
            [(part.tensor.array, part.group_peer) for part in sent],
            [(part.tensor.array, part.group_peer) for part in received],
            first.tag,
        )
        works.append(Work(under_way.advance, partial(_receive, under_way, received)))
    return works


def _receive(under_way: Any, places: Sequence[P2POp]) -> None:
    for place, array in zip(places, under_way.result()):
        put(place.tensor, array)


def _peer(group: Any, rank: int | None, group_rank: int | None, subject: str, name: str) -> int:
    if rank is None and group_rank is None:
        raise ArgumentError(f"expects {name}, the rank of the other process", subject=subject)
    return rank_in(group, rank, group_rank, subject, name)


def _receiver(group: Any, dst: int | None, group_dst: int | None) -> int:
    to = _peer(group, dst, group_dst, "isend", "dst")
    if to == group.rank:
        raise ArgumentError("expects the rank of another process, got its own", subject="isend")
    return to


def _source(group: Any, src: int | None, group_src: int | None) -> int | None:
    return None if src is None and group_src is None else rank_in(group, src, group_src, "recv", "src")
