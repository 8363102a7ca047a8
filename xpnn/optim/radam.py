"""RAdam, Adam that waits until it knows the variance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, is_array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["RAdam"]


class RAdam(Optimizer):
    r"""Rectified Adam: plain momentum until the running variance has seen enough steps to be divided by.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of each running mean is kept from step to step.
        eps: $\epsilon$, added to the divisor.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient.
        decoupled_weight_decay: shrink the parameter by $\eta\lambda$ instead, as AdamW does.
        maximize: climb instead of descend.
        foreach, capturable, differentiable: see `Optimizer.check_way`.

    $$\rho_\infty = \frac{2}{1 - \beta_2} - 1, \quad
    \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \quad
    \theta \leftarrow \theta - \eta \frac{m}{1 - \beta_1^t} \cdot
    \begin{cases}
    \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}}
    \frac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon} & \rho_t > 5 \\ 1 & \text{else} \end{cases}$$

    with the running means $m$ and $v$ of `Adam`.

    Raises: ArgumentError for values outside of their domain.

    See: Liu et al. (2020), "On the variance of the adaptive learning rate and beyond".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = RAdam([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.5]
    """

    never_negative = ("step", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps and the running means of the gradient and its square."""
        return "step", "exp_avg", "exp_avg_sq"

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        lr, (beta1, beta2), count = options["lr"], options["betas"], state["step"]
        param, grad = with_decay(param, grad, options)
        mean = running_mean(state["exp_avg"], grad, beta1)
        squares = running_mean(state["exp_avg_sq"], grad * grad, beta2)

        step = mean * (lr / bias_correction(beta1, count, param.dtype))
        longest = 2 / (1 - beta2) - 1
        if is_array(beta2) or longest > 5:
            length = _effective_length(beta2, count)
            is_rectified = length > 5
            length = xp.where(is_rectified, length, xp.ones_like(length) * 6)
            share = (length - 4) * (length - 2) / ((longest - 4) * (longest - 2)) * (longest / length)
            divisor = xp.sqrt(squares)
            divisor += options["eps"]
            divisor /= xp.sqrt(share * bias_correction(beta2, count, param.dtype))
            step /= xp.where(is_rectified, divisor, xp.ones_like(divisor))  # a compiled step cannot branch
        return param - step, {**state, "exp_avg": mean, "exp_avg_sq": squares}


def _effective_length(beta: Any, count: Array) -> Array:
    r"""$\rho_t$, the number of steps that a running mean has seen, less what it has forgotten of them.

    The difference of large numbers in its definition would leave few digits in float32. With
    $x = -t \ln\beta$ and $l = -\ln\beta$ it is

    $$\rho_t = \frac2l \left(1 - \frac{x}{e^x - 1}\right) + \left(\rho_\infty - \frac2l\right)$$

    of which the first bracket is $x/2 - x^2/12 + x^4/720 - x^6/30240 + x^8/1209600$ for small $x$.
    """
    xp = namespace(count)
    rate = -xp.log(xp.ones_like(count) * beta)
    x = count * rate
    square = x * x
    near = x / 2 - square * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
    far = 1 + x * xp.exp(-x) / xp.expm1(-x)
    rest = rate / 6 * (1 - rate**2 / 60 + rate**4 / 2520)
    return 2 / rate * xp.where(x < 0.1, near, far) + rest
