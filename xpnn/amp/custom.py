"""Functions of one's own under `autocast`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xpnn.autograd.casting import cast, casting
from xpnn.autograd.mode import switches
from xpnn.backend import dtype_name

__all__ = ["custom_bwd", "custom_fwd"]


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str = "cuda", cast_inputs: Any = None
) -> Callable:
    """Decorate the `forward` of an `autograd.Function` for use under `autocast`.

    Args:
        fwd: `forward(ctx, *args)`.
        device_type: the kind of device whose casts count.
        cast_inputs: the element type that Tensors of float32 and half precision are cast to where
            `autocast` is on; the forward itself then runs without it. None lets the casts go on in it.

    >>> from xpnn import autocast, ones
    >>> from xpnn.autograd import Function
    >>> class Double(Function):
    ...     @staticmethod
    ...     @custom_fwd(device_type="cpu", cast_inputs="float32")
    ...     def forward(ctx, x):
    ...         return x + x
    >>> with autocast("cpu", dtype="float16"):
    ...     Double.apply(ones(2).half()).dtype.name
    'float32'
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **options: Any) -> Any:
        on = switches.casts.get(device_type) is not None
        ctx.casts = {} if cast_inputs is not None else switches.casts
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **options)
        dtype = dtype_name(cast_inputs)
        with casting({}):
            args = tuple([cast(x, dtype) for x in args])
            return fwd(ctx, *args, **{name: cast(x, dtype) for name, x in options.items()})

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cuda") -> Callable:
    """Decorate the `backward` beside a `custom_fwd`: it runs with the casts that the forward ran with."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *gradients: Any) -> Any:
        with casting(ctx.casts):
            return bwd(ctx, *gradients)

    return backward
