"""The compiled depthwise convolution against the reference."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import functional as F
from xpnn.autograd import grad, tensor
from xpnn.backend import choose_kernel, find_backend, reference_only
from xpnn.functional.conv import primitives
from xpnn.kernels.numpy.conv.layout import windows_of
from xpnn.kernels.numpy.conv.table import convolutions, input_gradients, joint_gradients, weight_gradients

pytestmark = [
    pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba"),
    pytest.mark.usefixtures("compiled_kernels"),
]

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}

examples = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any]:
    """Arrays x, w and b, lying in memory in several ways, and the options."""
    axes = draw(st.integers(1, 2))
    kind = draw(st.sampled_from(["float32", "float64"]))
    channels = draw(st.integers(16 if kind == "float32" else 8, 50))
    lies = draw(st.sampled_from(["straight", "channels last", "gapped", "backwards", "read only"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))

    def along_axes(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(axes))

    kernel_size, stride, dilation = along_axes(1, 5), along_axes(1, 3), along_axes(1, 3)
    padding = tuple((before, draw(st.integers(0, 3))) for before in along_axes(0, 5))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    size = [
        max(span - sum(pair), 1) + draw(st.integers(0, 9)) for span, pair in zip(spans, padding, strict=True)
    ]

    def array(*shape: int) -> np.ndarray:
        return laid(rng.standard_normal(shape).astype(kind), lies)

    x = array(draw(st.integers(1, 3)), channels, *size)
    w, b = array(channels, 1, *kernel_size), array(channels) if draw(st.booleans()) else None
    return (x, w, b), {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}


@examples
@given(calls(), st.sampled_from([1, 2, 3]))
def test_convolution_and_gradients(arrays: Any, threads: int) -> None:
    (x, w, b), options = arrays
    with reference_only():
        y, _ = primitives.conv.forward(x, w, b, **options)
    gy = np.random.default_rng(0).standard_normal(y.shape).astype(x.dtype)
    xpnn.set_num_threads(threads)
    compare(primitives.conv, (x, w, b), options, gy)
    compare(primitives.conv_input_gradient, (gy, w), {"size": x.shape[2:], **options})
    compare(primitives.conv_weight_gradient, (x, gy), {"kernel_size": w.shape[2:], **options})


@pytest.mark.parametrize("lies", ["straight", "channels last"])
@pytest.mark.parametrize("batch", [1, 5])
def test_bands_on_threads(lies: str, batch: int) -> None:
    """Images of several bands; fewer images than threads, and more."""
    rng = np.random.default_rng(0)
    x = laid(rng.standard_normal((batch, 40, 83, 71)).astype(np.float32), lies)
    w = rng.standard_normal((40, 1, 3, 5)).astype(np.float32) / 4
    options = {"stride": (1, 2), "padding": ((1, 1), (2, 2)), "dilation": (1, 1), "groups": 40}
    with reference_only():
        y, _ = primitives.conv.forward(x, w, None, **options)
    gy = laid(rng.standard_normal(y.shape).astype(np.float32), lies)
    xpnn.set_num_threads(2)
    compare(primitives.conv, (x, w, None), options, gy, scale=10)


def test_results_past_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.kernels.numba.conv.depthwise._LARGE_BYTES", 0)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 32, 9, 9)), rng.standard_normal((32, 1, 3, 3))
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 32}
    compare(primitives.conv, (x, w, rng.standard_normal(32)), options, x)


def test_second_derivatives() -> None:
    rng = np.random.default_rng(0)
    leaves = [
        tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 9, 6, 5), (9, 1, 3, 3))
    ]

    def run() -> list[np.ndarray]:
        y = F.conv2d(*leaves, None, 2, 1, 1, 9)
        first = grad((y * y).sum(), leaves, create_graph=True)
        return [g.array for g in grad(sum((g * g).sum() for g in first), leaves)]

    results = run()
    with reference_only():
        for result, expected in zip(results, run(), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_stays_where_it_is_seen(value: float) -> None:
    """Cells that only fill up nine of the kernel see zeros."""
    x = np.ones((1, 16, 5, 5), dtype=np.float32)
    x[0, 3, 2, 2] = value
    options = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 16}
    w = np.ones((16, 1, 1, 2), dtype=np.float32)
    assert methods_for(x, w, options) == {"compiled depthwise"}
    y = primitives.conv(x, w, None, **options)
    assert np.isfinite(y).sum() == y.size - 2
    assert not np.isfinite(y[0, 3, 2, 1:3]).any()


def test_what_is_left_to_others() -> None:
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
    for shape, kernel, groups in (
        ((0, 16, 4, 4), (16, 1, 3, 3), 16),
        ((2, 4, 4, 4), (4, 1, 3, 3), 4),
        ((2, 16, 4, 4), (32, 1, 3, 3), 16),
        ((2, 16, 4, 4), (16, 2, 3, 3), 8),
    ):
        x, w = np.ones(shape, dtype=np.float32), np.ones(kernel, dtype=np.float32)
        assert "compiled depthwise" not in methods_for(x, w, {**options, "groups": groups})


def compare(primitive: Any, inputs: Any, options: Any, gy: Any = None, scale: float = 1.0) -> None:
    """Kernel and reference, and with gy their derivatives: same values, nothing written to."""
    entry = choose_kernel(find_backend("numpy"), primitive.name, *inputs, **options)
    if primitive is primitives.conv:
        assert methods_for(*inputs[:2], options) == {"compiled depthwise"}
    copies = [None if x is None else x.copy() for x in (*inputs, gy)]
    y, saved = entry.forward(*inputs, **options)
    with reference_only():
        expected, reference_saved = primitive.forward(*inputs, **options)
        assert_same(y, expected, scale)
        if gy is not None:
            needs = [n is not None for n in inputs]
            gradients = primitive.backward_function(gy, reference_saved, needs, **options)
    if gy is not None:
        for wanted in (needs, [True, False, False], [False, True, False]):
            results = entry.backward_function(gy, saved, wanted, **options)
            for result, gradient, want in zip(results, gradients, wanted, strict=True):
                assert (result is not None) == want
                if want:
                    assert_same(result, gradient, scale)
    for x, copy in zip((*inputs, gy), copies, strict=True):
        np.testing.assert_array_equal(x, copy)


def methods_for(x: np.ndarray, w: np.ndarray, options: Any) -> set[str]:
    """The names of the methods that a convolution and its gradients are computed by."""
    windows = windows_of(x.shape, w.shape, x.dtype, **options, fast=True, compiled=True, threads=2)
    tables = convolutions, input_gradients, weight_gradients, joint_gradients
    return {table.choose(windows).name for table in tables}


def assert_same(actual: np.ndarray, expected: np.ndarray, scale: float) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    tolerance = TOLERANCE[expected.dtype.name] * scale * (1 + np.abs(expected).max(initial=0.0))
    assert np.abs(actual - expected).max(initial=0.0) <= tolerance


def laid(x: np.ndarray, lies: str) -> np.ndarray:
    """The same numbers in another order of memory."""
    if lies == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 1 else x
    if lies == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if lies == "backwards":
        return x[..., ::-1].copy()[..., ::-1]
    x.flags.writeable = lies != "read only"
    return x
