"""`xpnn.accelerator`: PyTorch's newer way to ask for a GPU of any kind, answered for the current backend.

    device = xpnn.accelerator.current_accelerator().type if xpnn.accelerator.is_available() else "cpu"

There are CUDA's alone; see `xpnn.cuda`.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import device
from xpnn.cuda import (
    current_device as current_device_index,
)
from xpnn.cuda import (
    device_count,
    empty_cache,
    is_available,
    max_memory_allocated,
    memory_allocated,
    synchronize,
)
from xpnn.cuda import (
    set_device as set_device_index,
)

__all__ = [
    "current_accelerator",
    "current_device_index",
    "device_count",
    "empty_cache",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "set_device_index",
    "synchronize",
]


def current_accelerator(check_available: bool = False) -> Any:
    """The kind of GPU that the current backend computes on, as a device without a number; None if on none.

    Args:
        check_available: changes nothing: a GPU that is not there is never named.

    >>> current_accelerator() is None
    True
    """
    return device("cuda") if is_available() else None
