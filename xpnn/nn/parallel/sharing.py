"""Gradients of several processes' copies of a network become one, while the backward still runs."""

from __future__ import annotations

import hashlib
import itertools
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import Later, Tensor
from xpnn.autograd.core import new_tensor
from xpnn.autograd.handle import RemovableHandle
from xpnn.backend import (
    DTypeError,
    Exchange,
    GradientError,
    Group,
    ProcessError,
    backend_of,
    device_of,
    dtype_name,
    move,
    to_numpy,
)
from xpnn.nn.module import Module
from xpnn.nn.parallel.bucket import GradBucket, HookedSums

_STRAGGLES = 1.5  # times as long as the median
_all: weakref.WeakValueDictionary[int, GradientSharing] = weakref.WeakValueDictionary()  # as they were made
_count = itertools.count()


class GradientSharing:
    """Has every `backward` through a module's parameters give the mean of all processes' gradients.

    At the start all copies become rank 0's. A hook on each parameter hands its gradient to an `Exchange` as
    soon as the sweep has it; at the sweep's end the means take the gradients' place. A parameter that was
    used in some processes only gets the mean with zeros of the others, one that was used in none what it had.
    What `.grad` held before counts as a part of each process's gradient.

    It lasts as long as the parameters, until `remove`, or until another one shares them. When nothing refers
    to it any more, the communicator that it has borrowed goes back.

    Args:
        module: the network. group: the processes.
        bucket_bytes: how large a message of small gradients grows.
        for_good: False lets what shared the parameters before go on after `remove`.

    Attributes:
        active: False leaves the gradients of a backward this process's own.
        factor: what the means are multiplied by.

    Raises: ProcessError for modules that differ from one process to another.
    """

    def __init__(
        self, module: Module, group: Group, bucket_bytes: int = 25 << 20, for_good: bool = True
    ) -> None:
        self._lender = group.loans
        self._loan = group.borrow()
        weakref.finalize(self, self._loan.give_back).atexit = False
        self.group: Group = self._loan.item
        self.module = module
        self.active = True
        self.steps = 0
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.factor = 1.0
        self._expect_alike()
        self.take_over(0)
        self._bucket_bytes = bucket_bytes
        self._exchange = self._new_exchange(None)
        self._hook_name = ""
        self._put: set[int] = set()
        self._found: list[Any] | None = None
        self._busy, self._since = 0.0, time.perf_counter()
        replaced = self._replaced()
        for other in replaced:
            other._unhook()
        self._interrupted = [] if for_good else replaced
        self._handles: list[RemovableHandle] = []
        self._hook()
        _all[next(_count)] = self

    def remove(self) -> None:
        """Take the hooks away."""
        self._unhook()
        for other in self._interrupted:
            other._hook()
        self._interrupted = []

    def _hook(self) -> None:
        self._handles = [p.register_hook(_Send(self, index)) for index, p in enumerate(self._parameters)]

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _replaced(self) -> list[GradientSharing]:
        """Those that share the same parameters up to now, or some of them; alike in all processes."""
        own = set(map(id, self._parameters))
        return [
            other
            for other in list(_all.values())
            if other._handles and other._lender is self._lender and own.issuperset(map(id, other._parameters))
        ]

    def register_comm_hook(self, state: Any, hook: Callable[[Any, GradBucket], Any]) -> None:
        """Let a hook make of the gradients what it likes (see `DistributedDataParallel`)."""
        subject = "register_comm_hook"
        if not callable(hook):
            raise DTypeError(f"expects a function, got {type(hook).__name__}", subject=subject)
        if self._hook_name:
            raise ProcessError(f"has been called already, with {self._hook_name}", subject=subject)
        if self._loan.busy:
            raise ProcessError("cannot be called within a backward", subject=subject)
        name = getattr(hook, "__qualname__", type(hook).__name__)
        for rank, other in enumerate(self.group.all_gather_object(name)):
            if other != name:
                raise ProcessError(
                    f"was called with {name} here and with {other} in rank {rank}", subject=subject
                )
        self._hook_name = name
        self._exchange = self._new_exchange(HookedSums(state, hook, self._parameters))

    def _new_exchange(self, sums: HookedSums | None) -> Exchange:
        return Exchange(self.group, [p.array for p in self._parameters], self._bucket_bytes, sums)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Gradients stay this process's own in the block; the next backward after it shares their sums."""
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before

    def take_over(self, rank: int) -> None:
        """Make all copies those of one process."""
        for tensor in [*self.module.parameters(), *self.module.buffers()]:
            tensor.store(self.group.broadcast(tensor.array, rank))

    def share_buffers(self, rank: int = 0) -> None:
        """Take over one process's buffers, such as running statistics."""
        for buffer in self.module.buffers():
            buffer.store(self.group.broadcast(buffer.array, rank))

    def accompany(self) -> None:
        """Take part in a step of the other processes with gradients of zero."""
        self._loan.busy = True
        self._exchange.finish({})
        self._loan.busy = False
        self.steps += 1

    def check(self) -> None:
        """Compare the copies of all processes, and warn of a process that is slower than the others.

        Raises: ProcessError, in every process, that names the first parameter that differs.
        """
        digests = [hashlib.sha256(to_numpy(p.array).tobytes()).digest() for p in self.module.parameters()]
        everywhere = self.group.all_gather_object((digests, self._busy))
        self._busy = 0.0
        for (name, _), *found in zip(self.module.named_parameters(), *(d for d, _ in everywhere)):
            others = [rank for rank, digest in enumerate(found) if digest != found[0]]
            if others:
                raise ProcessError(
                    f"have drifted apart: '{name}' in rank {', '.join(map(str, others))} is not rank 0's",
                    subject="The copies of the network",
                    hint="Every process must take the same optimizer steps; look for code that only some run",
                )
        times = [busy for _, busy in everywhere]
        slowest, median = max(times), sorted(times)[(len(times) - 1) // 2]
        if self.group.rank == 0 and slowest > _STRAGGLES * median > 0:
            warnings.warn(
                f"rank {times.index(slowest)} computes {slowest / median:.1f} times as long as the others, "
                "which wait for it",
                RuntimeWarning,
                stacklevel=2,
            )

    def _expect_alike(self) -> None:
        mine = [
            (n, p.shape, dtype_name(p.dtype), self.group.library_between(p))
            for n, p in self.module.named_parameters()
            if p.requires_grad
        ]
        for rank, theirs in enumerate(self.group.all_gather_object(mine)):
            if theirs != mine:
                pairs = (f"{m} here and {t} there" for m, t in zip(mine, theirs) if m != t)
                different = next(pairs, f"{len(mine)} parameters here and {len(theirs)} there")
                raise ProcessError(
                    f"has another module than rank {rank}: {different}", subject=f"Rank {self.group.rank}"
                )

    def send(self, index: int, gradient: Tensor) -> Later | None:
        """Take a gradient that the backward has found; what stands for the mean until it is there."""
        if not self.active:
            return None
        if gradient.requires_grad:
            raise GradientError(
                "have no second derivatives",
                subject="Gradients of several processes",
                hint="Leave out create_graph",
            )
        parameter = self._parameters[index]
        whole = gradient.array if parameter.grad is None else parameter.grad.array + gradient.array
        parameter.grad = None  # it is in what comes back
        self._found = None
        self._put.add(index)
        self._loan.busy = True
        self._exchange.put(index, whole)
        return _Mean(self, index)

    def mean(self, index: int) -> Any:
        """The mean gradient of a parameter, when the backward is over."""
        if self._found is None:
            self._found = self._finish()
        return self._like_parameter(self._found[index], index)

    def _finish(self) -> list[Any]:
        self._busy += time.perf_counter() - self._since
        absent = {
            index: parameter.grad.array
            for index, parameter in enumerate(self._parameters)
            if index not in self._put and parameter.grad is not None
        }
        found = self._exchange.finish(absent)
        self._loan.busy = False
        for index, parameter in enumerate(self._parameters):
            if index not in self._put and found[index] is not None:
                parameter.grad = new_tensor(self._like_parameter(found[index], index))
        self._put = set()
        self.steps += 1
        self._since = time.perf_counter()
        return found

    def _like_parameter(self, found: Any, index: int) -> Any:
        array = self._parameters[index].array
        found = found if self.factor == 1.0 else found * self.factor
        return move(found, backend_of(array), device_of(array), array.dtype)


class _Send:
    """The hook of a parameter."""

    runs_last = True  # what is sent is what the user's hooks have made of it

    def __init__(self, sharing: GradientSharing, index: int) -> None:
        self.sharing = sharing
        self.index = index

    def __call__(self, gradient: Tensor) -> Later | None:
        return self.sharing.send(self.index, gradient)


class _Mean(Later):
    """A gradient that the other processes' parts are still missing from."""

    def __init__(self, sharing: GradientSharing, index: int) -> None:
        self.sharing = sharing
        self.index = index

    def result(self) -> Any:
        return self.sharing.mean(self.index)
