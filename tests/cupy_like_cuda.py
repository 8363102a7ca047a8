"""Streams, events, pinned memory and the memory pool of the stand-in for CuPy: `cupy.cuda`.

Work on arrays is done at once, which is one of the orders that a GPU may take. A copy on a stream of its own
is done as late as a GPU may do it: when something waits for it. So what forgets to wait is found out: who
reads the array before, who writes into the buffer before, and who lets one of the two go.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import cupy_like_graphs as graphs
import numpy as np
from cupy_like_graphs import using_allocator as using_allocator

from xpnn.backend import local_rank

runtime = SimpleNamespace(
    CUDARuntimeError=graphs.CUDARuntimeError,
    is_hip=False,
    getDevice=lambda: 0,
    getDeviceCount=lambda: 1,
    deviceGetPCIBusId=lambda id: f"0000:0{local_rank()}:00.{id}",
)


class Device:
    """The one device: each array has an object of its own for it, and CuPy's have no hash."""

    current: ClassVar[list[int]] = []  # of the blocks that compute on a device by its number
    __hash__ = None

    def __init__(self, id: int = 0) -> None:
        self.id = id

    def __enter__(self) -> None:
        Device.current.append(self.id)

    def __exit__(self, *raised: object) -> None:
        Device.current.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __str__(self) -> str:
        return "gpu:0"


class _Current(threading.local):
    def __init__(self) -> None:
        self.streams: list[Stream] = []


_current = _Current()


class Event:
    """A place in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.stream: Stream | None = None
        self.place, self.seconds = 0, 0.0

    def record(self, stream: Stream | None = None) -> None:
        self.stream = get_current_stream() if stream is None else stream
        self.place, self.seconds = self.stream.queued, time.perf_counter()

    @property
    def done(self) -> bool:
        return self.stream is None or self.stream.completed >= self.place

    def synchronize(self) -> None:
        graphs.refuse("waiting for an event")
        if self.stream is not None:
            self.stream.run(self.place)


class Stream:
    """Work in its order; that of a stream other than the default one waits until it is asked for."""

    null: ClassVar[Stream]

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.null_stream, self.ptr = null, 0 if null else id(self)
        self.queue: deque[Callable[[], None]] = deque()
        self.queued = self.completed = 0
        self.lock = threading.RLock()

    def __enter__(self) -> Stream:
        _current.streams.append(self)
        return self

    def __exit__(self, *raised: object) -> None:
        _current.streams.pop()

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self.submit(event.synchronize)

    def synchronize(self) -> None:
        graphs.refuse("waiting for a stream")
        self.run(self.queued)

    def begin_capture(self, mode: Any = None) -> None:
        if self.null_stream or get_current_stream() is not self:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.synchronize()  # the work before is given to the device before
        graphs.begin()

    def end_capture(self) -> graphs.Graph:
        return graphs.end()

    def is_capturing(self) -> bool:
        return graphs.is_capturing()

    def submit(self, work: Callable[[], None]) -> None:
        """Do work after all that came before; at once on the default stream."""
        if self.null_stream:
            work()
            return
        with self.lock:
            self.queue.append(work)
            self.queued += 1

    def run(self, place: int) -> None:
        """Do all work up to a place."""
        with self.lock:
            while self.completed < place:
                work = self.queue.popleft()
                self.completed += 1
                work()


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    return _current.streams[-1] if _current.streams else Stream.null


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds."""
    return (end.seconds - start.seconds) * 1e3


class PinnedMemoryPointer(bytearray):
    """Memory of the host that the device copies from by itself."""

    @property
    def ptr(self) -> int:
        return ctypes.addressof((ctypes.c_char * len(self)).from_buffer(self))


_pinned: weakref.WeakValueDictionary[int, PinnedMemoryPointer] = weakref.WeakValueDictionary()


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    memory = PinnedMemoryPointer(max(size, 1))
    _pinned[memory.ptr] = memory
    return memory


def copy_later(array: Any, host: np.ndarray, write: Callable[[Any], None], stream: Stream) -> None:
    """Have a stream copy from a pinned buffer into an array; other memory is copied before the call ends."""
    address = host.ctypes.data
    owner = next((m for start, m in _pinned.items() if start <= address < start + len(m)), None)
    if owner is None or stream.null_stream:
        stream.synchronize()
        write(host)
        return
    before, there, kept = host.tobytes(), weakref.ref(array), weakref.ref(owner)
    values = host.copy()

    def copy() -> None:
        if there() is None or kept() is None:
            raise RuntimeError("an array or a pinned buffer was given back before its copy was done")
        if ctypes.string_at(address, len(before)) != before:
            raise RuntimeError("a pinned buffer was written into before its copy was done")
        write(values)

    stream.submit(copy)


class MemoryPool:
    """What the stand-in's arrays take of the memory."""

    def malloc(self, size: int) -> Any:
        """Not called: NumPy takes its memory by itself."""

    def used_bytes(self) -> int:
        gc.collect()
        arrays = [thing for thing in gc.get_objects() if type(thing).__module__ == "cupy_like"]
        owners = [array for array in arrays if isinstance(getattr(array, "_values", None), np.ndarray)]
        return sum(array._values.nbytes for array in owners if array._values.base is None)

    def total_bytes(self) -> int:
        return self.used_bytes()

    def free_all_blocks(self) -> None:
        pass
