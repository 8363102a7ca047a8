"""Adagrad, whose steps shrink with the squares of all gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import with_decay

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    r"""Adagrad: each element's rate is divided by the root of the sum of its squared gradients.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        lr_decay: $\kappa$, by which the rate goes down from step to step.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        initial_accumulator_value: what the sum $s$ of squares starts with.
        eps: $\epsilon$, added to the divisor.
        maximize: climb instead of descend.
        foreach, differentiable, fused: see `Optimizer.check_way`.

    $$s \leftarrow s + g^2, \quad
    \theta \leftarrow \theta - \frac{\eta}{1 + (t - 1)\kappa}\,\frac{g}{\sqrt{s} + \epsilon}$$

    Raises: ArgumentError for values outside of their domain.

    See: Duchi, Hazan & Singer (2011), "Adaptive subgradient methods for online learning and stochastic
    optimization".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Adagrad([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    never_negative = ("step", "sum")
    domains: ClassVar = {
        "initial_accumulator_value": ("initial_accumulator_value >= 0", lambda value: value >= 0)
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self.check_way(foreach, fused, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps and the sum of squared gradients."""
        return "step", "sum"

    def initial(self, slot: str, group: Group) -> Any:
        """A sum starts where the user wants it."""
        return group["initial_accumulator_value"] if slot == "sum" else 0.0

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        param, grad = with_decay(param, grad, options)
        total = state["sum"] + grad * grad
        divisor = namespace(param).sqrt(total)
        divisor += options["eps"]
        step = grad / divisor
        step *= options["lr"] / (1 + (state["step"] - 1) * options["lr_decay"])
        return param - step, {**state, "sum": total}
