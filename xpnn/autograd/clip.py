"""Gradient clipping, by the norm of all gradients together and by value; optim and nn.utils export it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from xpnn.autograd.tensor import Tensor
from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    Array,
    DTypeError,
    asarray,
    backend_of,
    choose,
    find_kernels,
    is_complex,
    is_half,
    item,
    kernels_enabled,
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
    norm = _fastest("norm_of_all", _norm_of_all, arrays, norm_type)(arrays, norm_type)
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
    factor = namespace(norm).clip(max_norm / (norm + 1e-6), max=1.0)
    clipped = _fastest("scaled", _scaled, gradients, factor)(gradients, factor)
    for param, before, after in zip(params, gradients, clipped):
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
        clipped = xp.clip(_widened(gradient), -clip_value, clip_value)
        param.grad = Tensor(_array(xp.astype(clipped, gradient.dtype, copy=False)))


def _with_gradient(parameters: Tensor | Iterable[Tensor]) -> dict[Tensor, Array]:
    """The gradient of each parameter that has one."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return {param: param.grad.array for param in parameters if param.grad is not None}


def _fastest(
    name: str, reference: Callable[..., Any], gradients: list[Array], value: Any
) -> Callable[..., Any]:
    """The backend's own version of a function of several arrays and a value, or the reference."""
    if kernels_enabled():
        kernel = choose(find_kernels(backend_of(gradients[0]), name), (gradients, value), {})
        if kernel is not None:
            return kernel.forward
    return reference


def _norm_of_all(gradients: list[Array], order: float) -> Array:
    """The norm of all elements of all arrays, in the element type of the first; float32 for half."""
    xp, gradients = namespace(gradients[0]), [_widened(_absolute(g)) for g in gradients]
    if order == math.inf:
        parts = [xp.max(xp.abs(g)) if 0 not in g.shape else xp.sum(g) for g in gradients]
    elif order == 2:
        parts = [xp.sum(g * g) for g in gradients]
    else:
        parts = [xp.sum(xp.abs(g) ** order) for g in gradients]
    parts = xp.stack([xp.asarray(part, dtype=gradients[0].dtype) for part in parts])
    if order == math.inf:
        return _array(xp.max(parts))
    total = xp.sum(parts)
    return _array(xp.sqrt(total) if order == 2 else total ** (1 / order))


def _scaled(gradients: list[Array], factor: Array) -> list[Array]:
    """The product of each array and the factor."""
    xp = namespace(factor)
    scaled = []
    for gradient in gradients:
        wide = _widened(gradient)
        product = wide * xp.asarray(factor, dtype=wide.dtype)
        scaled.append(_array(xp.astype(product, gradient.dtype, copy=False)))
    return scaled


def _absolute(array: Array) -> Array:
    """The absolute values of complex numbers; real ones as they are."""
    return namespace(array).abs(array) if is_complex(array) else array


def _widened(array: Array) -> Array:
    """In float32 if it is of half precision."""
    return namespace(array).astype(array, namespace(array).float32) if is_half(array) else array


def _array(value: Array) -> Array:
    """A 0-d result as an array, where the library gives a scalar."""
    as_array = backend_of(value).as_array
    return value if as_array is None else as_array(value)
