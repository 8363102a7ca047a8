"""Convolutions, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.conv import *
from xpnn.nn.conv.base import BaseConv
from xpnn.nn.conv.transposed import _ConvTranspose

_ConvNd = BaseConv
_ConvTransposeNd = _ConvTranspose
