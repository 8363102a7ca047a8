"""Elements by their position: gather, scatter, select, fill where a mask is true."""

from __future__ import annotations

__all__: list[str] = []
