"""Winograd's convolution: its matrices, and its rounding error beside that of plain sums and of PyTorch."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import xpnn
import xpnn.functional as F
from xpnn.kernels.numpy.conv import winograd_matrices as matrices

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("points", [(0,), (0, 1, -1), (0, 1, -1, 2, Fraction(-1, 2)), matrices.POINTS])
def test_matrices_make_the_convolution(points: tuple, kernel: int) -> None:
    outputs = len(points) + 2 - kernel
    if outputs < 1:
        return
    of_input, of_kernel, of_output = matrices.winograd_matrices([*map(Fraction, points)], outputs, kernel)
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(len(points) + 1), rng.standard_normal(kernel)
    assert of_output @ ((of_kernel @ g) * (of_input @ d)) == pytest.approx(np.correlate(d, g), abs=1e-5)


@pytest.fixture(params=[False, pytest.param(True, marks=needs_numba)], ids=["numpy", "numba"])
def compiled(request: pytest.FixtureRequest) -> Any:
    before = xpnn.get_numba()
    xpnn.set_numba(request.param)
    yield
    xpnn.set_numba(before)


def convolve(x: np.ndarray, w: np.ndarray, gy: np.ndarray) -> list[np.ndarray]:
    """A convolution, and its gradients of x and w."""
    tensors = [xpnn.Tensor(array, requires_grad=True) for array in (x, w)]
    y = F.conv2d(*tensors, padding=1)
    y.backward(xpnn.Tensor(gy))
    return [np.asarray(t.detach()) for t in (y, *(tensor.grad for tensor in tensors))]


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("batch", "channels", "size"),
    [(8, 8, 8), (4, 8, 56), (8, 16, 14), (4, 24, 28), (8, 32, 8), (2, 32, 56), (8, 64, 14), (1, 64, 56),
     (8, 128, 8), (2, 128, 28), (8, 256, 8), (4, 256, 14)],
)  # fmt: skip
def test_error_is_at_most_ten_times_that_of_plain_sums(batch: int, channels: int, size: int) -> None:
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, batch, channels, size, size), dtype=np.float32)
    w = rng.standard_normal((channels, channels, 3, 3), dtype=np.float32) / np.float32(3 * channels**0.5)
    expected = convolve(*(array.astype(np.float64) for array in (x, w, gy)))
    fast = convolve(x, w, gy)
    with xpnn.use_precision("exact"):
        plain = convolve(x, w, gy)
    for result, other, true in zip(fast, plain, expected, strict=True):
        assert result.dtype == other.dtype == np.float32
        assert np.abs(result - true).max() <= 10 * np.abs(other - true).max()


@pytest.mark.usefixtures("compiled")
def test_gradients_of_a_deep_network_err_at_most_three_times_as_much_as_pytorch() -> None:
    """Twelve layers of 128 channels with batch norm; relu's kinks would hide how far rounding goes."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((2, 2, 128, 28, 28), dtype=np.float32)
    weights = [rng.standard_normal((128, 128, 3, 3), dtype=np.float32) / np.float32(34) for _ in range(12)]

    def gradients(functions: Any, make: Any) -> list[np.ndarray]:
        parameters = [make(w) for w in weights]
        y = make(x)
        for w in parameters:
            y = functions.conv2d(y, w, padding=1)
            y = functions.batch_norm(y, None, None, training=True)
        ((y - make(target)) ** 2).mean().backward()
        return [np.asarray(w.grad.detach(), dtype=np.float64) for w in parameters]

    def torch_gradients(dtype: Any) -> list[np.ndarray]:
        make = lambda array: torch.tensor(array, dtype=dtype, requires_grad=True)
        return gradients(torch.nn.functional, make)

    true = torch_gradients(torch.float64)
    found = gradients(F, lambda array: xpnn.Tensor(array, requires_grad=True))
    other = torch_gradients(torch.float32)

    def error(results: list[np.ndarray]) -> float:
        norms = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(results, true, strict=True)]
        return float(np.median(norms))

    assert error(found) <= 3 * error(other)


@pytest.mark.usefixtures("compiled")
def test_nan_reaches_what_sees_it_alone_while_anomalies_are_looked_for() -> None:
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, 2, 16, 24, 24), dtype=np.float32)
    w = rng.standard_normal((16, 16, 3, 3), dtype=np.float32)
    x[0, 0, 5, 5] = gy[0, 0, 5, 5] = np.nan
    with xpnn.autograd.set_detect_anomaly(True, check_nan=False):
        y, gx, gw = convolve(x, w, gy)
    assert np.isnan(y).sum() == np.isnan(gx).sum() == 9 * 16
    assert np.isnan(gw).sum() == 2 * 16 * 9 - 9  # those of that output, and of that input
