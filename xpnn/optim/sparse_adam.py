"""SparseAdam, Adam for those rows of a table that were looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.backend import Array, namespace
from xpnn.backend.update_kernels import bias_correction
from xpnn.optim.optimizer import Group, Optimizer, State
from xpnn.optim.terms import running_mean

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    r"""Adam that leaves a row of a parameter, and its moments, as they are where the row has no gradient.

    For embeddings, of which a batch looks up few rows: Adam would go on to move the others along their
    moments. PyTorch's takes sparse gradients, and steps in the rows that were looked up. Gradients are dense
    here: the rows are those with an element other than 0, so that a row is left out too that was looked up
    and got a gradient of zeros. A parameter with no axes, or with one, is a table of single elements.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the learning rate $\eta$, a float or 0-d array.
        betas: $\beta_1, \beta_2$, how much of both running means is kept from step to step.
        eps: $\epsilon$, added to the root of the mean square.
        maximize: climb instead of descend.

    $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
    \theta \leftarrow \theta - \eta\,\frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\,
    \frac{m}{\sqrt{v} + \epsilon}$$

    Raises: ArgumentError for values outside of their domain.

    See: Kingma & Ba (2015), "Adam: a method for stochastic optimization".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SparseAdam([x], lr=0.25)
    >>> x[0].backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([0.7500, 2.0000])
    """

    never_negative = ("step", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, and the running means of the gradient and of its square."""
        return "step", "exp_avg", "exp_avg_sq"

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp, step = namespace(param), state["step"]
        beta1, beta2 = options["betas"]
        seen = grad != 0
        if grad.ndim > 1:
            seen = xp.any(seen, axis=tuple(range(1, grad.ndim)), keepdims=True)
        if options["maximize"]:
            grad = -grad
        mean = xp.where(seen, running_mean(state["exp_avg"], grad, beta1), state["exp_avg"])
        square = xp.where(seen, running_mean(state["exp_avg_sq"], grad * grad, beta2), state["exp_avg_sq"])
        corrections = [bias_correction(beta, step, param.dtype) for beta in (beta1, beta2)]
        rate = options["lr"] * corrections[1] ** 0.5 / corrections[0]
        moved = param - rate * mean / (xp.sqrt(square) + options["eps"])
        return xp.where(seen, moved, param), {**state, "exp_avg": mean, "exp_avg_sq": square}
