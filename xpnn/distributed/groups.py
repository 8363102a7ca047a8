"""Groups of some of the processes, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.backend import ArgumentError, Group, expect_processes
from xpnn.distributed.collectives import Members
from xpnn.distributed.membership import GroupMember, LeftOut
from xpnn.distributed.work import expect_member

__all__ = [
    "get_global_rank",
    "get_group_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "new_group",
    "new_subgroups",
    "new_subgroups_by_enumeration",
]


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
    sort_ranks: bool = True,
) -> Group | LeftOut:
    """A group of some of the processes, which all processes must call alike.

    Args:
        ranks: of the processes; None is all.
        timeout, backend, pg_options, use_local_synchronization, group_desc, device_id: are accepted.
        sort_ranks: whether the group's ranks are in the order of the job's, and not of `ranks`.

    Returns: the group; `GroupMember.NON_GROUP_MEMBER` in the processes that are not in it.

    Raises: ArgumentError for ranks that there are not, and for one twice.
    """
    world = expect_processes()
    chosen = list(range(world.size)) if ranks is None else list(ranks)
    if len({*chosen}) != len(chosen) or not {*chosen} <= {*range(world.size)}:
        raise ArgumentError(
            f"expects different ranks in [0, {world.size}), got {chosen!r:.80}", subject="new_group"
        )
    found = world.of(sorted(chosen) if sort_ranks else chosen)
    return GroupMember.NON_GROUP_MEMBER if found is None else found


def new_subgroups(
    group_size: int | None = None,
    group: Group | None = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Group | LeftOut, list[Group | LeftOut]]:
    """Groups of `group_size` processes each, one after the other: that of this process, and all.

    Args:
        group_size: must divide the number of processes.
        group, timeout, backend, pg_options, group_desc: are accepted; the groups are of the whole job.
    """
    size = expect_processes().size
    if group_size is None or not 0 < group_size <= size or size % group_size:
        raise ArgumentError(
            f"expects a group_size that divides {size} processes, got {group_size}", subject="new_subgroups"
        )
    return new_subgroups_by_enumeration(
        [list(range(start, start + group_size)) for start in range(0, size, group_size)]
    )


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]],
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Group | LeftOut, list[Group | LeftOut]]:
    """The groups of these ranks, of which none overlap: that of this process, and all."""
    everyone = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if not everyone or len({*everyone}) != len(everyone):
        raise ArgumentError(
            f"expects groups that do not overlap, got {ranks_per_subgroup_list!r:.80}",
            subject="new_subgroups_by_enumeration",
        )
    groups = [new_group(ranks) for ranks in ranks_per_subgroup_list]
    mine = [group for group in groups if isinstance(group, Group)]
    return mine[0] if mine else GroupMember.NON_GROUP_MEMBER, groups


def get_rank(group: Members = None) -> int:
    """Which of the processes this one is, from 0; -1 in a process that is not in the group."""
    return -1 if isinstance(group, LeftOut) else expect_processes(group).rank


def get_world_size(group: Members = None) -> int:
    """How many processes there are; -1 in a process that is not in the group."""
    return -1 if isinstance(group, LeftOut) else expect_processes(group).size


def get_process_group_ranks(group: Group | None) -> list[int]:
    """The ranks in the job of a group's processes."""
    return list(expect_member(group).ranks)


def get_group_rank(group: Group, global_rank: int) -> int:
    """The rank in a group of a process of the job. Raises: ArgumentError for one that is not in it."""
    ranks = expect_member(group).ranks
    if global_rank not in ranks:
        raise ArgumentError(f"expects a rank of {ranks}, got {global_rank!r:.40}", subject="get_group_rank")
    return ranks.index(global_rank)


def get_global_rank(group: Group, group_rank: int) -> int:
    """The rank in the job of a process of a group."""
    found = expect_member(group)
    return found.ranks[found.member(group_rank, "get_global_rank")]
