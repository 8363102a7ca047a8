"""Recurrent networks, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.recurrent import *
from xpnn.nn.recurrent.cells import _Cell
from xpnn.nn.recurrent.layers import _Recurrent

RNNBase = _Recurrent
RNNCellBase = _Cell
