"""New Tensors: of zeros, ones, numbers in a row, and of what other objects hold."""

from __future__ import annotations

__all__: list[str] = []
