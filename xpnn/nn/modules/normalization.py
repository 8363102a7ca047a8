"""Norms of layers, groups and channels, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.norm.group import *
from xpnn.nn.norm.layer import *
from xpnn.nn.norm.response import *
from xpnn.nn.norm.rms import *
