"""Batch norm whose batch is spread over processes."""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError
from xpnn.nn.lazy import LazyModule
from xpnn.nn.module import Module
from xpnn.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm2d` over the batches of all processes of a group, for inputs of any rank.

    Statistics that are means over processes need communication. In a single process, which is a group of its
    own, this is `BatchNorm1d`, `BatchNorm2d` or `BatchNorm3d`, as the rank says.

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
        self.process_group = process_group

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
