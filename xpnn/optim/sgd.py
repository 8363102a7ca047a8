"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import ArgumentError, Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import has_momentum, with_decay

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if asked for.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        momentum: $\mu$, the share of the last direction that is kept.
        dampening: $\tau$, how much of each gradient but the first is left out of the direction.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        nesterov: look ahead along the direction.
        maximize: climb instead of descend.
        foreach, fused, differentiable: see `Optimizer.check_way`.

    $$g \leftarrow g + \lambda\theta, \quad b \leftarrow \mu b + (1 - \tau) g, \quad
    \theta \leftarrow \theta - \eta b$$

    with $\eta (g + \mu b)$ as Nesterov's step, and $\eta g$ where there is no momentum.

    Raises: ArgumentError for values outside of their domain.

    See: Sutskever, Martens, Dahl & Hinton (2013), "On the importance of initialization and momentum in
    deep learning".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self.check_way(foreach, fused, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check_options(self, group: Group) -> None:
        """Raise ArgumentError for an option that is outside of its domain."""
        super().check_options(group)
        if group["nesterov"] and (not has_momentum(group) or group["dampening"] != 0):
            raise ArgumentError(
                "with nesterov=True expects momentum > 0 and dampening=0, "
                f"got momentum={group['momentum']} and dampening={group['dampening']}",
                subject=type(self).__name__,
            )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The direction, and with dampening the count that tells the first step from the others."""
        if not has_momentum(group):
            return ()
        return ("momentum_buffer", "step") if group["dampening"] != 0 else ("momentum_buffer",)

    @elementwise(kernel="sgd")
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        param, grad = with_decay(param, grad, options)
        if not state:
            return param - options["lr"] * grad, state

        momentum = options["momentum"]
        direction = momentum * state["momentum_buffer"] + _undampened(grad, state, options)
        step = grad + momentum * direction if options["nesterov"] else direction
        return param - options["lr"] * step, {**state, "momentum_buffer": direction}


def _undampened(grad: Array, state: State, options: dict[str, Any]) -> Array:
    """The part of the gradient that enters the direction: all of it at the first step."""
    if "step" not in state:
        return grad
    later = namespace(grad).asarray(state["step"] > 1, dtype=grad.dtype)
    return (1 - options["dampening"] * later) * grad
