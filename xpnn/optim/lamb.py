"""LAMB, Adam with a step of each layer in proportion to its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State
from xpnn.optim.terms import norm, running_mean, trust_ratio

__all__ = ["LAMB"]


class LAMB(Optimizer):
    r"""Layer-wise adaptive moments: `AdamW`'s direction, as long as the parameter itself. For large batches.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of each running mean is kept from step to step.
        eps: $\epsilon$, added to the divisor.
        weight_decay: $\lambda$, the share of the parameter in the direction.
        maximize: climb instead of descend.

    $$r = \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda\theta, \quad
    \theta \leftarrow \theta - \eta \frac{\|\theta\|}{\|r\|}\, r$$

    with the running means $m$ and $v$ of `Adam`, and the norms of one parameter each. Where one of them is 0,
    their ratio is 1.

    Raises: ArgumentError for values outside of their domain.

    See: You et al. (2020), "Large batch optimization for deep learning: training BERT in 76 minutes".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([2.0], requires_grad=True)
    >>> optimizer = LAMB([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [1.5]
    """

    never_negative = ("step", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps and the running means of the gradient and its square."""
        return "step", "exp_avg", "exp_avg_sq"

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        (beta1, beta2), count = options["betas"], state["step"]
        grad = -grad if options["maximize"] else grad
        mean = running_mean(state["exp_avg"], grad, beta1)
        squares = running_mean(state["exp_avg_sq"], grad * grad, beta2)
        divisor = xp.sqrt(squares / bias_correction(beta2, count, param.dtype)) + options["eps"]
        direction = mean / bias_correction(beta1, count, param.dtype) / divisor
        direction = direction + options["weight_decay"] * param
        ratio = trust_ratio(norm(param), norm(direction))
        return param - options["lr"] * ratio * direction, {
            **state,
            "exp_avg": mean,
            "exp_avg_sq": squares,
        }
