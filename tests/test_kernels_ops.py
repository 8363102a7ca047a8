"""NumPy's kernels of operations on arrays: as the reference, whose answers they give by another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.backend import reference_only

SHAPES = [(7, 40), (3, 50, 4), (64,)]


def numbers(shape: tuple[int, ...], dtype: str, kind: str) -> np.ndarray:
    """Numbers that differ, that are often equal, or of which some are NaN."""
    rng = np.random.default_rng(len(shape))
    x = 10 * rng.standard_normal(shape)
    if kind == "ties":
        x = np.round(x / 4)
    if kind == "nan" and dtype != "int64":
        x[rng.random(shape) < 0.1] = np.nan
    return x.astype(dtype)


@pytest.mark.parametrize("kind", ["different", "ties", "nan"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_topk(shape: tuple[int, ...], dtype: str, kind: str) -> None:
    """Equal elements come by their places, as where all are put in order."""
    x = xpnn.tensor(numbers(shape, dtype, kind))
    for dim, size in enumerate(shape):
        for k in {0, 1, min(3, size), min(5, size)}:
            for largest in (True, False):
                values, indices = xpnn.topk(x, k, dim, largest)
                order = xpnn.argsort(x, dim, largest).numpy().take(range(k), axis=dim)
                np.testing.assert_array_equal(indices.numpy(), order)
                np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x.numpy(), order, dim))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_take_along_axis(shape: tuple[int, ...]) -> None:
    x, rng = numbers(shape, "float32", "different"), np.random.default_rng(0)
    for dim, size in enumerate(shape):
        index = rng.integers(-size, size, [5 if axis == dim else n for axis, n in enumerate(shape)])
        for array in (x, np.asfortranarray(x)):
            y = xpnn.xp.take_along_axis(xpnn.tensor(array), xpnn.tensor(index), axis=dim)
            np.testing.assert_array_equal(y.numpy(), np.take_along_axis(x, index, dim))


@np.errstate(invalid="ignore")
@pytest.mark.parametrize("exponent", [3, 4, 3.0, 4.0])
def test_small_powers(exponent: Any) -> None:
    array = np.asarray([-2.0, -0.0, 0.5, np.inf, -np.inf, np.nan, 1e-200])
    x = xpnn.tensor(array, requires_grad=True)
    y = x**exponent
    (gx,) = xpnn.autograd.grad(y.sum(), x, create_graph=True)
    (ggx,) = xpnn.autograd.grad(gx.sum(), x)
    e = int(exponent)
    np.testing.assert_allclose(y.detach().numpy(), array**e, rtol=1e-15)
    np.testing.assert_allclose(gx.detach().numpy(), e * array ** (e - 1), rtol=1e-15)
    np.testing.assert_allclose(ggx.numpy(), e * (e - 1) * array ** (e - 2), rtol=1e-15)


@pytest.mark.parametrize("middle", [0.0, 100.0])
def test_distances_of_float32_lose_no_digits(middle: float) -> None:
    rng = np.random.default_rng(1)
    x1 = (rng.standard_normal((2, 30, 5)) + middle).astype(np.float32)
    x2 = np.concatenate([x1[0, :3], x1[0, 3:9] + np.float32(1e-3)])
    exact = np.linalg.norm(x1[:, :, None].astype(float) - x2.astype(float), axis=-1)
    np.testing.assert_allclose(xpnn.cdist(xpnn.tensor(x1), xpnn.tensor(x2)).numpy(), exact, rtol=2e-5)
    with reference_only():
        y = xpnn.cdist(xpnn.tensor(x1.astype(float)), xpnn.tensor(x2.astype(float)))
    np.testing.assert_allclose(y.numpy(), exact, rtol=1e-7, atol=1e-7)


@np.errstate(invalid="ignore")
def test_distances_to_rows_with_infinity_and_nan() -> None:
    x1, x2 = np.ones((30, 2), dtype=np.float32), np.zeros((3, 2), dtype=np.float32)
    x2[0, 0], x2[1, 1] = np.inf, np.nan
    for x in (x2, x2.astype(float)):
        y = xpnn.cdist(xpnn.tensor(x1.astype(x.dtype)), xpnn.tensor(x)).numpy()
        np.testing.assert_allclose(y[:, 2], 2**0.5, rtol=1e-6)
        assert not np.isfinite(y[:, :2]).any()


def test_modes_of_distances_that_there_are_not() -> None:
    x = xpnn.ones(2, 2)
    with pytest.raises(xpnn.XpnnError, match="compute_mode"):
        xpnn.cdist(x, x, compute_mode="fast")


def test_topk_of_nan_beside_ties() -> None:
    x = np.asarray([np.nan, 5.0, 5.0, *[1.0] * 17])
    values, indices = xpnn.tensor(x).topk(2)
    np.testing.assert_array_equal(values.numpy(), [np.nan, 5])
    assert indices.tolist() == [0, 1]


def test_logaddexp_of_extremes() -> None:
    huge = np.full(5000, 3e38, dtype=np.float32)
    np.testing.assert_array_equal(xpnn.logaddexp(xpnn.tensor(huge), xpnn.tensor(-huge)).numpy(), huge)
    assert xpnn.logaddexp(xpnn.zeros(5000), xpnn.zeros(0, 1)).shape == (0, 5000)


def test_relu_of_many_integers() -> None:
    x = np.arange(-20_000, 20_000)
    np.testing.assert_array_equal(xpnn.functional.relu(xpnn.tensor(x)).numpy(), np.maximum(x, 0))


def test_distances_to_no_rows() -> None:
    for dtype in (xpnn.float32, xpnn.float64):
        x = xpnn.zeros(30, 3, dtype=dtype, requires_grad=True)
        y = xpnn.cdist(x, xpnn.zeros(0, 3, dtype=dtype))
        assert y.shape == (30, 0)
        y.sum().backward()
        assert not x.grad.any()


def sampled(x: Any, grid: Any, **options: Any) -> list[np.ndarray]:
    """A sampled image, its gradients, and the gradients of those."""
    x, grid = xpnn.tensor(x, requires_grad=True), xpnn.tensor(grid, requires_grad=True)
    y = xpnn.nn.functional.grid_sample(x.transpose(2, 3), grid, **options)
    gradients = xpnn.autograd.grad((y * xpnn.xp.cos(y.detach())).sum(), [x, grid], create_graph=True)
    second = xpnn.autograd.grad(sum((g * g).sum() for g in gradients), [x, grid])
    return [t.detach().numpy() for t in (y, *gradients, *second)]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sampling(dtype: str, mode: str) -> None:
    """Several pieces of an image, of which a part lies outside; also where a cell is infinite."""
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((2, 24, 9, 11)), 0.8 * rng.standard_normal((2, 50, 60, 2))
    for cell in (1.0, np.inf):
        x[0, 0, 0, 0] = cell
        with np.errstate(invalid="ignore"):
            found = sampled(x.astype(dtype), grid.astype(dtype), mode=mode, align_corners=False)
            with reference_only():
                expected = sampled(x.astype(dtype), grid.astype(dtype), mode=mode, align_corners=False)
        for one, other in zip(found, expected):
            largest = np.abs(other[np.isfinite(other)]).max(initial=1.0)
            bound = largest * (1e-4 if dtype == "float32" else 1e-11)
            np.testing.assert_allclose(one, other, rtol=0, atol=bound)
