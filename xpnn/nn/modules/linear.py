"""Affine layers, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.linear import *
from xpnn.nn.linear import Linear

NonDynamicallyQuantizableLinear = Linear  # of PyTorch's attention, which its quantization leaves alone
