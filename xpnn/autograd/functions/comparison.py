"""Which elements are equal, smaller, finite; logic and bits."""

from __future__ import annotations

__all__: list[str] = []
