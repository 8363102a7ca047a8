"""Gradient clipping, by the norm of all gradients together and by value; optim and nn.utils export it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from xpnn.autograd.all_gradients import as_array, norm_of_all, scaled_to_norm, widened
from xpnn.autograd.tensor import Tensor
from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    Array,
    DTypeError,
    asarray,
    is_complex,
    item,
    namespace,
    refusing,
)

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


@refusing
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    r"""Scale all gradients by one factor so that their norm, taken together, is at most `max_norm`.

    Args:
        parameters: Tensors; those without a gradient are passed over.
        max_norm: the largest norm $c$ that is left as it is, a float or 0-d array.
        norm_type: $p \ge 1$ or `math.inf`.
        error_if_nonfinite: raise if the norm is NaN or infinite. This reads the norm on the host; nothing
            else here does.
        foreach: is taken for PyTorch's sake and changes nothing.

    $$g_i \leftarrow g_i \min\!\left(1, \frac{c}{\|g\|_p + 10^{-6}}\right), \quad
    \|g\|_p = \Big(\sum_{i,j} |g_{ij}|^p\Big)^{1/p}$$

    Returns: the norm before clipping, a 0-d Tensor; of gradients in half precision it is in float32.

    Raises: ArgumentError for a norm below 1; AnomalyError see `error_if_nonfinite`.

    See: Pascanu, Mikolov & Bengio (2013), "On the difficulty of training recurrent neural networks".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grad_norm_([x], max_norm=1.0), x.grad
    (tensor(10.), tensor([0.6000, 0.8000]))
    """
    params = _with_gradient(parameters)
    total = _total_norm(list(params.values()), norm_type, error_if_nonfinite, "clip_grad_norm_")
    _scale_down(params, max_norm, total)
    return Tensor(total)


@refusing
def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The old name of `clip_grad_norm_`; warns."""
    warnings.warn("clip_grad_norm is the old name of clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


@refusing
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of some Tensors together, such as of gradients; see `clip_grad_norm_`.

    >>> from xpnn.autograd import tensor
    >>> get_total_norm([tensor([3.0]), tensor([4.0])]).tolist()
    5.0
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else tensors
    arrays = [tensor.array for tensor in tensors]
    return Tensor(_total_norm(arrays, norm_type, error_if_nonfinite, "get_total_norm"))


@refusing
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients as `clip_grad_norm_` does, by a norm that is known already.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grads_with_norm_(x, 5.0, tensor(10.0))
    >>> [round(g, 4) for g in x.grad.tolist()]
    [3.0, 4.0]
    """
    params = _with_gradient(parameters)
    _scale_down(params, max_norm, total_norm.array if isinstance(total_norm, Tensor) else asarray(total_norm))


def _total_norm(arrays: list[Array], norm_type: float, error_if_nonfinite: bool, subject: str) -> Array:
    if not norm_type >= 1:
        raise ArgumentError(f"expects norm_type >= 1 or inf, got {norm_type}", subject=subject)
    if not arrays:
        return asarray(0.0)
    norm = norm_of_all(arrays, norm_type)
    if error_if_nonfinite and not math.isfinite(item(norm)):
        raise AnomalyError(
            f"finds a gradient norm of {item(norm)}",
            subject=subject,
            hint="Look for its origin with xpnn.detect_anomaly(), or leave error_if_nonfinite=False",
        )
    return norm


def _scale_down(params: dict[Tensor, Array], max_norm: float, norm: Array) -> None:
    if not params:
        return
    gradients = list(params.values())
    for param, before, after in zip(params, gradients, scaled_to_norm(gradients, norm, max_norm)):
        if after is not before:
            param.grad = Tensor(after)


@refusing
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit each element of each gradient to [-clip_value, clip_value]; `foreach` changes nothing.

    Raises: ArgumentError for a negative clip_value; DTypeError for complex gradients.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([3.0, 0.125], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> clip_grad_value_([x], 1.0)
    >>> x.grad
    tensor([1.0000, 0.2500])
    """
    if not clip_value >= 0:
        raise ArgumentError(f"expects clip_value >= 0, got {clip_value}", subject="clip_grad_value_")
    for param, gradient in _with_gradient(parameters).items():
        xp = namespace(gradient)
        if is_complex(gradient):
            raise DTypeError(
                "has no meaning for complex gradients", subject="clip_grad_value_", hint="Use clip_grad_norm_"
            )
        clipped = xp.clip(widened(gradient), -clip_value, clip_value)
        param.grad = Tensor(as_array(xp.astype(clipped, gradient.dtype, copy=False)))


def _with_gradient(parameters: Tensor | Iterable[Tensor]) -> dict[Tensor, Array]:
    """The gradient of each parameter that has one."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return {param: param.grad.array for param in parameters if param.grad is not None}
