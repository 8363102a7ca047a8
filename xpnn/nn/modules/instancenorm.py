"""Instance norm, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.norm.instance import *
from xpnn.nn.norm.instance import _InstanceNorm as _InstanceNorm
from xpnn.nn.norm.lazy import LazyInstanceNorm1d as LazyInstanceNorm1d
from xpnn.nn.norm.lazy import LazyInstanceNorm2d as LazyInstanceNorm2d
from xpnn.nn.norm.lazy import LazyInstanceNorm3d as LazyInstanceNorm3d
