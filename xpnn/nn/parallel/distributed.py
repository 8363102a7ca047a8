"""Data parallelism: every process has the whole network, computes on its part of a batch, and all agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import is_grad_enabled
from xpnn.backend import DTypeError, Group, expect_processes
from xpnn.nn.module import Module
from xpnn.nn.parallel.sharing import GradientSharing

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """A network that several processes train together, each on its part of the data.

    Every process holds a copy, the same from the start: those of rank 0. After `loss.backward()` the
    gradients are the means over the processes of each one's,

        grad = (grad_0 + ... + grad_(size - 1)) / size

    so that all take the same step. Gradients are sent in the order in which the backward finds them, large
    ones by themselves and without a copy, small ones together, while the backward goes on. Every process must
    call `backward` equally often. Parameters have their names in `module` with "module." before them, as in
    PyTorch's checkpoints.

    Args:
        module: the network; its gradients may be of any backend.
        device_ids, output_device, dim: are accepted; the module computes on the device that it is on.
        broadcast_buffers: take over rank 0's buffers (running statistics) before each forward in training.
        process_group: which processes; None is all of them.
        bucket_cap_mb: how large a message of small gradients grows; None is 25.
        find_unused_parameters, check_reduction, gradient_as_bucket_view, static_graph: are accepted. A
            parameter that was used in some processes only gets its mean, with zeros of the others; one that
            was used in none keeps what it has.
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
        broadcast_buffers: bool = True,
        process_group: Group | None = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        *,
        check_every: int = 100,
    ) -> None:
        if not isinstance(module, Module):
            raise DTypeError(
                f"expects a Module, got {type(module).__name__}", subject="DistributedDataParallel"
            )
        bucket = 25 if bucket_cap_mb is None else bucket_cap_mb
        self.module = module
        self.process_group = expect_processes(process_group)
        self.broadcast_buffers = broadcast_buffers
        self.check_every = check_every
        self.sharing = GradientSharing(module, self.process_group, int(bucket * 2**20))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns for this process's part of the batch."""
        if self.training and is_grad_enabled() and self.sharing.active:
            steps = self.sharing.steps
            if self.check_every and steps and steps % self.check_every == 0:
                self.sharing.check()
            if self.broadcast_buffers:
                self.sharing.share_buffers()
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients stay this process's own in the block; the next backward after it shares their sums."""
        with self.sharing.paused():
            yield

    def check_replicas(self) -> None:
        """Compare the copies of all processes now (see `check_every`)."""
        self.sharing.check()
