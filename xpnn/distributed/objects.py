"""Python objects that go from process to process; they are pickled on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.distributed.collectives import Members
from xpnn.distributed.work import expect_one_each, expect_only_at_root, members_of, rank_in

__all__ = [
    "all_gather_object",
    "broadcast_object_list",
    "gather_object",
    "recv_object_list",
    "scatter_object_list",
    "send_object_list",
]


def all_gather_object(object_list: list[Any], obj: Any, group: Members = None) -> None:
    """Put every process's object into `object_list`."""
    found = members_of(group, "all_gather_object")
    if found is not None:
        expect_one_each(object_list, found, "all_gather_object")
        object_list[:] = found.all_gather_object(obj)


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Members = None,
    group_dst: int | None = None,
) -> None:
    """Put every process's object into process `dst`'s `object_gather_list`."""
    found = members_of(group, "gather_object")
    if found is None:
        return
    root = rank_in(found, dst, group_dst, "gather_object", "dst")
    given = object_gather_list is not None
    expect_only_at_root(given, found.rank == root, "gather_object", "object_gather_list", root)
    if object_gather_list is not None:
        expect_one_each(object_gather_list, found, "gather_object")
    gathered = found.gather_object(obj, root)
    if object_gather_list is not None and gathered is not None:
        object_gather_list[:] = gathered


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Members = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Put process `src`'s objects into the list of every process; `device` is accepted."""
    found = members_of(group, "broadcast_object_list")
    if found is not None:
        root = rank_in(found, src, group_src, "broadcast_object_list", "src")
        object_list[:] = found.broadcast_object(object_list, root)


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: Sequence[Any] | None = None,
    src: int | None = None,
    group: Members = None,
    group_src: int | None = None,
) -> None:
    """Put the object of its own rank, out of process `src`'s input list, first into each output list."""
    found = members_of(group, "scatter_object_list")
    if found is None:
        return
    root = rank_in(found, src, group_src, "scatter_object_list", "src")
    if found.rank == root:
        name, given = "scatter_object_input_list", scatter_object_input_list is not None
        expect_only_at_root(given, True, "scatter_object_list", name, root)
        expect_one_each(scatter_object_input_list or (), found, "scatter_object_list")
    values = scatter_object_input_list if found.rank == root else None
    scatter_object_output_list[:1] = [found.scatter_object(values, root)]


def send_object_list(
    object_list: Sequence[Any],
    dst: int | None = None,
    group: Members = None,
    device: Any = None,
    group_dst: int | None = None,
    use_batch: bool = False,
) -> None:
    """Send objects to process `dst`; `device` and `use_batch` are accepted."""
    found = members_of(group, "send_object_list")
    if found is not None:
        to = rank_in(found, dst, group_dst, "send_object_list", "dst")
        found.send_object(list(object_list), to)


def recv_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Members = None,
    device: Any = None,
    group_src: int | None = None,
    use_batch: bool = False,
) -> int:
    """Put the objects that process `src` (None: any) sends into the list.

    Returns: the rank in the job of the process that sent them; -1 in a process that is not in the group.
    """
    found = members_of(group, "recv_object_list")
    if found is None:
        return -1
    anyone = src is None and group_src is None
    source = None if anyone else rank_in(found, src, group_src, "recv_object_list", "src")
    object_list[:], sender = found.receive_object(source)
    return found.ranks[sender]
