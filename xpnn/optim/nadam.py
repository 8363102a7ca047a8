"""NAdam, Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["NAdam"]


class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum, which warms up.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of each running mean is kept from step to step.
        eps: $\epsilon$, added to the divisor.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        momentum_decay: $\psi$, the speed of the momentum's warm-up.
        decoupled_weight_decay: shrink the parameter by $\eta\lambda$ instead, as AdamW does.
        maximize: climb instead of descend.
        foreach, capturable, differentiable: see `Optimizer.check_way`.

    $$\mu_t = \beta_1 \left(1 - \tfrac12\, 0.96^{t\psi}\right), \quad
    \theta \leftarrow \theta - \eta \left(
    \frac{(1 - \mu_t)\, g}{1 - \prod_{i \le t} \mu_i} +
    \frac{\mu_{t+1}\, m}{1 - \prod_{i \le t+1} \mu_i}\right)
    \Big/ \left(\sqrt{v / (1 - \beta_2^t)} + \epsilon\right)$$

    with the running means $m$ and $v$ of `Adam`.

    Raises: ArgumentError for values outside of their domain.

    See: Dozat (2016), "Incorporating Nesterov momentum into Adam".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = NAdam([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> round(x.item(), 3)
    0.736
    """

    scalars = ("step", "mu_product")
    never_negative = ("step", "mu_product", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, the product of all momenta, and the running means."""
        return "step", "mu_product", "exp_avg", "exp_avg_sq"

    def initial(self, slot: str, group: Group) -> Any:
        """The product starts with no factors."""
        return 1.0 if slot == "mu_product" else 0.0

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        lr, (beta1, beta2), count = options["lr"], options["betas"], state["step"]
        param, grad = with_decay(param, grad, options)
        mean = running_mean(state["exp_avg"], grad, beta1)
        squares = running_mean(state["exp_avg_sq"], grad * grad, beta2)

        momentum, following = (
            beta1 * (1 - 0.5 * 0.96 ** (number * options["momentum_decay"])) for number in (count, count + 1)
        )
        product = state["mu_product"] * momentum
        divisor = xp.sqrt(squares)
        divisor /= xp.sqrt(bias_correction(beta2, count, param.dtype))
        divisor += options["eps"]
        step = grad * (lr * (1 - momentum) / (1 - product))
        step += mean * (lr * following / (1 - product * following))
        step /= divisor
        return param - step, {
            "step": count,
            "mu_product": product,
            "exp_avg": mean,
            "exp_avg_sq": squares,
        }
