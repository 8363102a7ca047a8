"""Adam, and AdamW with its decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise
from xpnn.optim.terms import running_mean, with_decay

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    r"""Adam: steps scaled by running means of the gradient and of its square.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of each running mean is kept from step to step.
        eps: $\epsilon$, added to the divisor.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient (AdamW shrinks the parameter
            itself instead).
        amsgrad: divide by the largest second moment so far.
        maximize: climb instead of descend.
        foreach, fused, capturable, differentiable: see `Optimizer.check_way`.
        decoupled_weight_decay: be `AdamW`.

    $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
    \theta \leftarrow \theta - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}$$

    Raises: ArgumentError for values outside of their domain.

    See: Kingma & Ba (2015), "Adam: a method for stochastic optimization"; Reddi, Kale & Kumar (2018), "On
    the convergence of Adam and beyond".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    never_negative = ("step", "exp_avg_sq", "max_exp_avg_sq")
    kept_options = ("decoupled_weight_decay",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        self.check_way(foreach, fused, capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps and the running means of the gradient and its square."""
        slots = ("step", "exp_avg", "exp_avg_sq")
        return (*slots, "max_exp_avg_sq") if group["amsgrad"] else slots

    @elementwise(kernel="adam")
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        lr, (beta1, beta2) = options["lr"], options["betas"]
        param, grad = with_decay(param, grad, options)
        state = {
            **state,
            "exp_avg": running_mean(state["exp_avg"], grad, beta1),
            "exp_avg_sq": running_mean(state["exp_avg_sq"], grad * grad, beta2),
        }
        second_moment = state["exp_avg_sq"]
        if options["amsgrad"]:
            second_moment = xp.maximum(state["max_exp_avg_sq"], second_moment)
            state["max_exp_avg_sq"] = second_moment

        bias1 = bias_correction(beta1, state["step"], param.dtype)
        bias2 = bias_correction(beta2, state["step"], param.dtype)
        divisor = xp.sqrt(second_moment)
        divisor /= xp.sqrt(bias2)
        divisor += options["eps"]
        step = state["exp_avg"] / divisor
        step *= lr / bias1
        return param - step, state


class AdamW(Adam):
    r"""Adam with decoupled weight decay: the parameter shrinks by a factor, apart from the gradient.

    $$\theta \leftarrow (1 - \eta\lambda)\,\theta$$

    before each step of `Adam`, whose arguments it takes; `weight_decay` is 0.01 by default. It differs
    from an L2 penalty, which Adam's divisor would scale as it scales the gradient.

    See: Loshchilov & Hutter (2019), "Decoupled weight decay regularization".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([x], lr=0.5, weight_decay=0.5)
    >>> (x * 0).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
