"""Tensors of random numbers, the same bits on every backend."""

from __future__ import annotations

__all__: list[str] = []
