"""gradcheck and its companions: they let right gradients pass and find each kind of wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, DTypeError, GradientError, ShapeError, backend_of, namespace
from xpnn.testing import assert_close, gradcheck, gradgradcheck, numerical_gradient, numerical_jacobian

POINT = np.asarray([[1.0, -2.0], [0.5, 3.0]])


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_gradients_pass(backend: Target, fast_mode: bool) -> None:
    def function(x: Any, y: Any, n: int) -> Any:
        return x * y**n, (x * x).sum()

    x, y = backend.array(POINT), backend.array(POINT[0])
    assert gradcheck(function, (x, y, 3), fast_mode=fast_mode)
    assert gradgradcheck(function, (x, y, 3), fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_wrong_factor(backend: Target, fast_mode: bool) -> None:
    x = backend.array(POINT)
    message = (
        r"gradient of output 0 with respect to input 1 wrong at input position \(1, 1\), output position "
        r"\(1, 1\): analytical 9, numerical (6|6\.0\d+|5\.9\d+)\. This is the worst of 4 among 16 elements"
    )
    with pytest.raises(GradientError, match=message):
        gradcheck(lambda x, y: square_wrongly(y), (x, x), fast_mode=fast_mode)
    assert not gradcheck(square_wrongly, x, raise_exception=False, fast_mode=fast_mode)


def test_second_derivative_cut_off() -> None:
    """A residual taken for a constant: the first derivative is right, the second one lost."""
    assert gradcheck(cube_once, POINT)
    with pytest.raises(GradientError, match="wrong at input position"):
        gradgradcheck(cube_once, POINT)


def test_gradient_that_depends_on_needs() -> None:
    with pytest.raises(
        GradientError, match=r"another gradient for input 0 when only the inputs \(0\) require one"
    ):
        gradcheck(multiply_forgetfully, (POINT, POINT))
    assert gradcheck(multiply_forgetfully, (POINT, POINT), check_subsets=False)


def test_gradient_that_changes_from_sweep_to_sweep() -> None:
    with pytest.raises(GradientError, match="two sweeps give different gradients for input 0"):
        gradcheck(multiply_moodily, POINT)
    assert gradcheck(multiply_moodily, POINT, nondet_tol=1e-3)


def test_function_that_writes_into_its_input() -> None:
    with pytest.raises(GradientError, match="input 0 changed"):
        gradcheck(negate_in_place, POINT)


def test_only_tensors_that_require_a_gradient_are_checked() -> None:
    constant, variable = Tensor(POINT), Tensor(POINT, requires_grad=True)
    assert gradcheck(lambda x, y: square_wrongly(x) * y, (constant, variable))
    with pytest.raises(GradientError, match="input 0 wrong"):
        gradcheck(lambda x, y: square_wrongly(x) * y, (variable, constant))


def test_single_precision_is_refused() -> None:
    with pytest.raises(
        DTypeError, match=r"expects input 0 in float64, got float32.*asarray\(x, dtype='float64'\)"
    ):
        gradcheck(lambda x: x * x, POINT.astype(np.float32))


def test_nothing_to_check() -> None:
    with pytest.raises(GradientError, match="needs an input that requires a gradient, got none"):
        gradcheck(lambda x: x, np.asarray([1, 2]))
    with pytest.raises(GradientError, match="no output that depends on the inputs"):
        gradcheck(lambda x: x.detach(), POINT)
    with pytest.raises(ArgumentError, match="expects 1 grad_outputs, one per differentiable output, got 2"):
        gradgradcheck(lambda x: x * x, POINT, (POINT, POINT))


def test_numerical_gradient(backend: Target) -> None:
    x = backend.array(POINT)
    gradient = numerical_gradient(lambda x: namespace(x).sum(x**3), x)
    assert backend_of(gradient) is backend_of(x)
    assert_close(gradient, 3 * POINT**2, rtol=1e-8)
    assert_close(numerical_gradient(lambda x: (x**3).sum(), Tensor(x)), 3 * POINT**2, rtol=1e-8)


def test_the_central_difference_converges_faster() -> None:
    errors = {
        method: [
            np.abs(
                numerical_gradient(lambda x: np.exp(x).sum(), POINT, eps=eps, method=method) - np.exp(POINT)
            ).max()
            for eps in (1e-2, 1e-3)
        ]
        for method in ("forward", "central")
    }
    orders = {method: np.log10(coarse / fine) for method, (coarse, fine) in errors.items()}
    assert orders["forward"] == pytest.approx(1, abs=0.05)
    assert orders["central"] == pytest.approx(2, abs=0.05)
    with pytest.raises(ArgumentError, match="expects method to be one of"):
        numerical_gradient(lambda x: x.sum(), POINT, method="backward")


def test_numerical_jacobian(backend: Target) -> None:
    x = backend.array(POINT)
    jacobian = backend.numpy(numerical_jacobian(lambda x: x[0, :] * x[1, :], x))
    expected = np.zeros((2, 2, 2))
    expected[[0, 1], 0, [0, 1]] = POINT[1]
    expected[[0, 1], 1, [0, 1]] = POINT[0]
    assert_close(jacobian, expected, atol=1e-8)
    with pytest.raises(ShapeError, match=r"one number as its result, got an array of shape \(2, 2\)"):
        numerical_gradient(lambda x: x, x)


def test_assert_close_across_libraries(backend: Target) -> None:
    x = backend.array(POINT)
    assert_close(x, POINT)
    assert_close(Tensor(x), POINT + 1e-9)
    assert_close({"a": (1, 2)[0], "b": x}, {"a": 1, "b": POINT})
    assert_close((x, x), (POINT, POINT))


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (
            [1.0, 2.0, 3.0],
            [1.0, 2.5, 4.0],
            r"2 of 3 elements differ .*\n  at \(1,\): 2\.0, expected 2\.5\n  at \(2,\)",
        ),
        (
            1.0,
            2.0,
            r"1 of 1 elements differ .*\n  1\.0, expected 2\.0\n.*absolute difference is 1, .* relative 0\.5",
        ),
        ([1], [2], r"1 of 1 elements differ \(rtol 0, atol 0\)"),
        ([1.0], [1.0, 2.0], r"shape \(1,\), expected \(2,\)"),
        ([1.0], [1], "element type float32, expected int64"),
        ([float("nan")], [float("nan")], "1 of 1 elements differ"),
        ([float("inf")], [float("-inf")], "1 of 1 elements differ"),
        ({"a": 1.0}, {"b": 1.0}, "the keys .* differ"),
        ((1.0, 2.0), (1.0, 3.0), "array 1: 1 of 1"),
        ((1.0,), (1.0, 3.0), "1 arrays, expected 2"),
    ],
)
def test_assert_close_says_what_differs(actual: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_assert_close_of_special_values() -> None:
    nan, inf = float("nan"), float("inf")
    assert_close([nan, inf, -inf, 1.0], [nan, inf, -inf, 1.0], equal_nan=True)
    assert_close([1.0], [1.1], rtol=0.2)
    assert_close([1], [1.0], check_dtype=False)
    assert_close(np.zeros((0, 3)), np.zeros((0, 3)))


@primitive
def square_wrongly(x: Any) -> Any:
    return x * x, (x,)


@square_wrongly.backward
def square_wrongly_backward(gy: Any, saved: Any, needs: Any) -> Any:
    return (3 * gy * saved[0],)


def cube_once(x: Any) -> Any:
    """x**3 whose gradient forgets that it depends on x."""

    @primitive
    def cube(x: Any) -> Any:
        return x**3, (x,)

    @cube.backward
    def cube_backward(gy: Any, saved: Any, needs: Any) -> Any:
        x = saved[0].detach() if isinstance(saved[0], Tensor) else saved[0]
        return (3 * gy * x**2,)

    return cube(x)


@primitive
def multiply_forgetfully(x: Any, y: Any) -> Any:
    return x * y, (x, y)


@multiply_forgetfully.backward
def multiply_forgetfully_backward(gy: Any, saved: Any, needs: Any) -> Any:
    x, y = saved
    return gy * y if needs[1] else gy, gy * x


@primitive
def multiply_moodily(x: Any) -> Any:
    return 2 * x, ()


@multiply_moodily.backward
def multiply_moodily_backward(gy: Any, saved: Any, needs: Any) -> Any:
    return (gy * (2 + 1e-5 * xpnn.backend.random.host_generator().random()),)


@primitive
def negate_in_place(x: Any) -> Any:
    x *= -1
    return x * 1, ()


@negate_in_place.backward
def negate_in_place_backward(gy: Any, saved: Any, needs: Any) -> Any:
    return (-gy,)
