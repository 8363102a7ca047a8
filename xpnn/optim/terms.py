"""Terms that the formulas of several optimizers share."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, namespace


def with_decay(param: Array, grad: Array, options: dict[str, Any]) -> tuple[Array, Array]:
    r"""The parameter and the gradient as `maximize`, `weight_decay` and `decoupled_weight_decay` want them.

    Decay is an L2 penalty $g + \lambda\theta$, or, where it is decoupled, $(1 - \eta\lambda)\,\theta$.
    """
    if options["maximize"]:
        grad = -grad
    decay = options["weight_decay"]
    if type(decay) in (int, float) and decay == 0:
        return param, grad
    if options.get("decoupled_weight_decay", False):
        return param * (1 - options["lr"] * decay), grad
    return param, grad + decay * param


def running_mean(mean: Array, value: Array, beta: Any) -> Array:
    """`beta mean + (1 - beta) value`; what is written in place is new here, so no argument changes."""
    change = value - mean
    change *= 1 - beta
    change += mean
    return change


def has_momentum(group: dict[str, Any]) -> bool:
    """Whether a direction is kept; a momentum that is an array is one that a schedule cycles."""
    momentum = group["momentum"]
    return not isinstance(momentum, (int, float)) or momentum != 0


def norm(array: Array) -> Array:
    """The Euclidean norm of all elements, 0-d."""
    xp = namespace(array)
    return xp.sqrt(xp.sum(array * array))


def trust_ratio(length: Array, step: Array, more: Any = 0.0) -> Array:
    """`length / (step + more)`, or 1 where length or step is 0: parameters of zeros have to move, too."""
    xp = namespace(length)
    usable = (length > 0) & (step > 0)
    return xp.where(usable, length / xp.where(usable, step + more, xp.ones_like(step)), xp.ones_like(length))
