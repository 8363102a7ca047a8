"""Modules whose sizes come from their first input, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.lazy import LazyModule

LazyModuleMixin = LazyModule
