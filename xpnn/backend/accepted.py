"""Settings of PyTorch that programs make and xpnn needs none of: they are kept, and change no result."""

from __future__ import annotations

__all__ = ["are_deterministic_algorithms_enabled", "use_deterministic_algorithms"]

_settings = {"deterministic": False}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same results from run to run; xpnn's are so anyway (same backend, seed and threads)."""
    _settings["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was called with last."""
    return bool(_settings["deterministic"])
