"""The scope of automatic casts, which xpnn does not make."""

from __future__ import annotations

import warnings
from contextlib import ContextDecorator
from typing import Any, Self

from xpnn.backend import DTypeError

__all__ = ["autocast", "is_autocast_enabled"]


class autocast(ContextDecorator):  # noqa: N801 - PyTorch's name
    """A scope, or decorator, in which PyTorch computes in half precision, and xpnn as it always does.

    Casts save time on GPUs that have units for them; the results are those of half precision. Here each
    operation keeps the element type of what it is given. So the scope changes nothing, and says so once if it
    is enabled, as PyTorch does where it has no GPU. Train in half precision by `model.half()` or
    `model.to("bfloat16")`; optimizers and statistics are in float32 then.

    Args:
        device_type: `"cuda"`, `"cpu"` ...
        dtype: the element type of products; not used.
        enabled: whether casts are wanted.
        cache_enabled: not used.

    Raises: DTypeError if the device's type is not named by a string.

    >>> with autocast("cpu", enabled=False):
    ...     is_autocast_enabled()
    False
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise DTypeError(
                f"expects device_type as a string, got {type(device_type).__name__}",
                subject="autocast",
                hint="Did you mean autocast('cuda', enabled=...)?",
            )
        self.device_type = device_type
        if enabled:
            warnings.warn(
                "autocast: xpnn computes in the element type that it is given, so nothing is cast; "
                "for half precision use model.half() or model.to('bfloat16')",
                stacklevel=2,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """False: see `autocast`."""
    return False
