"""Samplers under PyTorch's path."""

from __future__ import annotations

from xpnn.data.sampler import *
