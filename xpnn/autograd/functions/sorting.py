"""Elements in order, the largest ones, those that differ."""

from __future__ import annotations

__all__: list[str] = []
