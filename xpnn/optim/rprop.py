"""Rprop, which goes by the signs of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State, elementwise

__all__ = ["Rprop"]


class Rprop(Optimizer):
    r"""Resilient propagation: a step size for each element, which grows while the gradient keeps its sign.

    It is meant for whole batches: the noise of small ones changes signs.

    Args:
        params: parameters, named parameters or groups (see `Optimizer`).
        lr: the first step size, a float or 0-d array.
        etas: $\eta^-, \eta^+$, the factors on a step size after a change of sign and without one.
        step_sizes: the bounds of step sizes.
        maximize: climb instead of descend.
        capturable, foreach, differentiable: see `Optimizer.check_way`.

    $$\delta \leftarrow \delta \cdot
    \begin{cases} \eta^+ & g g' > 0 \\ \eta^- & g g' < 0 \\ 1 & \text{else} \end{cases}, \quad
    \theta \leftarrow \theta - \delta\, \mathrm{sign}(g)$$

    with the gradient $g'$ of the step before, and $g = 0$ after a change of sign.

    Raises: ArgumentError for values outside of their domain.

    See: Riedmiller & Braun (1993), "A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> optimizer = Rprop([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [0.75]
    """

    never_negative = ("step", "step_size")
    domains: ClassVar = {
        "etas": ("etas with 0 < etas[0] < 1 < etas[1]", lambda etas: 0 < etas[0] < 1 < etas[1]),
        "step_sizes": (
            "step_sizes with 0 <= step_sizes[0] <= step_sizes[1]",
            lambda sizes: 0 <= sizes[0] <= sizes[1],
        ),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.check_way(foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def slots(self, group: Group) -> tuple[str, ...]:
        """The count of steps, the last gradient and the step sizes."""
        return "step", "prev", "step_size"

    def initial(self, slot: str, group: Group) -> Any:
        """Step sizes start at the learning rate."""
        return group["lr"] if slot == "step_size" else 0.0

    @elementwise
    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        xp = namespace(param)
        (shrink, grow), (low, high) = options["etas"], options["step_sizes"]
        if options["maximize"]:
            grad = -grad
        product = grad * state["prev"]
        turned = product < 0
        size = xp.where(turned, state["step_size"] * shrink, state["step_size"])
        size = xp.where(product > 0, state["step_size"] * grow, size)
        size = xp.clip(size, low, high)
        grad = xp.where(turned, xp.zeros_like(grad), grad)
        return param - xp.sign(grad) * size, {**state, "prev": grad, "step_size": size}
