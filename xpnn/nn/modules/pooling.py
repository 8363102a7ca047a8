"""Pooling, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.pool import *
from xpnn.nn.pool import _AdaptiveAvgPool, _AdaptiveMaxPool, _AvgPool, _LPPool, _MaxPool, _MaxUnpool

_AdaptiveAvgPoolNd = _AdaptiveAvgPool
_AdaptiveMaxPoolNd = _AdaptiveMaxPool
_AvgPoolNd = _AvgPool
_LPPoolNd = _LPPool
_MaxPoolNd = _MaxPool
_MaxUnpoolNd = _MaxUnpool
