"""TF32: whether a GPU may round the factors of float32 products to 10 bits, which is faster."""

from __future__ import annotations

from collections.abc import Callable

from xpnn.backend.errors import ArgumentError

__all__ = ["get_float32_matmul_precision", "set_float32_matmul_precision"]

_PRECISIONS = ("highest", "high", "medium")
_chosen: list[str] = []  # the last choice, once there is one
_libraries: list[Callable[[bool], None]] = []


def set_float32_matmul_precision(precision: str) -> None:
    """Choose how exact products of float32 matrices are on a GPU with CuPy.

    Args:
        precision: "highest", the default: float32. "high" or "medium": TF32, with a relative error of
            about 5e-4 of each factor, on cards that have it (compute capability 8.0 and newer). Batched
            products stay in float32. PyTorch's and JAX's own settings say what those do as backends.

    The same switch is `xpnn.backends.cuda.matmul.allow_tf32`. For algorithms of other backends see
    `xpnn.set_precision`.

    Raises: ArgumentError for another word.

    >>> set_float32_matmul_precision("highest")
    >>> get_float32_matmul_precision()
    'highest'
    """
    if precision not in _PRECISIONS:
        raise ArgumentError(
            f"expects 'highest', 'high' or 'medium', got {precision!r:.60}",
            subject="set_float32_matmul_precision",
        )
    _chosen[:] = [precision]
    for tell in _libraries:
        tell(allows_tf32())


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was called with last."""
    return _chosen[0] if _chosen else "highest"


def allows_tf32() -> bool:
    """Whether products may be rounded."""
    return get_float32_matmul_precision() != "highest"


def is_chosen() -> bool:
    """Whether anybody has chosen; until then a library goes by its own settings."""
    return bool(_chosen)


def takes_tf32(tell: Callable[[bool], None]) -> Callable[[bool], None]:
    """Decorate what tells a library of the choice, if that is loaded, whenever it changes."""
    _libraries.append(tell)
    return tell
