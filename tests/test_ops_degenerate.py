"""Where derivatives are delicate: zeros, ties, bounds, equal values, mixed types, and what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

from xpnn.autograd import Tensor, grad, hessian, ops
from xpnn.backend import DTypeError, GradientError, ShapeError, dtype_name
from xpnn.testing import assert_close, gradcheck, gradgradcheck

FIRST = {
    "maximum of equals": (lambda xp, x: xp.maximum(x, 1.0), [1.0, 2.0, 0.0], [0.5, 1.0, 0.0]),
    "minimum of equals": (lambda xp, x: xp.minimum(1.0, x), [1.0, 2.0, 0.0], [0.5, 0.0, 1.0]),
    "max with ties": (lambda xp, x: xp.max(x), [3.0, 1.0, 3.0], [0.5, 0.0, 0.5]),
    "min with ties": (lambda xp, x: xp.min(x), [1.0, 1.0, 1.0], [1 / 3, 1 / 3, 1 / 3]),
    "abs at 0": (lambda xp, x: xp.abs(x), [0.0, -2.0], [0.0, -1.0]),
    "clip on the bound": (lambda xp, x: xp.clip(x, 0.0, 1.0), [0.0, 1.0, 2.0], [1.0, 1.0, 0.0]),
    "square at 0": (lambda xp, x: x**2, [0.0, 1.0], [0.0, 2.0]),
    "power 1 at 0": (lambda xp, x: x**1, [0.0, 1.0], [1.0, 1.0]),
    "power 0 at 0": (lambda xp, x: x**0, [0.0, 1.0], [0.0, 0.0]),
    "array power at 0": (lambda xp, x: x ** xp.asarray([2.0, 1.0, 0.0], dtype=x.dtype), [0.0] * 3, [0, 1, 0]),
    "power of number 0": (lambda xp, x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
    "std of equals": (lambda xp, x: xp.std(x), [2.0, 2.0], [0.0, 0.0]),
    "norm of zeros": (lambda xp, x: xp.linalg.vector_norm(x), [0.0, 0.0], [0.0, 0.0]),
    "1-norm at 0": (lambda xp, x: xp.linalg.vector_norm(x, ord=1), [0.0, -3.0], [0.0, -1.0]),
    "half norm at 0": (lambda xp, x: xp.linalg.vector_norm(x, ord=0.5), [0.0, 4.0], [0.0, 1.0]),
    "product with one zero": (lambda xp, x: xp.prod(x), [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    "product with two zeros": (lambda xp, x: xp.prod(x), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "cumulative product": (lambda xp, x: xp.cumulative_prod(x), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    "sort of equals": (lambda xp, x: xp.sort(x)[:1], [1.0, 1.0], [1.0, 0.0]),
    "where of a pole": (
        lambda xp, x: xp.where(x > 0, xp.log(xp.where(x > 0, x, 1.0)), 0.0),
        [0.0, 2.0],
        [0, 0.5],
    ),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_order(name: str, backend: Target) -> None:
    function, at, expected = FIRST[name]
    x = Tensor(backend.array(np.array(at)), requires_grad=True)
    (g,) = grad(ops.sum(function(x.__array_namespace__(), x)), x)
    assert_close(backend.numpy(g), np.array(expected, dtype=float))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.prod(x),
        lambda x: ops.prod(x, axis=0),
        lambda x: ops.cumulative_prod(x, axis=1),
        lambda x: ops.pow(x, 3),
        lambda x: ops.pow(x, 2.0) * ops.pow(x, 1),
    ],
    ids=["prod", "prod axis", "cumulative_prod", "cube", "square"],
)
def test_second_order_at_zeros(function: Callable) -> None:
    x = np.array([[0.0, 2.0, 0.0], [1.5, 0.0, -1.0]])
    gradcheck(function, x)
    gradgradcheck(function, x)


def test_hessian_of_a_product_with_two_zeros(backend: Target) -> None:
    """d2 (x y z) / dx dy = z at x = y = 0."""
    found = hessian(ops.prod, Tensor(backend.array(np.array([0.0, 0.0, 3.0]))))
    assert found.tolist() == [[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_mixed_second_derivative_of_pow(backend: Target) -> None:
    """d2 (x^p) / dx dp = x^(p - 1) (1 + p log x), also at p = 0."""
    x = Tensor(backend.array(np.array([2.0, 2.0])), requires_grad=True)
    p = Tensor(backend.array(np.array([0.0, 3.0])), requires_grad=True)
    (gx,) = grad(ops.sum(x**p), x, create_graph=True)
    (gp,) = grad(ops.sum(gx), p)
    assert_close(backend.numpy(gp), np.array([0.5, 4 * (1 + 3 * math.log(2))]))


def test_gradients_have_the_type_of_their_inputs() -> None:
    """float32 meets float64: each gets a gradient of its own type and shape."""
    for name in ("add", "multiply", "divide", "matmul", "maximum", "atan2"):
        x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
        y = Tensor(np.full((2, 2), 2.0), requires_grad=True)
        gx, gy = grad(ops.sum(getattr(ops, name)(x, y)), (x, y))
        assert (dtype_name(gx.dtype), dtype_name(gy.dtype)) == ("float32", "float64"), name
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    y = ops.concat([x, Tensor(np.ones((1, 2)), requires_grad=True)])
    assert dtype_name(grad(ops.sum(y), x)[0].dtype) == "float32"
    assert dtype_name(grad(ops.sum(x, dtype=np.float64), x)[0].dtype) == "float32"


@pytest.mark.parametrize("scalar", [2, 2.0, np.float64(2.0), np.float32(2.0)], ids=repr)
def test_scalars_do_not_widen(scalar: Any, backend: Target) -> None:
    x = Tensor(backend.array(np.ones(2, np.float32)), requires_grad=True)
    results = [x + scalar, scalar * x, x / scalar, scalar - x, x**scalar, scalar**x, x % scalar, x // scalar]
    results += [
        ops.maximum(x, scalar),
        ops.atan2(x, scalar),
        ops.where(x > 0, x, scalar),
        ops.clip(x, scalar),
    ]
    for y in results:
        assert dtype_name(y.dtype) == "float32"
        assert dtype_name(grad(ops.sum(y), x)[0].dtype) == "float32"


def test_nothing_is_kept_without_need() -> None:
    """The tape keeps an operand only if another operand's gradient uses it."""
    a, b = np.ones(3), np.ones(3)
    x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)

    def kept(result: Tensor) -> list[np.ndarray]:
        return [value for value in result.grad_fn.saved if isinstance(value, np.ndarray)]

    assert kept(x + y) == []
    assert kept(x * 2.0) == []
    assert kept(2.0 / x) != []
    assert any(value is b for value in kept(x / y))
    assert all(value is a or value is b for value in kept(x * y))
    assert kept(ops.sum(x)) == []
    assert kept(ops.reshape(x, (3, 1))) == []
    exponential = ops.exp(x)
    assert [value is exponential.array for value in kept(exponential)] == [True]


