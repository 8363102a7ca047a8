"""The scope in which products run in half precision: mixed precision as PyTorch has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

from xpnn.autograd.casting import casting
from xpnn.autograd.mode import switches
from xpnn.backend import ArgumentError, DTypeError, dtype_name, get_backend
from xpnn.backend.dtypes import DType
from xpnn.backend.scope import covering

__all__ = ["autocast", "get_autocast_dtype", "is_autocast_available", "is_autocast_enabled"]

_DEFAULTS = {"cpu": "bfloat16", "cuda": "float16"}


class autocast:  # noqa: N801 - PyTorch's name
    """Run products and convolutions in half precision, for a `with` block or a decorated function.

    Arguments of products (`linear`, convolutions, `matmul`, attention, recurrent layers) are cast to `dtype`;
    inside of them sums are in float32, and the result is rounded once. Losses, and on GPUs norms, softmax,
    sums and what is steep, compute and return float32. Other functions take what comes. The lists are
    PyTorch's for the kind of device. Parameters stay in float32, and so do their gradients:

        y = round(x_low W_low^T + b_low)        gW = float32(gW_low)

    With float16 scale the loss by `GradScaler`. float64 is not cast. Call `backward()` inside or outside of
    the block: gradients have the types of the forward. It saves time where the library has fast products in
    half precision, as on GPUs; on NumPy it shows what they would round.

    Args:
        device_type: "cpu" or "cuda": arrays on other devices are not cast.
        dtype: float16 or bfloat16; None is float16 of "cuda" and bfloat16 of "cpu". Arrays of a library
            that does not have it are left as they are, with a warning.
        enabled: False casts nothing, also inside of another block.
        cache_enabled: accepted: a weight is cast whenever it is used.

    Raises: DTypeError if the device's type is not named by a string; ArgumentError for another device or
    element type.

    See: Micikevicius et al. (2018), "Mixed precision training".

    >>> from xpnn import nn, ones
    >>> layer = nn.Linear(3, 2)
    >>> with autocast("cpu", dtype="float16"):
    ...     y = layer(ones(1, 3))
    >>> y.dtype.name, layer.weight.dtype.name
    ('float16', 'float32')
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
        kind = str(device_type).partition(":")[0]
        if kind not in _DEFAULTS:
            raise ArgumentError(
                f"expects device_type 'cpu' or 'cuda', got {device_type!r:.60}", subject="autocast"
            )
        name = _DEFAULTS[kind] if dtype is None else dtype_name(dtype)
        if name not in ("float16", "bfloat16"):
            raise ArgumentError(f"expects dtype float16 or bfloat16, got {name}", subject="autocast")
        if enabled and kind == "cuda" and not _has_gpu():
            warnings.warn(
                "autocast: there is no CUDA GPU, so that nothing is cast; on this device it is "
                "autocast('cpu', dtype=...)",
                stacklevel=2,
            )
            enabled = False
        self.device_type = kind
        self.fast_dtype = name
        self._low = name if enabled else None
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> Self:
        block = casting({**switches.casts, self.device_type: self._low})
        block.__enter__()
        self._entered.append(block)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function."""
        return covering(function, lambda: casting({**switches.casts, self.device_type: self._low}))


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether products on such a device are cast here.

    >>> with autocast("cpu"):
    ...     is_autocast_enabled("cpu")
    True
    """
    return is_autocast_available(device_type) and switches.casts.get(device_type) is not None


def get_autocast_dtype(device_type: str) -> DType:
    """The element type that products on such a device are cast to, here or by default.

    >>> get_autocast_dtype("cpu").name
    'bfloat16'
    """
    if not is_autocast_available(device_type):
        raise ArgumentError(
            f"expects device_type 'cpu' or 'cuda', got {device_type!r:.60}", subject="get_autocast_dtype"
        )
    return DType(switches.casts.get(device_type) or _DEFAULTS[device_type])


def is_autocast_available(device_type: str) -> bool:
    """Whether there is an `autocast` for such a device.

    >>> is_autocast_available("cpu"), is_autocast_available("tpu")
    (True, False)
    """
    return isinstance(device_type, str) and device_type in _DEFAULTS


def _has_gpu() -> bool:
    gpu = get_backend().gpu
    return gpu is not None and gpu().count() > 0
