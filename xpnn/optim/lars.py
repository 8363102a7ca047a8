"""LARS, SGD with a rate of each layer in proportion to its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array
from xpnn.optim.optimizer import Optimizer, State
from xpnn.optim.sgd import SGD
from xpnn.optim.terms import norm, trust_ratio

__all__ = ["LARS"]


class LARS(SGD):
    r"""Layer-wise adaptive rate scaling: `SGD` on gradients as long as the parameter. For large batches.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`). Biases and normalisations are best
            put into a group with `trust_coefficient=None`, which leaves their gradients as they are.
        lr: the learning rate $\eta$, a float or 0-d array.
        momentum, dampening, nesterov, maximize: see `SGD`.
        weight_decay: $\lambda$ of an L2 penalty, added to the gradient before it is scaled.
        trust_coefficient: $\tau$, the length of a step of rate 1, in lengths of the parameter.
        eps: $\epsilon$, added to the divisor.

    $$g \leftarrow \frac{\tau \|\theta\|}{\|g\| + \lambda \|\theta\| + \epsilon}\,(g + \lambda\theta)$$

    with the norms of one parameter each, and no scaling where one of them is 0; then the step of `SGD`.

    Raises: ArgumentError for values outside of their domain.

    See: You, Gitman & Ginsburg (2017), "Large batch training of convolutional networks".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([2.0], requires_grad=True)
    >>> optimizer = LARS([x], lr=1.0, trust_coefficient=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> round(x.item(), 5)
    1.5
    """

    domains: ClassVar = {
        "trust_coefficient": ("trust_coefficient >= 0 or None", lambda value: value is None or value >= 0)
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        trust_coefficient: float | None = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        Optimizer.__init__(
            self,
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "trust_coefficient": trust_coefficient,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class, by that of `SGD`."""
        trust, decay = options["trust_coefficient"], options["weight_decay"]
        if trust is None:
            return super().update(param, grad, state, options)
        length, slope = norm(param), norm(grad)
        ratio = trust_ratio(trust * length, slope, decay * length + options["eps"])
        grad = -grad if options["maximize"] else grad
        grad = ratio * (grad + decay * param)
        return super().update(param, grad, state, options | {"maximize": False, "weight_decay": 0.0})
