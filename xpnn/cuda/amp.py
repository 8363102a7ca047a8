"""`xpnn.amp` under PyTorch's older path, where nothing is told the device."""

from __future__ import annotations

from typing import Any

from xpnn import amp
from xpnn.amp import custom_bwd, custom_fwd

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class GradScaler(amp.GradScaler):
    """`xpnn.amp.GradScaler` without its first argument, the device.

    >>> GradScaler(4.0).get_scale()
    4.0
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """`xpnn.amp.autocast` of the device "cuda"."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)
