"""Recomputation in the backward sweep, under PyTorch's path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import checkpoint as _checkpoint

__all__ = ["checkpoint", "checkpoint_sequential", "get_device_states", "set_device_states"]


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **options: Any
) -> Any:
    """Run a function, keep only its arguments, and run it again in the backward sweep.

    Args:
        function: of Tensors. args, options: what it is called with.
        use_reentrant: is accepted; there is one way. So is `preserve_rng_state`: random numbers are the same.

    See: `xpnn.checkpoint`.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).sum(), x, use_reentrant=False).backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """
    options.pop("preserve_rng_state", None)
    return _checkpoint(function, *args, **options)


def checkpoint_sequential(
    functions: Sequence[Callable[..., Any]], segments: int, input: Any, use_reentrant: bool | None = None
) -> Any:
    """Run functions one after the other, in `segments` stretches of which only the inputs are kept.

    >>> from xpnn.autograd import tensor
    >>> checkpoint_sequential([lambda x: x * 2, lambda x: x + 1], 2, tensor([1.0]))
    tensor([3.])
    """
    steps = [*functions]
    length = max(1, len(steps) // segments)
    starts = [length * i for i in range(segments) if length * i < len(steps)]
    for start, stop in zip(starts, [*starts[1:], len(steps)]):
        input = _checkpoint(_run, steps[start:stop], input)
    return input


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """No devices and no states: all of them draw from the one stream that `get_rng_state` returns.

    >>> get_device_states()
    ([], [])
    """
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: Any = None) -> None:
    """Nothing, for what `get_device_states` returned; see `set_rng_state`."""


def _run(steps: Sequence[Callable[..., Any]], x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x
