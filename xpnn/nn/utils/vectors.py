"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn.autograd import Tensor, no_grad, xp
from xpnn.backend import ArgumentError, ShapeError, refusing

__all__ = ["parameters_to_vector", "vector_to_parameters"]


@refusing
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other; gradients go through.

    Raises: ArgumentError if there are none.

    >>> from xpnn import nn
    >>> parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    parts: list[Any] = [parameter.reshape(-1) for parameter in parameters]
    if not parts:
        raise ArgumentError("expects at least one parameter", subject="parameters_to_vector")
    return xp.concat(parts)


@refusing
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the elements of a vector to the parameters, in their order.

    Raises: ShapeError if the vector is too short, or no vector.

    >>> import xpnn
    >>> weight = xpnn.tensor([[1.0, 2.0]])
    >>> vector_to_parameters(xpnn.tensor([3.0, 4.0]), [weight])
    >>> weight.tolist()
    [[3.0, 4.0]]
    """
    targets = list(parameters)
    needed = sum(target.numel() for target in targets)
    if vec.ndim != 1 or vec.shape[0] < needed:
        raise ShapeError(
            f"expects a vector of {needed} elements, got {tuple(vec.shape)}", subject="vector_to_parameters"
        )
    start = 0
    with no_grad():
        for target in targets:
            target.copy_(vec[start : start + target.numel()].reshape(target.shape))
            start += target.numel()
