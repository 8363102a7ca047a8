"""Distances, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.distance import *