def test_equal_eigenvalues_have_a_gradient_of_their_own() -> None:
    """The vectors of equal eigenvalues have no derivative, their values do."""
    x = Tensor(np.eye(3), requires_grad=True)
    (g,) = grad(ops.sum(ops.eigh(x).eigenvalues), x)
    assert_close(g.numpy(), np.eye(3))
    (g,) = grad(ops.sum(ops.svdvals(x)), x)
    assert_close(g.numpy(), np.eye(3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.svd(x).U,
        lambda x: ops.qr(x, mode="complete").Q,
        lambda x: x.__array_namespace__().nextafter(x, x * 2),
        lambda x: x.__array_namespace__().unique_values(x),
    ],
    ids=["full svd", "complete qr", "nextafter", "unique_values"],
)
def test_no_rule(function: Callable) -> None:
    """What has no rule computes, and says so when a gradient is asked for."""
    x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    y = function(x)
    with pytest.raises(GradientError, match=r"has no gradient rule"):
        y.sum().backward()
    assert function(x.detach()).shape == y.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.matmul(x, x[0, 0]), ShapeError, "matmul expects arrays of at least one axis"),
        (lambda x: ops.vecdot(x, x[:, :1]), ShapeError, "vecdot expects vectors of one length, got 3 and 1"),
        (
            lambda x: ops.tensordot(x, x, axes=1),
            ShapeError,
            r"tensordot expects axes of equal sizes, got \[3\]",
        ),
        (lambda x: ops.cross(x[:, :2], x), ShapeError, "cross expects vectors of length 3, got 2 and 3"),
        (
            lambda x: ops.take(x, np.array([0])),
            ShapeError,
            r"take needs an axis for an array of shape \(2, 3\)",
        ),
        (lambda x: ops.matrix_norm(x, ord=3), ValueError, "matrix_norm expects ord 'fro'"),
        (lambda x: ops.qr(x, mode="raw"), ValueError, "qr expects mode 'reduced' or 'complete', got 'raw'"),
        (lambda x: ops.exp("x"), DTypeError, "exp expects an array, got str"),
    ],
)
def test_errors(call: Callable, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(np.ones((2, 3))))
