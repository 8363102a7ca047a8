"""Which processes a group has, and what stands for it in those that it leaves out."""

from __future__ import annotations

from xpnn.backend import Group


class LeftOut:
    """A group, in the processes that are not in it."""

    rank = -1
    size = -1

    def __repr__(self) -> str:
        return "GroupMember.NON_GROUP_MEMBER"


class GroupMember:
    """What `new_group` gives a process that is not in the group."""

    WORLD: Group | None = None  # which stands for all processes
    NON_GROUP_MEMBER = LeftOut()


group = GroupMember

__all__ = ["GroupMember", "group"]
