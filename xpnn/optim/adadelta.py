"""Adadelta, which finds the length of its steps by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    r"""Adadelta: steps in proportion to the running root mean square of the steps before.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: $\eta$, a factor on each step, a float or 0-d array.
        rho: $\rho$, how much of both running means is kept from step to step.
        eps: $\epsilon$, added to the means.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        maximize: climb instead of descend.
        foreach, capturable, differentiable: see `Optimizer.check_way`.

    $$v \leftarrow \rho v + (1 - \rho) g^2, \quad
    d = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\, g, \quad
    u \leftarrow \rho u + (1 - \rho) d^2, \quad \theta \leftarrow \theta - \eta d$$

    Raises: ArgumentError for values outside of their domain.

    See: Zeiler (2012), "ADADELTA: an adaptive learning rate method".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Adadelta([x], rho=0.75, eps=4.0)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    -0.7889
    """

    never_negative = ("step", "square_avg", "acc_delta")
    domains: ClassVar = {"rho": ("rho in [0, 1]", lambda rho: 0 <= rho <= 1)}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps and the running means of squared gradients and squared steps."""
        return "step", "square_avg", "acc_delta"

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        param, grad = with_decay(param, grad, options)
        squares = running_mean(state["square_avg"], grad * grad, options["rho"])
        ratio = state["acc_delta"] + options["eps"]
        ratio /= squares + options["eps"]
        step = xp.sqrt(ratio)
        step *= grad
        steps = running_mean(state["acc_delta"], step * step, options["rho"])
        step *= options["lr"]
        return param - step, {**state, "square_avg": squares, "acc_delta": steps}
