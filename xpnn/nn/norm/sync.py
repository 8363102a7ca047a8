"""Batch norm whose batch is spread over processes."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, recomputing, sum_over_processes
from xpnn.backend import ArgumentError, DTypeError, Group, is_half, processes, size_of
from xpnn.functional.norm.batch import batch_norm, running_statistics
from xpnn.nn.lazy import LazyModule
from xpnn.nn.module import Module
from xpnn.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm2d` over the batches of all processes of a group, for inputs of any rank.

    In training the mean and the variance are those of all processes' batches together, and the gradient
    passes through them in all processes: with `DistributedDataParallel` the network learns as in one process
    that has the whole batch. Without processes (see `xpnn.distributed`) this is `BatchNorm1d`, `BatchNorm2d`
    or `BatchNorm3d`, as the rank says.

    Args:
        num_features, eps, momentum, affine, track_running_stats, device, dtype, bias: as of `BatchNorm2d`.
        process_group: which processes; None is all of them.

    Shapes: (N, num_features, ...) to the same.

    >>> from xpnn.autograd import tensor
    >>> SyncBatchNorm(1)(tensor([[1.0], [3.0]])).shape
    (2, 1)
    """

    ranks = ()
    layout = "N, C, ..."

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        if process_group is not None and not isinstance(process_group, Group):
            raise DTypeError(
                f"expects process_group as one of xpnn.distributed, or None, got {process_group!r:.60}",
                subject="SyncBatchNorm",
            )
        self.process_group = process_group

    def forward(self, input: Any, *, residual: Any = None, relu: bool = False) -> Tensor:
        """As `BatchNorm2d`, with the statistics of all processes."""
        group = self.process_group or processes()
        if not self.training or group is None or group.size == 1:
            return super().forward(input, residual=residual, relu=relu)
        mean, variance, count = self._statistics(input, group)
        if self.running_mean is not None and not recomputing():
            found = running_statistics(
                self.running_mean,
                self.running_var,
                mean.detach(),
                variance.detach(),
                count,
                self._count_batch(),
            )
            self.running_mean.store(found[0])
            self.running_var.store(found[1])
        y = batch_norm(input, mean, variance, self.weight, self.bias, eps=self.eps)
        y = y if residual is None else y + residual
        return y.relu() if relu else y

    def _statistics(self, input: Any, group: Group) -> tuple[Tensor, Tensor, int]:
        """Mean and variance of each channel over all processes, and the number of elements behind them."""
        x = input.float() if is_half(input) else input
        axes = (0, *range(2, x.ndim))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        counts = group.all_gather_object(size_of(x.shape) // max(x.shape[1], 1))
        mean = sum_over_processes(x.sum(axes), group) / sum(counts)
        variance = sum_over_processes(((x - mean.reshape(shape)) ** 2).sum(axes), group) / sum(counts)
        return mean, variance, sum(counts)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Put a `SyncBatchNorm` in the place of every batch norm inside of a module.

        The new ones hold the old ones' Parameters and Buffers. One that stands in several places is replaced
        by one.

        Returns: the module, or its replacement where it is a batch norm itself.

        Raises: ArgumentError for a lazy batch norm that has not been called.

        >>> from xpnn import nn
        >>> SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(2)))[0].num_features
        2
        """
        made: dict[Module, Module] = {}
        for parent in list(module.modules()):
            for name, child in parent.named_parts():
                if isinstance(child, _PLAIN):
                    if child not in made:
                        made[child] = cls._in_place_of(child, process_group)
                    setattr(parent, name, made[child])
        return cls._in_place_of(module, process_group) if isinstance(module, _PLAIN) else module

    @classmethod
    def _in_place_of(cls, norm: Any, process_group: Any) -> SyncBatchNorm:
        if isinstance(norm, LazyModule):
            raise ArgumentError(
                f"expects modules whose sizes are known, got a {type(norm).__name__}",
                subject="convert_sync_batchnorm",
                hint="Call the model once before",
            )
        made = cls(
            norm.num_features,
            norm.eps,
            norm.momentum,
            norm.affine,
            norm.track_running_stats,
            process_group,
            bias=norm.bias is not None,
        )
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(made, name, getattr(norm, name))
        return made.train(norm.training)


_PLAIN = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)
