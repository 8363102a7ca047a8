"""Methods of convolution that Numba compiles, where NumPy's kernel chooses them, against the reference."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn.backend import choose_kernel, find_backend, reference_only
from xpnn.functional.conv.primitives import conv
from xpnn.kernels.numpy.parallel import parallel

pytestmark = [
    pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba"),
    pytest.mark.usefixtures("compiled_kernels"),
]

PLAIN = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks)


orders = st.sampled_from(["straight", "channels last", "gapped", "backwards", "read only"])


@examples(80)
@given(
    st.integers(1, 5),
    st.sampled_from([3, 16, 20, 32, 48]),
    st.sampled_from([16, 32, 48]),
    orders,
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(1, 13), st.integers(1, 18)),
    st.sampled_from([1, 2, 3]),
)
def test_methods_of_convolution(
    batch: int, channels: int, outputs: int, order: str, kernel_size: Any, stride: Any, dilation: Any,
    windows: Any, threads: int,
) -> None:  # fmt: skip
    """Those that NumPy's kernel chooses where they suit."""
    padding = tuple((k // 2, (k - 1) // 2) for k in kernel_size)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}
    size = [
        max((n - 1) * s + d * (k - 1) + 1 - sum(p), 1)
        for n, k, s, d, p in zip(windows, kernel_size, stride, dilation, padding, strict=True)
    ]
    compare((batch, channels, *size), (outputs, channels, *kernel_size), order, options, threads)


@examples(40)
@given(
    st.integers(1, 9),
    st.sampled_from([32, 48, 64]),
    st.sampled_from([32, 80]),
    orders,
    st.tuples(st.integers(1, 13), st.integers(1, 18)),
    st.tuples(*(st.integers(0, 2) for _ in range(4))),
    st.sampled_from([1, 2, 3]),
)
def test_winograd(
    batch: int, channels: int, outputs: int, order: str, size: Any, pad: Any, threads: int
) -> None:
    padding = (pad[:2], pad[2:])
    if min(cells + sum(p) for cells, p in zip(size, padding, strict=True)) < 3:
        return
    options = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    compare((batch, channels, *size), (outputs, channels, 3, 3), order, options, threads, tolerance=1e-4)


@examples(40)
@given(
    st.integers(8, 14),
    st.sampled_from([16, 48]),
    st.sampled_from([64, 80]),
    orders,
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([1, 2]),
)
def test_convolution_of_small_images(
    batch: int,
    channels: int,
    outputs: int,
    order: str,
    kernel_size: Any,
    stride: Any,
    size: Any,
    threads: int,
) -> None:
    padding = tuple((k // 2, k - 1 - k // 2) for k in kernel_size)
    options = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": 1}
    compare((batch, channels, *size), (outputs, channels, *kernel_size), order, options, threads)


def test_exact_precision_leaves_out_winograd() -> None:
    xpnn.set_precision("exact")
    try:
        compare((2, 32, 8, 8), (32, 32, 3, 3), "channels last", PLAIN, 2, tolerance=2e-6)
    finally:
        xpnn.set_precision("fast")


@pytest.mark.parametrize("size", [3, 8, 20])
@pytest.mark.parametrize("kernel", [(32, 32, 3, 3), (64, 16, 5, 3), (16, 3, 3, 3)])
def test_busy_threads_make_the_same_bits(size: int, kernel: Any) -> None:
    """As many parts as there are threads, also where one thread does them all."""
    x, w = array((9, kernel[1], size, size), "straight"), array(kernel, "straight")
    xpnn.set_num_threads(3)
    options = {**PLAIN, "padding": ((kernel[2] // 2,) * 2, (1, 1))}

    def run() -> list[np.ndarray]:
        entry = choose_kernel(find_backend("numpy"), "conv", x, w, None, **options)
        y, saved = entry.forward(x, w, None, **options)
        assert entry.backward_function is not None
        gx, gw, _ = entry.backward_function(y, saved, (True, True, False), **options)
        return [y, gx, gw]

    results = run()
    inside = parallel(lambda part: run() if part.start == 0 else [], 3, float("inf"))
    for result, other in zip(results, inside[0], strict=True):
        np.testing.assert_array_equal(result, other)


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel_size", "pad"),
    [(12, 8, (3, 3), 1), (16, 8, (3, 3), 0), (8, 4, (1, 3), 1), (8, 8, (3, 3), 3), (4, 12, (3, 3), 1)],
)
def test_few_channels_of_the_gradient_alone(channels: int, outputs: int, kernel_size: Any, pad: int) -> None:
    """The input gradient is a convolution of few channels, in memory that another method has made."""
    options = {**PLAIN, "padding": ((pad, pad), (pad, pad))}
    compare((16, channels, 9, 8), (outputs, channels, *kernel_size), "straight", options, threads=2)


def compare(shape: Any, kernel: Any, order: str, options: Any, threads: int, tolerance: float = 2e-5) -> None:
    """The convolution and its gradients on so many threads; errors are relative to the largest number."""
    x, w, b = array(shape, order), array(kernel, order), array(kernel[:1], order)
    copies = x.copy(), w.copy(), b.copy()
    with reference_only():
        expected, saved = conv.forward(x, w, b, **options)
        gy = array(expected.shape, order)
        gradients = conv.backward_function(gy, saved, (True,) * 3, **options)
    xpnn.set_num_threads(threads)
    entry = choose_kernel(find_backend("numpy"), "conv", x, w, b, **options)
    y, saved = entry.forward(x, w, b, **options)
    assert entry.backward_function is not None
    results = y, *entry.backward_function(gy, saved, (True,) * 3, **options)
    for result, other in zip(results, (expected, *gradients), strict=True):
        assert result.dtype == other.dtype
        assert result.shape == other.shape
        assert np.abs(result - other).max(initial=0) <= tolerance * max(np.abs(other).max(initial=0), 1)
    for array_, copy in zip((x, w, b), copies, strict=True):
        np.testing.assert_array_equal(array_, copy)


def array(shape: tuple[int, ...], order: str) -> np.ndarray:
    x = np.random.default_rng(len(order)).standard_normal(shape).astype(np.float32)
    if order == "channels last" and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if order == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if order == "backwards":
        return x[..., ::-1]
    x.flags.writeable = order != "read only"
    return x
