"""Lion, which steps by the sign of a momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["Lion"]


class Lion(Optimizer):
    r"""Evolved sign momentum: all elements step by the same length, and only one mean is kept.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array; 3 to 10 times smaller than AdamW's.
        betas: $\beta_1$, the share of the mean in a step, and $\beta_2$, how much of it is kept.
        weight_decay: $\lambda$, decoupled as in `AdamW`; 3 to 10 times larger than there.
        maximize: climb instead of descend.

    $$\theta \leftarrow (1 - \eta\lambda)\,\theta - \eta\, \mathrm{sign}(\beta_1 m + (1 - \beta_1) g), \quad
    m \leftarrow \beta_2 m + (1 - \beta_2) g$$

    Raises: ArgumentError for values outside of their domain.

    See: Chen et al. (2023), "Symbolic discovery of optimization algorithms".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Lion([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The running mean of the gradient."""
        return ("exp_avg",)

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        lr, (beta1, beta2) = options["lr"], options["betas"]
        param, grad = with_decay(param, grad, options | {"decoupled_weight_decay": True})
        step = namespace(param).sign(running_mean(state["exp_avg"], grad, beta1))
        step *= lr
        return param - step, {"exp_avg": running_mean(state["exp_avg"], grad, beta2)}
