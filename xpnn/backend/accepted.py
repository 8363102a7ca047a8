"""Settings of PyTorch that programs make and xpnn needs none of: they are kept, and change no result."""

from __future__ import annotations

from xpnn.backend.errors import ArgumentError

__all__ = [
    *("are_deterministic_algorithms_enabled", "get_float32_matmul_precision"),
    *("set_float32_matmul_precision", "use_deterministic_algorithms"),
]

_settings = {"deterministic": False, "matmul": "highest"}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same results from run to run; xpnn's are so anyway (same backend, seed and threads)."""
    _settings["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was called with last."""
    return bool(_settings["deterministic"])


def set_float32_matmul_precision(precision: str) -> None:
    """Allow products of fewer digits; xpnn computes them in float32 (see `xpnn.set_precision`).

    Args:
        precision: "highest", "high" or "medium".
    """
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(
            f"expects 'highest', 'high' or 'medium', got {precision!r:.60}",
            subject="set_float32_matmul_precision",
        )
    _settings["matmul"] = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was called with last."""
    return str(_settings["matmul"])
