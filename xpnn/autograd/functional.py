"""`xpnn.autograd.functional`: derivatives of functions, with the arguments of `torch.autograd.functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import gradients
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.gradients import grad
from xpnn.autograd.mode import enable_grad
from xpnn.backend import ArgumentError, GradientError, ShapeError, namespace, size_of

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All first derivatives; see `xpnn.jacobian`.

    Args:
        func, inputs, create_graph: see there.
        strict: raise where an output does not depend on an input, instead of giving zeros.
        vectorize: is accepted.
        strategy: "reverse-mode", a sweep for each element of the outputs, or "forward-mode", a product for
            each element of the inputs, which takes complex outputs as well.

    >>> from xpnn.autograd import tensor
    >>> jacobian(lambda x: x**2, tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    if strict:
        _expect_dependence(func, inputs, "jacobian")
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(
            f"expects strategy='reverse-mode' or 'forward-mode', got {strategy!r:.60}", subject="jacobian"
        )
    if strategy == "forward-mode":
        return gradients.forward_jacobian(func, inputs, create_graph)
    return gradients.jacobian(func, inputs, create_graph)


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, **options: Any
) -> Any:
    """All second derivatives of a scalar function; see `xpnn.hessian` and `jacobian`."""
    if strict:
        _expect_dependence(func, inputs, "hessian")
    return gradients.hessian(func, inputs, create_graph)


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Reverse mode: the outputs, and v^T J; see `xpnn.vjp`."""
    if strict:
        _expect_dependence(func, inputs, "vjp")
    return gradients.vjp(func, inputs, v, create_graph)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Forward mode: the outputs, and J v; see `xpnn.jvp`."""
    if strict:
        _expect_dependence(func, inputs, "jvp")
    return gradients.jvp(func, inputs, v, create_graph)


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a scalar function, and v^T H with its second derivatives H; H is symmetric, so also H v.

    >>> from xpnn.autograd import tensor
    >>> vhp(lambda x: (x**3).sum(), tensor([1.0, 2.0]), tensor([1.0, 0.0]))[1].tolist()
    [6.0, 0.0]
    """
    if strict:
        _expect_dependence(func, inputs, "vhp")

    def slope(*xs: Any) -> Any:
        output = func(*xs)
        if not isinstance(output, TensorBase) or size_of(output.shape) != 1:
            raise ShapeError("needs a function with one scalar output", subject="vhp")
        found: Any = (None,) * len(xs)
        if output.requires_grad:
            found = grad(output, xs, create_graph=True, allow_unused=True)
        return tuple(_zeros(x) if g is None else g for g, x in zip(found, xs))

    several = isinstance(inputs, tuple | list)
    points = tuple(inputs) if several else (inputs,)
    vectors = v if v is None or isinstance(v, tuple | list) else (v,)
    _, products = gradients.vjp(slope, points, vectors, create_graph)
    value = func(*points)
    value = value if create_graph else value.detach()
    return value, products if several else products[0]


hvp = vhp


def _expect_dependence(func: Callable, inputs: Any, subject: str) -> None:
    """Raise a GradientError if an output does not depend on an input."""
    points = inputs if isinstance(inputs, tuple | list) else (inputs,)
    with enable_grad():
        leaves = [new_tensor(x.array if isinstance(x, TensorBase) else x) for x in points]
        for leaf in leaves:
            leaf.requires_grad = True
        outputs = func(*leaves)
        for j, output in enumerate(outputs if isinstance(outputs, tuple | list) else (outputs,)):
            found: Any = (None,) * len(leaves)
            if output.requires_grad:
                found = grad(output.sum(), leaves, allow_unused=True, retain_graph=True)
            for i, gradient in enumerate(found):
                if gradient is None:
                    raise GradientError(
                        f"found that output {j} does not depend on input {i}",
                        subject=subject,
                        hint="strict=False gives zeros for it",
                    )


def _zeros(like: TensorBase) -> Any:
    return new_tensor(namespace(like.array).zeros_like(like.array))
