"""Muon, which steps along orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from xpnn.backend import ArgumentError, Array, namespace
from xpnn.optim.optimizer import Group, Optimizer, State
from xpnn.optim.terms import norm, running_mean

__all__ = ["Muon"]


class Muon(Optimizer):
    r"""Momentum, orthogonalised: all singular values of a step are about 1. For matrices of hidden layers.

    Args:
        params: matrices, named ones or groups (see `Optimizer`). Embeddings, biases and the last layer are
            left to another optimizer.
        lr: the learning rate $\eta$, a float or 0-d array.
        weight_decay: $\lambda$, decoupled as in `AdamW`.
        momentum: $\mu$, how much of the running mean is kept from step to step.
        nesterov: look ahead along the mean.
        ns_coefficients: $a, b, c$ of the iteration.
        eps: the least norm that a step is divided by.
        ns_steps: the number of iterations, below 100.
        adjust_lr_fn: the factor on the rate of a matrix of $n$ rows and $m$ columns: `"original"` (None) has
            $\sqrt{\max(1, n / m)}$, `"match_rms_adamw"` has $0.2 \sqrt{\max(n, m)}$, which suits the rates
            of AdamW.

    $$b \leftarrow \mu b + (1 - \mu) g, \quad
    \theta \leftarrow (1 - \eta\lambda)\,\theta - \eta' O\big((1 - \mu) g + \mu b\big)$$

    where $O$ divides by the Frobenius norm and then iterates
    $X \leftarrow a X + (b\, X X^T + c\, (X X^T)^2) X$. This is computed in the parameter's own precision
    (PyTorch's is in bfloat16).

    Raises: ArgumentError for values outside of their domain, and for parameters that are no matrices.

    See: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"; Liu et al. (2025),
    "Muon is scalable for LLM training".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([[2.0]], requires_grad=True)
    >>> optimizer = Muon([x], lr=0.25, weight_decay=0.0, ns_coefficients=(1.5, -0.5, 0.0))
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [[1.75]]
    """

    domains: ClassVar = {
        "ns_coefficients": (
            "three finite ns_coefficients",
            lambda abc: len(abc) == 3 and all(map(math.isfinite, abc)),
        ),
        "ns_steps": ("ns_steps in [0, 99]", lambda steps: 0 <= steps < 100 and steps == int(steps)),
        "adjust_lr_fn": (
            "adjust_lr_fn='original', 'match_rms_adamw' or None",
            lambda name: name in (None, "original", "match_rms_adamw"),
        ),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def check_options(self, group: Group) -> None:
        """Raise ArgumentError for an option that is outside of its domain, or other parameters."""
        super().check_options(group)
        for name, param in zip(group["param_names"], group["params"]):
            if param.ndim != 2:
                raise ArgumentError(
                    f"expects matrices, '{name}' has the shape {tuple(param.shape)}",
                    subject="Muon",
                    hint="Give parameters of other shapes to another optimizer, such as AdamW",
                )

    def slots(self, group: Group) -> tuple[str, ...]:
        """The running mean of the gradient."""
        return ("momentum_buffer",)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula of the class."""
        lr, momentum = options["lr"], options["momentum"]
        mean = running_mean(state["momentum_buffer"], grad, momentum)
        step = running_mean(mean, grad, momentum) if options["nesterov"] else mean
        rows, columns = param.shape
        factor = math.sqrt(max(1, rows / max(columns, 1)))
        if options["adjust_lr_fn"] == "match_rms_adamw":
            factor = 0.2 * math.sqrt(max(rows, columns))
        step = _orthogonal(step, options["ns_coefficients"], options["ns_steps"], options["eps"])
        return param * (1 - lr * options["weight_decay"]) - lr * factor * step, {"momentum_buffer": mean}


def _orthogonal(matrix: Array, coefficients: tuple[float, float, float], steps: int, eps: float) -> Array:
    """The iteration of Newton and Schulz, on the smaller of the two products of the matrix with itself."""
    xp = namespace(matrix)
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    length = norm(x)
    x = x / xp.where(length < eps, xp.ones_like(length) * eps, length)
    for _ in range(steps):
        product = x @ x.T
        x = a * x + (b * product + c * (product @ product)) @ x
    return x.T if is_tall else x
