"""Dropout, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.dropout import *
from xpnn.nn.dropout import Dropout

_DropoutNd = Dropout
