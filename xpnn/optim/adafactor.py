"""Adafactor, whose second moments take the memory of a row and a column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State
from xpnn.optim.terms import norm, running_mean

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    r"""Adaptive steps with the second moment of a matrix as the product of a column and a row.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: $\eta$, the largest length of a step, in lengths of the parameter; a float or 0-d array.
        beta2_decay: $\gamma \le 0$: of each new square, $t^\gamma$ enters the means.
        eps: $\epsilon_1$, the least root of a second moment, by default the element type's rounding step,
            and $\epsilon_2$, the least length that the parameter is taken to have.
        d: at least 1, the largest root mean square of a step in units of the rate.
        weight_decay: $\lambda$, decoupled as in `AdamW`.
        foreach: see `Optimizer.check_way`.
        maximize: climb instead of descend.

    For a matrix, and each matrix of the last two axes, with the means $R$ of $g^2$ over the columns and $C$
    over the rows, which keep $1 - t^\gamma$ of their past,

    $$V = R C / \mathrm{mean}(R), \quad u = g / \sqrt{V}, \quad
    \theta \leftarrow (1 - \eta\lambda)\,\theta -
    \min(\eta, 1/\sqrt{t}) \max(\epsilon_2, \mathrm{rms}(\theta)) \frac{u}{\max(1, \mathrm{rms}(u) / d)}$$

    A parameter of fewer axes keeps the mean $V$ of its own shape.

    Raises: ArgumentError for values outside of their domain.

    See: Shazeer & Stern (2018), "Adafactor: adaptive learning rates with sublinear memory cost".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([[2.0]], requires_grad=True)
    >>> optimizer = Adafactor([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [[1.5]]
    """

    never_negative = ("step", "row_var", "col_var", "variance")
    domains: ClassVar = {
        "beta2_decay": ("beta2_decay <= 0", lambda decay: decay <= 0),
        "eps": (
            "eps as two numbers >= 0, the first of them or None",
            lambda eps: len(eps) == 2 and (eps[0] is None or eps[0] >= 0) and eps[1] >= 0,
        ),
        "d": ("d >= 1", lambda d: d >= 1),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        self.check_way(foreach)
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def slot_shapes(self, group: Group, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The count of steps and the second moments, of rows and columns where there are any."""
        if len(shape) < 2:
            return {"step": (), "variance": shape}
        return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        lr, count, (least, least_length) = options["lr"], state["step"], options["eps"]
        least = float(xp.finfo(param.dtype).eps) if least is None else least
        grad = -grad if options["maximize"] else grad
        kept = 1 - count ** options["beta2_decay"]
        squares = grad * grad
        if "variance" in state:
            variance = running_mean(state["variance"], squares, kept)
            state = {**state, "variance": variance}
        else:
            rows = running_mean(state["row_var"], _mean(squares, -1), kept)
            columns = running_mean(state["col_var"], _mean(squares, -2), kept)
            state = {**state, "row_var": rows, "col_var": columns}
            variance = rows * columns / _at_least(_mean(rows, -2), least)
        step = grad / xp.sqrt(_at_least(variance, least * least))

        slowest = 1 / xp.sqrt(count)
        rate = xp.where(slowest < lr, slowest, xp.ones_like(slowest) * lr)
        rate = rate * _at_least(_rms(param), least_length)
        rate = rate / _at_least(_rms(step) / options["d"], 1.0)
        return param * (1 - lr * options["weight_decay"]) - rate * step, state


def _mean(array: Array, axis: int) -> Array:
    """The mean along an axis, which stays; 0 where it has no elements."""
    xp = namespace(array)
    return xp.sum(array, axis=axis, keepdims=True) / max(array.shape[axis], 1)


def _rms(array: Array) -> Array:
    return norm(array) / max(math.prod(array.shape), 1) ** 0.5


def _at_least(array: Array, bound: Any) -> Array:
    xp = namespace(array)
    return xp.where(array < bound, xp.ones_like(array) * bound, array)
