"""Sums of many arrays over processes, sent while others of them are still being computed.

Large arrays travel by themselves and are not copied; small ones share a message, as each message costs the
time of some ten thousand numbers. All processes send the same messages in the same order, whatever the order
in which their arrays come.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Protocol

import numpy as np

from xpnn.backend.arrays import device_of, size_of
from xpnn.backend.dtypes import dtype_name
from xpnn.backend.namespace import backend_of, namespace
from xpnn.backend.processes import Group, Pending
from xpnn.backend.registry import Array

ALONE = 1 << 18  # bytes from which on an array is a message of its own


class Sums(Protocol):
    """How the arrays of several processes become one."""

    def travelling(self, array: Array) -> Array:
        """A raw array in the form that `start` takes."""

    def start(self, index: int, last: bool, members: Sequence[int], whole: Array) -> Pending:
        """Begin with a message.

        Args:
            index: which one it is. last: whether it is the last one until `finish`.
            members: the numbers of the arrays in it.
            whole: the array, or several one after the other.
        """


class Means:
    """The means over the processes of a group; half precision travels as float32."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.travelling = group.travelling

    def start(self, index: int, last: bool, members: Sequence[int], whole: Array) -> Pending:
        """Begin to sum the arrays."""
        return _Mean(self.group.start_sum(whole), self.group.size)


class _Mean:
    """A sum that is on its way, and by what it is divided."""

    def __init__(self, total: Pending, size: int) -> None:
        self._total = total
        self._size = size

    def advance(self) -> bool:
        return self._total.advance()

    def result(self) -> Array:
        mean = self._total.result()
        mean *= 1 / self._size
        return mean


class _Kind:
    """The shape and type of an array that travels, and where it is then: on the host, or on a GPU."""

    def __init__(self, array: Array) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.xp = namespace(array)
        self.device = device_of(array)
        self.together = (backend_of(array).name, str(self.device), str(self.dtype))
        bits = int(dtype_name(array.dtype).lstrip(ascii_lowercase))
        self.bytes = size_of(array.shape) * bits // 8

    def zeros(self) -> Array:
        """An array of this kind."""
        return self.xp.zeros(self.shape, dtype=self.dtype, device=self.device)


class _Message:
    """Arrays that travel together, in one buffer, or one alone."""

    def __init__(self, members: list[int]) -> None:
        self.members = members
        self.arrays: dict[int, Array] = {}
        self.sum: Pending | None = None


class Exchange:
    """The mean over processes of arrays that come one by one: `put` each, then `finish`.

    Args:
        group: the processes.
        arrays: of the shapes, types and libraries of those that will come.
        bucket_bytes: how large a message of small arrays may grow.
        sums: what comes in place of the mean; None is `Means(group)`.
    """

    def __init__(
        self, group: Group, arrays: Sequence[Array], bucket_bytes: int, sums: Sums | None = None
    ) -> None:
        self.group = group
        self.bucket_bytes = bucket_bytes
        self._sums = Means(group) if sums is None else sums
        self._kinds = [_Kind(self._sums.travelling(array)) for array in arrays]
        self._arrived: list[int] = []
        self._ordered = False
        self._plan(list(range(len(self._kinds)))[::-1])

    def put(self, index: int, array: Array) -> None:
        """The array of that number is there; it must not change until `finish`."""
        self._arrived.append(index)
        sent = self._kinds[index].xp.astype(
            self._sums.travelling(array), self._kinds[index].dtype, copy=False
        )
        self._messages[self._place[index]].arrays[index] = sent
        while self._next < len(self._messages) and self._is_whole(self._messages[self._next]):
            self._send(self._messages[self._next])
        for message in self._messages[: self._next]:
            if message.sum is not None:
                message.sum.advance()

    def finish(self, absent: dict[int, Array]) -> list[Array | None]:
        """The mean of each array; None for those that no process had.

        Args:
            absent: arrays that were not put, by number; what is in neither counts as zero.
        """
        for index, array in absent.items():
            self.put(index, array)
        count = len(self._kinds)
        there = np.zeros(count, np.int32)
        there[self._arrived] = 1
        for message in self._messages[self._next :]:
            self._send(message)
        anywhere = self.group.all_reduce(there, "max")
        found: list[Array | None] = [None] * count
        for message in self._messages:
            assert message.sum is not None
            mean = message.sum.result()
            for index, part in zip(message.members, self._parts(message, mean)):
                if anywhere[index]:
                    found[index] = part
        if not self._ordered:  # from now on in the order in which they come
            self._ordered = True
            order = self.group.broadcast_object(self._arrived)
            late = [index for index in range(count)[::-1] if index not in set(order)]
            self._plan([*dict.fromkeys(order), *late])
        else:
            self._begin()
        return found

    def _plan(self, order: list[int]) -> None:
        """Which arrays travel together."""
        self._groups: list[list[int]] = []
        bucket: list[int] = []
        size = 0
        for index in order:
            kind = self._kinds[index]
            if kind.bytes >= ALONE:
                self._groups.append([index])
                continue
            full = size + kind.bytes > self.bucket_bytes
            if not bucket or full or kind.together != self._kinds[bucket[0]].together:
                bucket, size = [], 0
                self._groups.append(bucket)
            bucket.append(index)
            size += kind.bytes
        self._place = {index: at for at, members in enumerate(self._groups) for index in members}
        self._begin()

    def _begin(self) -> None:
        self._messages = [_Message(members) for members in self._groups]
        self._next = 0
        self._arrived = []

    def _is_whole(self, message: _Message) -> bool:
        return len(message.arrays) == len(message.members)

    def _send(self, message: _Message) -> None:
        given = [
            message.arrays[index] if index in message.arrays else self._kinds[index].zeros()
            for index in message.members
        ]
        whole = given[0]
        if len(given) > 1:
            xp = self._kinds[message.members[0]].xp
            whole = xp.concat([xp.reshape(array, (-1,)) for array in given])
        message.arrays = {}
        last = self._next == len(self._messages) - 1
        message.sum = self._sums.start(self._next, last, message.members, whole)
        self._next += 1

    def _parts(self, message: _Message, mean: Array) -> list[Array]:
        """What has come back, array by array: one that travelled alone is not a part of anything."""
        if len(message.members) == 1:
            return [mean]
        parts, start = [], 0
        for index in message.members:
            kind = self._kinds[index]
            end = start + size_of(kind.shape)
            parts.append(kind.xp.reshape(mean[start:end], kind.shape))
            start = end
        return parts
