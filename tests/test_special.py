"""Bessel's functions, Hurwitz's zeta and orthogonal polynomials against SciPy's and PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, DTypeError, GradientError
from xpnn.testing import gradcheck, gradgradcheck

POINTS = np.asarray([1e-12, 1e-3, 0.7, 3.0, 24.9, 25.1, 400.0])
INSIDE = np.asarray([0.4, 2.5, 30.0])
SCIPY = {
    "bessel_j0": "j0",
    "bessel_j1": "j1",
    "bessel_y0": "y0",
    "bessel_y1": "y1",
    "modified_bessel_k0": "k0",
    "modified_bessel_k1": "k1",
    "scaled_modified_bessel_k0": "k0e",
    "scaled_modified_bessel_k1": "k1e",
}
POLYNOMIALS = {
    "chebyshev_polynomial_t": "eval_chebyt",
    "chebyshev_polynomial_u": "eval_chebyu",
    "shifted_chebyshev_polynomial_t": "eval_sh_chebyt",
    "shifted_chebyshev_polynomial_u": "eval_sh_chebyu",
    "hermite_polynomial_h": "eval_hermite",
    "hermite_polynomial_he": "eval_hermitenorm",
    "laguerre_polynomial_l": "eval_laguerre",
    "legendre_polynomial_p": "eval_legendre",
}
X = np.asarray([-0.7, 0.0, 0.3, 1.0, 2.5])
DEGREES = np.asarray([0, 1, 5, -1, 3])


@pytest.mark.parametrize("name", SCIPY)
def test_bessel_functions(name: str, backend: Target) -> None:
    """PyTorch's have 6 digits only, and no gradients."""
    oracle = getattr(pytest.importorskip("scipy.special"), SCIPY[name])
    function = getattr(xpnn.special, name)
    y = function(xpnn.tensor(backend.array(POINTS)))
    np.testing.assert_allclose(xpnn.to_numpy(y), oracle(POINTS), rtol=2e-13, atol=2e-15)
    x = xpnn.tensor(backend.array(INSIDE), requires_grad=True)
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


def test_bessel_functions_at_their_ends() -> None:
    ends = xpnn.tensor([0.0, float("inf"), float("nan"), -1.0])
    nan = float("nan")
    np.testing.assert_allclose(xpnn.special.bessel_j0(ends).array[:3], [1.0, 0.0, nan])
    np.testing.assert_allclose(xpnn.special.bessel_y1(ends).array, [-np.inf, 0.0, nan, nan])
    np.testing.assert_allclose(xpnn.special.scaled_modified_bessel_k1(ends).array, [np.inf, 0.0, nan, nan])
    assert xpnn.special.bessel_j1(ends)[3].item() == -xpnn.special.bessel_j1(xpnn.tensor(1.0)).item()
    assert xpnn.special.bessel_j0(xpnn.tensor([1, 2])).dtype is xpnn.float32
    assert xpnn.special.bessel_j0(xpnn.tensor([1.0], dtype=xpnn.float16)).dtype is xpnn.float16


def test_airy(backend: Target) -> None:
    oracle = pytest.importorskip("scipy.special").airy
    points = np.asarray([-50.0, -3.0, -1.01, -0.99, 0.0, 0.5, 1.01, 8.0])
    x = xpnn.tensor(backend.array(points), requires_grad=True)
    y = xpnn.special.airy_ai(x)
    y.sum().backward()
    np.testing.assert_allclose(xpnn.to_numpy(y.detach()), oracle(points)[0], rtol=1e-11)
    assert x.grad is not None
    np.testing.assert_allclose(xpnn.to_numpy(x.grad), oracle(points)[1], rtol=1e-11)
    assert gradgradcheck(xpnn.special.airy_ai, (x,))


def test_spherical_and_modified_bessel_functions_are_known_ones() -> None:
    x = xpnn.tensor([0.0, 1.5], dtype=xpnn.float64)
    np.testing.assert_allclose(xpnn.special.spherical_bessel_j0(x).array, [1.0, np.sin(1.5) / 1.5])
    assert xpnn.special.modified_bessel_i1 is xpnn.special.i1


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name: str, backend: Target) -> None:
    oracle = getattr(pytest.importorskip("scipy.special"), POLYNOMIALS[name])
    function = getattr(xpnn.special, name)
    x = xpnn.tensor(backend.array(X), requires_grad=True)
    for degree in (0, 1, 2, 7):
        y = function(x.detach(), degree)
        np.testing.assert_allclose(xpnn.to_numpy(y), oracle(degree, X), rtol=1e-12, atol=1e-13)
    y = function(x.detach(), xpnn.tensor(backend.array(DEGREES)))
    expected = np.where(DEGREES < 0, 0.0, oracle(np.maximum(DEGREES, 0), X))
    np.testing.assert_allclose(xpnn.to_numpy(y), expected, rtol=1e-12, atol=1e-13)
    assert gradcheck(lambda x: function(x, 4), (x,))
    assert gradgradcheck(lambda x: function(x, 4), (x,))


@pytest.mark.parametrize("kind", "tuvw")
@pytest.mark.parametrize("shifted", ["", "shifted_"])
def test_chebyshev_polynomials_equal_those_of_pytorch(kind: str, shifted: str) -> None:
    torch = pytest.importorskip("torch")
    name = f"{shifted}chebyshev_polynomial_{kind}"
    mine, theirs = getattr(xpnn.special, name), getattr(torch.special, name)
    inside = X / 3
    given = mine(xpnn.tensor(inside), xpnn.tensor(DEGREES)).array
    np.testing.assert_allclose(given, theirs(torch.tensor(inside), torch.tensor(DEGREES)), rtol=1e-9)
    number = mine(0.3, xpnn.tensor(DEGREES))
    assert number.dtype is xpnn.float32
    np.testing.assert_allclose(number.array, theirs(0.3, torch.tensor(DEGREES)), rtol=1e-5)


def test_polynomials_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ArgumentError, match="at most 10000"):
        xpnn.special.legendre_polynomial_p(xpnn.ones(2), 10_001)
    with pytest.raises(DTypeError, match="real"):
        xpnn.special.legendre_polynomial_p(xpnn.ones(2, dtype=xpnn.complex64), 2)


def test_zeta(backend: Target) -> None:
    torch = pytest.importorskip("torch")
    s = np.asarray([1.5, 2.0, 3.0, 1.0, 0.5, 2.0, 3.0, 2.0, 2.5, 40.0, 2.0, np.nan])
    q = np.asarray([1.0, 0.2, 10.0, 1.0, 1.0, 0.0, -2.0, -2.5, -2.5, 3.0, 1e5, 1.0])
    found = xpnn.special.zeta(xpnn.tensor(backend.array(s)), xpnn.tensor(backend.array(q)))
    expected = torch.special.zeta(torch.tensor(s), torch.tensor(q))
    np.testing.assert_allclose(xpnn.to_numpy(found), expected, rtol=1e-12)
    x = xpnn.tensor(backend.array(INSIDE), requires_grad=True)
    assert gradcheck(lambda q: xpnn.special.zeta(2.5, q), (x,))
    assert gradgradcheck(lambda q: xpnn.special.zeta(2.5, q), (x,))
    with pytest.raises(GradientError, match="first argument"):
        xpnn.special.zeta(x, 1)


def test_special_has_all_that_pytorch_has() -> None:
    torch: Any = pytest.importorskip("torch")
    assert not set(torch.special.__all__) - set(dir(xpnn.special))
