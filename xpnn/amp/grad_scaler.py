"""Losses scaled up, so that gradients of half precision don't vanish."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.all_gradients import unscaled
from xpnn.backend import (
    ArgumentError,
    CheckpointError,
    DTypeError,
    backend_of,
    device_of,
    dtype_name,
    is_array,
    is_half,
    item,
)
from xpnn.backend.states import is_flag, is_number
from xpnn.optim import Optimizer

__all__ = ["GradScaler"]

_SETTINGS = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


class GradScaler:
    """Scale the loss up before the backward pass, and the gradients down before the step.

    Small gradients would be 0 in float16. A step with gradients that are infinite or NaN is left out, and the
    scale goes down; after `growth_interval` steps in a row without one it goes up. A scale that is a power of
    two changes no digit of gradients in float32.

    Args:
        device: not used: it works on all devices.
        init_scale: the scale at the start.
        growth_factor: above 1.
        backoff_factor: in (0, 1).
        growth_interval: steps, at least 1.
        enabled: if False, nothing is scaled and nothing left out.

    Raises: ArgumentError for values outside of their domain, and for calls in another order than scale,
    unscale_ (which may be left out), step, update.

    See: Micikevicius et al. (2018), "Mixed precision training".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = SGD([x], lr=0.25), GradScaler(init_scale=4.0)
    >>> scaler.scale((x * x).sum()).backward()
    >>> x.grad.tolist()
    [8.0]
    >>> scaler.step(optimizer), scaler.update()
    (None, None)
    >>> x.tolist()
    [0.5]
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not is_flag(enabled):
            raise self._error(f"expects enabled as True or False, got {enabled!r:.60}")
        if not is_number(init_scale):
            raise self._error(f"expects init_scale as a number, got {init_scale!r:.60}")
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        # Of optimizers, by identity, since the last update.
        self._finite: dict[int, bool] = {}
        self._stepped: set[int] = set()
        if enabled:
            problem = _problem(self.state_dict())
            if problem:
                raise self._error(problem)

    def scale(self, outputs: Any) -> Any:
        """A Tensor, or each of an iterable of Tensors, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            wide = is_half(outputs.array) and outputs.ndim == 0  # a loss has no room for it
            return (outputs.to("float32") if wide else outputs) * self._scale
        if isinstance(outputs, Iterable) and not is_array(outputs):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        raise DTypeError(
            f"expects Tensors to scale, got {type(outputs).__name__}", subject=type(self).__name__
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer by the scale, to clip or look at them before `step`."""
        if not self._enabled:
            return
        if id(optimizer) in self._finite:
            raise self._error("has unscaled these gradients since the last update()", "Call update()")
        alike: dict[tuple[str, ...], list[Tensor]] = {}  # of one library, device and element type
        for name, param in optimizer.named_parameters():
            if param.grad is None:
                continue
            grad = param.grad.array
            if dtype_name(grad.dtype) == "float16":
                raise self._error(
                    f"cannot unscale the gradient of '{name}', which is in float16",
                    "Keep parameters in float32 or bfloat16",
                )
            place = backend_of(grad).name, str(device_of(grad)), dtype_name(grad.dtype)
            alike.setdefault(place, []).append(param.grad)
        flags = []
        for grads in alike.values():
            arrays, finite = unscaled([grad.array for grad in grads], 1 / self._scale)
            for grad, array in zip(grads, arrays):
                grad.store(array)
            flags.append(finite)
        self._finite[id(optimizer)] = all(item(finite) for finite in flags)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()` on unscaled gradients, left out if one of them is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs:
            raise self._error("cannot step with a closure", "Give enabled=False, or step without one")
        if id(optimizer) in self._stepped:
            raise self._error("has stepped with this optimizer since the last update()", "Call update()")
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return optimizer.step() if self._finite[id(optimizer)] else None

    def update(self, new_scale: float | Any | None = None) -> None:
        """Let the scale follow what was found since the last update, or set it."""
        if not self._enabled:
            return
        if new_scale is not None:
            scale = float(new_scale)
        elif not self._finite:
            raise self._error("has seen no gradients since the last update()", "Call step(optimizer) first")
        elif all(self._finite.values()):
            self._growth_tracker += 1
            scale = self._scale
            if self._growth_tracker == self._growth_interval:
                scale, self._growth_tracker = scale * self._growth_factor, 0
        else:
            scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        self._scale = scale
        self._finite, self._stepped = {}, set()

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 if it is not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale shrinks by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale shrinks by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The steps to a growth."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the steps to a growth."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale and its settings, as PyTorch has them; empty if it is not enabled."""
        if not self._enabled:
            return {}
        return {name: getattr(self, f"_{name.lstrip('_')}") for name in _SETTINGS}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, here or in PyTorch.

        Raises: CheckpointError for anything else; then nothing was changed.
        """
        if not self._enabled:
            return
        problem = _problem(state_dict)
        if problem:
            raise CheckpointError(f"cannot take a state: {problem}", subject=type(self).__name__)
        for name in _SETTINGS:
            setattr(self, f"_{name.lstrip('_')}", state_dict[name])

    def __repr__(self) -> str:
        if not self._enabled:
            return f"{type(self).__name__}(enabled=False)"
        return (
            f"{type(self).__name__}(scale={self._scale:g}, growth_factor={self._growth_factor:g}, "
            f"backoff_factor={self._backoff_factor:g}, growth_interval={self._growth_interval})"
        )

    def _error(self, problem: str, hint: str = "") -> ArgumentError:
        return ArgumentError(problem, subject=type(self).__name__, hint=hint)


def _problem(state: Any) -> str:
    """What is wrong with a state; empty if nothing is."""
    if not isinstance(state, dict) or not state:
        return "it is empty or no dict; was it saved by a scaler that is not enabled?"
    for name in _SETTINGS:
        if not is_number(state.get(name)):
            return f"expects {name} as a number, got {state.get(name)!r:.60}"
    if not state["scale"] > 0 or not state["growth_factor"] > 1 or not 0 < state["backoff_factor"] < 1:
        return (
            "expects scale > 0, growth_factor > 1 and backoff_factor in (0, 1), got "
            f"{state['scale']}, {state['growth_factor']} and {state['backoff_factor']}"
        )
    return "" if state["growth_interval"] >= 1 else "expects growth_interval >= 1"
