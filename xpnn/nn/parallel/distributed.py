"""Data parallelism: every process has the whole network, computes on its part of a batch, and all agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import is_grad_enabled
from xpnn.backend import DTypeError, Group, ProcessError, expect_processes
from xpnn.nn.module import Module
from xpnn.nn.parallel.bucket import GradBucket
from xpnn.nn.parallel.sharing import GradientSharing

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """A network that several processes train together, each on its part of the data.

    Every process holds a copy, the same from the start: those of rank 0. After `loss.backward()` the
    gradients are the means over the processes of each one's,

        grad = (grad_0 + ... + grad_(size - 1)) / size

    so that all take the same step. Gradients are sent in the order in which the backward finds them, large
    ones by themselves and without a copy, small ones together, while the backward goes on. Every process must
    call `backward` equally often. Where a module is wrapped again, its last wrapper shares its gradients.
    Parameters have their names in `module` with "module." before them, as in PyTorch's checkpoints.

    Args:
        module: the network; its gradients may be of any backend.
        device_ids, output_device, dim: are accepted; the module computes on the device that it is on.
        broadcast_buffers: take over rank 0's buffers (running statistics) before each forward in training.
        forward_sync_buffers: the same, by PyTorch's newer name.
        process_group: which processes; None is all of them.
        bucket_cap_mb: how large a message of small gradients grows; None is 25.
        find_unused_parameters, check_reduction, gradient_as_bucket_view, static_graph, init_sync: are
            accepted; copies are always those of rank 0 at the start. A parameter that was used in some
            processes only gets its mean, with zeros of the others; one that was used in none keeps what it
            has.
        check_every: after how many steps the copies are compared, and the processes' times; 0 is never.

    Raises: DTypeError if `module` is no Module; ProcessError without processes, for modules that differ from
    one process to another, and for copies that have drifted apart.

    See: Li et al. (2020), "PyTorch distributed: experiences on accelerating data parallel training".
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = True,
        init_sync: bool = True,
        process_group: Group | None = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        *,
        forward_sync_buffers: bool | None = None,
        check_every: int = 100,
    ) -> None:
        if not isinstance(module, Module):
            raise DTypeError(
                f"expects a Module, got {type(module).__name__}", subject="DistributedDataParallel"
            )
        bucket = 25 if bucket_cap_mb is None else bucket_cap_mb
        self.module = module
        self.process_group = expect_processes(process_group)
        given = broadcast_buffers if forward_sync_buffers is None else forward_sync_buffers
        self.broadcast_buffers = given is None or given
        self.check_every = check_every
        self.sharing = GradientSharing(module, self.process_group, int(bucket * 2**20))
        self._join: _Join | None = None

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns for this process's part of the batch."""
        if self.training and is_grad_enabled() and self.sharing.active:
            source = 0 if self._join is None else self._join.begin_step()
            steps = self.sharing.steps
            if self._join is not None and self._join.some_are_done:
                steps = 0  # their copies stand still
            if self.check_every and steps and steps % self.check_every == 0:
                self.sharing.check()
            if self.broadcast_buffers:
                self.sharing.share_buffers(source)
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients stay this process's own in the block; the next backward after it shares their sums."""
        with self.sharing.paused():
            yield

    @contextmanager
    def join(
        self,
        divide_by_initial_world_size: bool = True,
        enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Iterator[None]:
        """Processes may train on different numbers of batches in the block.

        One that is done takes part in the steps of the others, with gradients of zero. At the end all copies
        are those of the process that was done last.

        Args:
            divide_by_initial_world_size: whether sums of gradients are divided by the number of all
                processes; False divides them by that of those that still train.
            enable: False has no effect, where all have equally many batches.
            throw_on_early_termination: end all processes with a ProcessError when the first is done.
        """
        if not enable:
            yield
            return
        self._join = _Join(self.sharing, divide_by_initial_world_size, throw_on_early_termination)
        try:
            yield
            self._join.accompany(self.broadcast_buffers)
        finally:
            self._join, self.sharing.factor = None, 1.0

    def register_comm_hook(self, state: Any, hook: Callable[[Any, GradBucket], Any]) -> None:
        """Let a hook of all processes make of the gradients what it likes, in place of their means.

        Once, between two steps; all processes call it alike. For ready-made hooks see
        `xpnn.distributed.algorithms.ddp_comm_hooks.default_hooks`.

        Args:
            state: what the hook is given first, such as a group.
            hook: `hook(state, bucket)` is called with each `GradBucket` as soon as the backward has it, in
                the same order in all processes; it returns a future of a Tensor of as many numbers as
                `bucket.buffer()`, which is not divided by the number of processes any more.

        Raises: DTypeError for what is no function, no future and no Tensor; ShapeError for a Tensor of
        another size; ProcessError at the second call, and for another hook than in other processes.
        """
        self.sharing.register_comm_hook(state, hook)

    def check_replicas(self) -> None:
        """Compare the copies of all processes now (see `check_every`)."""
        self.sharing.check()


class _Join:
    """The processes that still train, where some may be done before others."""

    def __init__(self, sharing: GradientSharing, divides_by_all: bool, throws: bool) -> None:
        self.sharing = sharing
        self.divides_by_all = divides_by_all
        self.throws = throws
        self.some_are_done = False
        self._last = list(range(sharing.group.size))  # who trained in the last step

    def begin_step(self) -> int:
        """Tell the others that this process trains on; returns the first that does."""
        return self._agree(True)[0]

    def accompany(self, shares_buffers: bool) -> None:
        """Take part in the steps of the others until all are done, and take over the last one's copy."""
        while active := self._agree(False):
            if shares_buffers:
                self.sharing.share_buffers(active[0])
            self.sharing.accompany()
        self.sharing.take_over(self._last[-1])

    def _agree(self, trains: bool) -> list[int]:
        """The ranks that train on."""
        flags = self.sharing.group.all_gather_object(trains)
        active = [rank for rank, flag in enumerate(flags) if flag]
        self.some_are_done = len(active) < len(flags)
        if self.throws and active and self.some_are_done:
            done = [rank for rank, flag in enumerate(flags) if not flag]
            raise ProcessError(f"rank {done[0]} has no more batches", subject="join")
        if active:
            self._last = active
            self.sharing.factor = 1.0 if self.divides_by_all else len(flags) / len(active)
        return active
