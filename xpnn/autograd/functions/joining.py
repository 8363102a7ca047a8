"""Several Tensors to one, and one to several."""

from __future__ import annotations

__all__: list[str] = []
