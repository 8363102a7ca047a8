"""Activations and multi-head attention, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.activation import *
from xpnn.nn.attention.multi_head import *
