"""Functions of each element on its own: arithmetic, powers, trigonometry, rounding, special functions."""

from __future__ import annotations

__all__: list[str] = []
