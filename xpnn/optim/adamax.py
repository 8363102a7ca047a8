"""Adamax, Adam by the largest gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["Adamax"]


class Adamax(Optimizer):
    r"""Adam with a decaying maximum of the gradient in place of its root mean square.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of the mean and of the maximum is kept from step to step.
        eps: $\epsilon$, added to the size of the gradient.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        maximize: climb instead of descend.
        foreach, differentiable, capturable: see `Optimizer.check_way`.

    $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad u \leftarrow \max(\beta_2 u, |g| + \epsilon), \quad
    \theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t}\,\frac{m}{u}$$

    Raises: ArgumentError for values outside of their domain.

    See: Kingma & Ba (2015), "Adam: a method for stochastic optimization", section 7.1.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Adamax([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    never_negative = ("step", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, the running mean of the gradient and its decaying maximum."""
        return "step", "exp_avg", "exp_inf"

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        beta1, beta2 = options["betas"]
        param, grad = with_decay(param, grad, options)
        mean = running_mean(state["exp_avg"], grad, beta1)
        size = xp.abs(grad)
        size += options["eps"]
        largest = xp.maximum(state["exp_inf"] * beta2, size)
        step = mean / largest
        step *= options["lr"] / bias_correction(beta1, state["step"], param.dtype)
        return param - step, {**state, "exp_avg": mean, "exp_inf": largest}
