"""Recurrent networks, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.recurrent import *
