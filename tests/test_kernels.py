"""Every kernel against the reference version of its primitive, over random shapes and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from targets import TARGETS, missing

from xpnn.backend import find_backend, find_kernels, move, reference_only, to_numpy
from xpnn.functional.conv import primitives
from xpnn.functional.pool import average
from xpnn.functional.pool import maximum as pool

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(absent), reason=absent))
    for name, absent in ((t.backend, missing(t)) for t in TARGETS if t.name in ("numpy", "torch", "jax"))
]
PRIMITIVES = [
    primitives.conv,
    primitives.conv_input_gradient,
    primitives.conv_weight_gradient,
    pool._max_pool,
    average._sum_pool,
    average._spread_over_windows,
]
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of an image, and a window that fits it."""
    pairs = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))
    drawn = {
        "size": draw(pairs(1, 9)),
        "kernel_size": draw(pairs(1, 4)),
        "stride": draw(pairs(1, 3)),
        "padding": draw(st.tuples(pairs(0, 3), pairs(0, 3))),
        "dilation": draw(pairs(1, 3)),
    }
    assume(min(out_size(**drawn)) > 0)
    return drawn


def out_size(size: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    return tuple(
        (cells + sum(pair) - d * (k - 1) - 1) // s + 1
        for cells, k, s, pair, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    """How many images, of which element type, and how their array lies in memory."""
    return {
        "count": draw(st.integers(0, 3)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "lies": draw(st.sampled_from(["straight", "channels last", "gapped", "backwards", "read only"])),
        "seed": draw(st.integers(0, 5)),
    }


@pytest.mark.parametrize("name", BACKENDS)
def test_are_registered(name: str) -> None:
    for primitive in PRIMITIVES:
        assert find_kernels(find_backend(name), primitive.name), f"no kernel for {primitive}"


@pytest.mark.parametrize("name", BACKENDS[1:])
@examples(6)
@given(windows(), images(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_convolution(name: str, window: Any, batch: Any, inputs: int, outputs: int, groups: int) -> None:
    check_convolution(name, window, batch, inputs * groups, outputs * groups, groups)


@examples(150)
@given(windows(), images(), st.integers(1, 9), st.integers(1, 4000))
def test_pooling_on_numpy(
    monkeypatch: pytest.MonkeyPatch, window: Any, batch: Any, channels: int, chunk: int
) -> None:
    from xpnn.kernels.numpy import pool as kernels

    monkeypatch.setattr(kernels, "_CHUNK_BYTES", chunk)
    check_pooling("numpy", window, batch, channels)


@pytest.mark.parametrize("name", BACKENDS[1:])
@examples(6)
@given(windows(), images(), st.integers(1, 3))
def test_pooling(name: str, window: Any, batch: Any, channels: int) -> None:
    check_pooling(name, window, batch, channels)


@pytest.mark.parametrize("name", BACKENDS)
def test_first_of_equal_cells_wins(name: str) -> None:
    """The gradient goes to the first in reading order, and adds up where windows overlap."""
    x = on(name, np.zeros((1, 1, 3, 3)))
    window = {"kernel_size": (2, 2), "stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    y, saved, backward = run(pool._max_pool, name, (x,), window)
    (gx,) = backward(on(name, np.ones(y.shape)), saved, (True,), **window)
    assert to_numpy(gx).tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]


def check_convolution(name: str, window: Any, batch: Any, inputs: int, outputs: int, groups: int) -> None:
    """The three primitives."""
    rng = np.random.default_rng(batch["seed"])
    window = dict(window)
    size, kernel_size = window.pop("size"), window.pop("kernel_size")
    x = array(rng, batch, inputs, size)
    gy = array(rng, batch, outputs, out_size(size, kernel_size, **window))
    w = rng.standard_normal((outputs, inputs // groups, *kernel_size)).astype(batch["dtype"])
    b = rng.standard_normal(outputs).astype(batch["dtype"])
    window["groups"] = groups
    compare(primitives.conv, name, (x, w, b), window)
    compare(primitives.conv, name, (x, w, None), window)
    compare(primitives.conv_input_gradient, name, (gy, w), {"size": size, **window})
    compare(primitives.conv_weight_gradient, name, (x, gy), {"kernel_size": kernel_size, **window})


def check_pooling(name: str, window: Any, batch: Any, channels: int) -> None:
    """Maximum with its gradient, sum, and the sum's adjoint."""
    rng = np.random.default_rng(batch["seed"])
    window = dict(window)
    extent = [d * (k - 1) + 1 for k, d in zip(window["kernel_size"], window["dilation"], strict=True)]
    assume(all(2 * max(pair) <= cells for pair, cells in zip(window["padding"], extent, strict=True)))
    size = window.pop("size")
    x = array(rng, batch, channels, size)
    with reference_only():
        assume(np.isfinite(pool._max_pool(x, **window)).all())  # no window lies in the padding alone
    gy = array(rng, batch, channels, out_size(size, **window))
    compare(pool._max_pool, name, (np.round(2 * x) / 2,), window, gy=gy)  # many of them equal
    compare(pool._max_pool, name, (x,), window, gy=gy)
    window["dilation"] = (1, 1)
    gy = array(rng, batch, channels, out_size(size, **window))
    del window["dilation"]
    compare(average._sum_pool, name, (x,), window)
    compare(average._spread_over_windows, name, (gy,), {"size": size, **window})


def compare(primitive: Any, name: str, arrays: Any, options: Any, gy: Any = None) -> None:
    """Kernel and reference: same values, same element type, first derivatives too where gy is given."""
    arrays = [a if a is None else on(name, a) for a in arrays]
    y, saved, backward = run(primitive, name, arrays, options)
    expected, reference_saved = primitive.forward(*arrays, **options)
    assert_same(y, expected)
    if gy is not None:
        gy, needs = on(name, gy), (True,) * len(arrays)
        with reference_only():
            gradients = primitive.backward_function(gy, reference_saved, needs, **options)
        for gradient, other in zip(backward(gy, saved, needs, **options), gradients, strict=True):
            assert_same(gradient, other)


def run(primitive: Any, name: str, arrays: Any, options: Any) -> tuple[Any, Any, Any]:
    """The output, what was saved, and the backward of the kernel that takes the call (or the reference)."""
    for kernel in find_kernels(find_backend(name), primitive.name):
        if kernel.when is None or kernel.when(*arrays, **options):
            return *kernel.forward(
                *arrays, **options
            ), kernel.backward_function or primitive.backward_function
    return *primitive.forward(*arrays, **options), primitive.backward_function


def assert_same(actual: Any, expected: Any) -> None:
    assert actual.dtype == expected.dtype
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert actual.shape == expected.shape
    scale = 1 + np.abs(expected).max(initial=0.0)
    assert np.abs(actual - expected).max(initial=0.0) <= TOLERANCE[expected.dtype.name] * scale


def array(rng: np.random.Generator, batch: Any, channels: int, size: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal((batch["count"], channels, *size)).astype(batch["dtype"])
    if batch["lies"] == "channels last":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if batch["lies"] == "gapped":
        return np.repeat(np.repeat(x, 2, axis=1), 2, axis=3)[:, ::2, :, ::2]
    if batch["lies"] == "backwards":
        return x[:, :, ::-1, ::-1]
    x.flags.writeable = batch["lies"] != "read only"
    return x


def on(name: str, x: np.ndarray) -> Any:
    return move(x, find_backend(name))
