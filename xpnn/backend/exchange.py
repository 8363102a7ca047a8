"""Sums of many arrays over processes, sent while others of them are still being computed.

Large arrays travel by themselves and are not copied; small ones share a message, as each message costs the
time of some ten thousand numbers. All processes send the same messages in the same order, whatever the order
in which their arrays come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend.arrays import size_of
from xpnn.backend.processes import Group

ALONE = 1 << 18  # bytes from which on an array is a message of its own


class _Message:
    """Arrays that travel together, in one buffer, or one alone."""

    def __init__(self, members: list[int]) -> None:
        self.members = members
        self.arrays: dict[int, np.ndarray] = {}
        self.request: Any = None
        self.result: np.ndarray | None = None


class Exchange:
    """The mean over processes of arrays that come one by one: `put` each, then `finish`.

    Args:
        group: the processes.
        shapes, dtypes: of the arrays; half precision travels as float32.
        bucket_bytes: how large a message of small arrays may grow.
    """

    def __init__(
        self, group: Group, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any], bucket_bytes: int
    ) -> None:
        self.group = group
        self.shapes = list(shapes)
        self.dtypes = [np.dtype(dtype if np.dtype(dtype).itemsize >= 4 else np.float32) for dtype in dtypes]
        self.bucket_bytes = bucket_bytes
        self._arrived: list[int] = []
        self._ordered = False
        self._plan(list(range(len(self.shapes)))[::-1])

    def put(self, index: int, array: np.ndarray) -> None:
        """The array of that number is there; it must not change until `finish`."""
        self._arrived.append(index)
        self._messages[self._place[index]].arrays[index] = np.asarray(array, self.dtypes[index])
        while self._next < len(self._messages) and self._is_whole(self._messages[self._next]):
            self._send(self._messages[self._next])
        for message in self._messages[: self._next]:
            message.request.Test()  # MPI goes on with what it has begun when it is called

    def finish(self, absent: dict[int, np.ndarray]) -> list[np.ndarray | None]:
        """The mean of each array; None for those that no process had.

        Args:
            absent: arrays that were not put, by number; what is in neither counts as zero.
        """
        for index, array in absent.items():
            self.put(index, array)
        count = len(self.shapes)
        there = np.zeros(count, np.int32)
        there[self._arrived] = 1
        for message in self._messages[self._next :]:
            self._send(message)
        anywhere = self.group.all_reduce(there, "max")
        found: list[np.ndarray | None] = [None] * count
        for message in self._messages:
            message.request.Wait()
            assert message.result is not None
            message.result *= 1 / self.group.size
            for index, part in zip(message.members, self._parts(message)):
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
            bytes_ = size_of(self.shapes[index]) * self.dtypes[index].itemsize
            if bytes_ >= ALONE:
                self._groups.append([index])
                continue
            full = size + bytes_ > self.bucket_bytes
            if not bucket or full or self.dtypes[index] != self.dtypes[bucket[0]]:
                bucket, size = [], 0
                self._groups.append(bucket)
            bucket.append(index)
            size += bytes_
        self._place = {index: at for at, members in enumerate(self._groups) for index in members}
        self._begin()

    def _begin(self) -> None:
        self._messages = [_Message(members) for members in self._groups]
        self._next = 0
        self._arrived = []

    def _is_whole(self, message: _Message) -> bool:
        return len(message.arrays) == len(message.members)

    def _send(self, message: _Message) -> None:
        for index in message.members:
            if index not in message.arrays:
                message.arrays[index] = np.zeros(self.shapes[index], self.dtypes[index])
        given = [message.arrays[index] for index in message.members]
        whole = np.ascontiguousarray(given[0])
        if len(given) > 1:
            whole = np.concatenate([array.ravel() for array in given])
        message.arrays = {message.members[0]: whole}  # which MPI reads until the request is done
        message.result = np.empty_like(whole)
        message.request = self.group.start_sum(whole, message.result)
        self._next += 1

    def _parts(self, message: _Message) -> list[Any]:
        """What has come back, array by array: one that travelled alone is not a part of anything."""
        result = message.result
        assert result is not None
        if len(message.members) == 1:
            return [result]
        ends = np.cumsum([size_of(self.shapes[index]) for index in message.members])
        pieces = np.split(result, ends[:-1])
        return [piece.reshape(self.shapes[index]) for piece, index in zip(pieces, message.members)]
