"""Batch norm, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.norm.batch import *
from xpnn.nn.norm.batch import _BatchNorm as _BatchNorm
from xpnn.nn.norm.lazy import LazyBatchNorm1d as LazyBatchNorm1d
from xpnn.nn.norm.lazy import LazyBatchNorm2d as LazyBatchNorm2d
from xpnn.nn.norm.lazy import LazyBatchNorm3d as LazyBatchNorm3d
from xpnn.nn.norm.sync import SyncBatchNorm as SyncBatchNorm

_NormBase = _BatchNorm
