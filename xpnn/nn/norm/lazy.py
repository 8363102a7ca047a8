"""Batch and instance norm that find the number of their channels at the first call."""

from __future__ import annotations

from typing import ClassVar

from xpnn.nn.lazy import LazyModule
from xpnn.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from xpnn.nn.norm.instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class LazyBatchNorm1d(LazyModule, BatchNorm1d):
    """A `BatchNorm1d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyBatchNorm1d()
    >>> layer(xp.zeros((2, 3, 4))).shape, layer.num_features
    ((2, 3, 4), 3)
    """

    becomes = BatchNorm1d
    channel_axis = 1


class LazyBatchNorm2d(LazyModule, BatchNorm2d):
    """A `BatchNorm2d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyBatchNorm2d()
    >>> layer(xp.zeros((2, 3, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4), 3)
    """

    becomes = BatchNorm2d
    channel_axis = 1


class LazyBatchNorm3d(LazyModule, BatchNorm3d):
    """A `BatchNorm3d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyBatchNorm3d()
    >>> layer(xp.zeros((2, 3, 4, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4, 4), 3)
    """

    becomes = BatchNorm3d
    channel_axis = 1


class LazyInstanceNorm1d(LazyModule, InstanceNorm1d):
    """An `InstanceNorm1d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyInstanceNorm1d()
    >>> layer(xp.zeros((2, 3, 4))).shape, layer.num_features
    ((2, 3, 4), 3)
    """

    becomes = InstanceNorm1d
    channel_axis = -2
    defaults: ClassVar = {"affine": True, "track_running_stats": True}


class LazyInstanceNorm2d(LazyModule, InstanceNorm2d):
    """An `InstanceNorm2d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyInstanceNorm2d()
    >>> layer(xp.zeros((2, 3, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4), 3)
    """

    becomes = InstanceNorm2d
    channel_axis = -3
    defaults: ClassVar = {"affine": True, "track_running_stats": True}


class LazyInstanceNorm3d(LazyModule, InstanceNorm3d):
    """An `InstanceNorm3d` whose num_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyInstanceNorm3d()
    >>> layer(xp.zeros((2, 3, 4, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4, 4), 3)
    """

    becomes = InstanceNorm3d
    channel_axis = -4
    defaults: ClassVar = {"affine": True, "track_running_stats": True}
