"""Averaged stochastic gradient descent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import with_decay

__all__ = ["ASGD"]


class ASGD(Optimizer):
    r"""Averaged stochastic gradient descent: a rate that goes down, and the mean of the parameters.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$ at the start, a float or 0-d array.
        lambd: $\kappa$, which decays the rate and the parameter.
        alpha: $\alpha$, the power of the rate's decay.
        t0: $t_0$, the step at which averaging begins.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        maximize: climb instead of descend.
        foreach, differentiable, capturable: see `Optimizer.check_way`.

    $$\theta \leftarrow (1 - \kappa\eta_t)\,\theta - \eta_t g, \quad
    \bar\theta \leftarrow \bar\theta + \mu_t (\theta - \bar\theta), \quad
    \eta_{t+1} = \frac{\eta}{(1 + \kappa\eta t)^\alpha}, \quad \mu_{t+1} = \frac{1}{\max(1, t - t_0)}$$

    The mean $\bar\theta$ is `optimizer.state[name]["ax"]`.

    Raises: ArgumentError for values outside of their domain.

    See: Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = ASGD([x], lr=0.25, lambd=0.0)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.5]
    """

    scalars = ("step", "eta", "mu")
    never_negative = ("step", "eta", "mu")
    domains: ClassVar = {
        name: (f"{name} as a finite number", math.isfinite) for name in ("lambd", "alpha", "t0")
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, the next step's rate and share of the mean, and the mean."""
        return "step", "eta", "mu", "ax"

    def initial(self, slot: str, group: Group) -> Any:
        """The first rate is the learning rate, and the first mean the parameter."""
        return {"eta": group["lr"], "mu": 1.0}.get(slot, 0.0)

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        lr, step, eta = options["lr"], state["step"], state["eta"]
        param, grad = with_decay(param, grad, options)
        param = param * (1 - options["lambd"] * eta)
        param -= eta * grad
        # Where the share is 1 the mean is the parameter, whatever it was before.
        share = state["mu"]
        mean = xp.where(share == 1, xp.zeros_like(param), state["ax"])
        mean += share * (param - mean)
        return param, {
            "step": step,
            "eta": lr / (1 + options["lambd"] * lr * step) ** options["alpha"],
            "mu": 1 / xp.where(step - options["t0"] > 1, step - options["t0"], xp.ones_like(step)),
            "ax": mean,
        }
