"""Sums of many arrays over processes, sent while others of them are still being computed.

Large arrays travel by themselves and are not copied; small ones share a message, as each message costs the
time of some ten thousand numbers. All processes send the same messages in the same order, whatever the order
in which their arrays come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnn.backend.arrays import device_of, size_of
from xpnn.backend.namespace import backend_of, namespace
from xpnn.backend.processes import Group, Pending
from xpnn.backend.registry import Array

ALONE = 1 << 18  # bytes from which on an array is a message of its own


class _Kind:
    """The shape and type of an array that travels, and where it is then: on the host, or on a GPU."""

    def __init__(self, array: Array) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.xp = namespace(array)
        self.device = device_of(array)
        self.together = (backend_of(array).name, str(self.device), str(self.dtype))
        self.bytes = size_of(array.shape) * array.dtype.itemsize

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
        arrays: of the shapes, types and libraries of those that will come; half precision travels as float32.
        bucket_bytes: how large a message of small arrays may grow.
    """

    def __init__(self, group: Group, arrays: Sequence[Array], bucket_bytes: int) -> None:
        self.group = group
        self.bucket_bytes = bucket_bytes
        self._kinds = [_Kind(group.travelling(array)) for array in arrays]
        self._arrived: list[int] = []
        self._ordered = False
        self._plan(list(range(len(self._kinds)))[::-1])

    def put(self, index: int, array: Array) -> None:
        """The array of that number is there; it must not change until `finish`."""
        self._arrived.append(index)
        sent = self._kinds[index].xp.astype(
            self.group.travelling(array), self._kinds[index].dtype, copy=False
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
            mean *= 1 / self.group.size
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
        message.sum = self.group.start_sum(whole)
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
