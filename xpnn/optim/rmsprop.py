"""RMSprop, with momentum and centered if asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import has_momentum, running_mean, with_decay

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    r"""RMSprop: the gradient divided by its running root mean square.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        alpha: $\alpha$, how much of the running means is kept from step to step.
        eps: $\epsilon$, added to the divisor.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        momentum: $\mu$, the share of the last direction that is kept.
        centered: divide by the running standard deviation instead.
        maximize: climb instead of descend.
        capturable, foreach, differentiable: see `Optimizer.check_way`.

    $$v \leftarrow \alpha v + (1 - \alpha) g^2, \quad
    b \leftarrow \mu b + \frac{g}{\sqrt{v} + \epsilon}, \quad \theta \leftarrow \theta - \eta b$$

    and, centered, with $v - \bar g^2$ in place of $v$, where $\bar g$ is the running mean of the gradient.

    Raises: ArgumentError for values outside of their domain.

    See: Tieleman & Hinton (2012), "Lecture 6.5: RMSProp"; Graves (2013), "Generating sequences with
    recurrent neural networks" (centered).

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = RMSprop([x], lr=0.25, alpha=0.75)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.5]
    """

    never_negative = ("step", "square_avg")
    domains: ClassVar = {"alpha": ("alpha >= 0", lambda alpha: alpha >= 0)}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, the running mean of squares, and what momentum and centering need."""
        momentum = ("momentum_buffer",) if has_momentum(group) else ()
        return ("step", "square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        param, grad = with_decay(param, grad, options)
        squares = running_mean(state["square_avg"], grad * grad, options["alpha"])
        state, variance = {**state, "square_avg": squares}, squares
        if options["centered"]:
            mean = running_mean(state["grad_avg"], grad, options["alpha"])
            state["grad_avg"] = mean
            variance = squares - mean * mean
        divisor = namespace(param).sqrt(variance)
        divisor += options["eps"]
        step = grad / divisor
        if "momentum_buffer" in state:
            step += options["momentum"] * state["momentum_buffer"]
            state["momentum_buffer"] = step
        return param - options["lr"] * step, state
