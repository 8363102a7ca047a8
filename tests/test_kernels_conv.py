"""The kernels of convolution on NumPy against the reference, over random shapes and options."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn.backend import ArgumentError, reference_only
from xpnn.functional import conv2d
from xpnn.functional.conv import primitives
from xpnn.functional.windows import output_size
from xpnn.kernels.numpy import parallel
from xpnn.kernels.numpy.conv import (
    columns,
    depthwise,
    methods,
    planes,
    rows,
    sequences,
    table,
    winograd,
    winograd_rows,
)
from xpnn.kernels.numpy.conv.layout import windows_of

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
METHODS = [columns, planes, rows, sequences, depthwise, winograd, winograd_rows]


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks)


@pytest.fixture(autouse=True)
def threads_again() -> Iterator[None]:
    before = xpnn.get_num_threads()
    yield
    xpnn.set_num_threads(before)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of an image or a sequence, and a window that fits it."""
    axes = draw(st.sampled_from([2, 2, 2, 1]))
    along = lambda low, high: st.tuples(*[st.integers(low, high)] * axes)
    pairs = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * axes)
    drawn = {
        "size": draw(along(1, 17)),
        "kernel_size": draw(along(1, 4)),
        "stride": draw(along(1, 3)),
        "padding": draw(pairs),
        "dilation": draw(along(1, 3)),
    }
    assume(min(output_size(**drawn)) > 0)
    return drawn


@st.composite
def plain_windows(draw: st.DrawFn) -> dict[str, Any]:
    """3x3 without strides, as Winograd's method takes it."""
    size, padding = draw(st.tuples(st.integers(3, 15), st.integers(3, 15))), draw(st.integers(0, 4))
    window = {"kernel_size": (3, 3), "stride": (1, 1), "dilation": (1, 1)}
    return {"size": size, "padding": ((padding, max(padding - 1, 0)), (padding, padding)), **window}


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    """How many images, of which element type, and how their array lies in memory."""
    lies = ["straight", "channels last", "gapped", "backwards", "read only"]
    return {
        "count": draw(st.integers(0, 4)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "lies": draw(st.sampled_from(lies)),
        "seed": draw(st.integers(0, 5)),
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pieces, what is worth a thread, and what is gathered by one call, of any size."""

    def set_to(chunk: int, threads: int, worthwhile: int = 0) -> None:
        for method in METHODS:
            monkeypatch.setattr(method, "_CHUNK_BYTES", chunk)
        monkeypatch.setattr(parallel, "WORTHWHILE", worthwhile)
        monkeypatch.setattr(methods, "WORTHWHILE", worthwhile)
        monkeypatch.setattr(methods, "_FEW_CELLS", chunk)
        monkeypatch.setattr(methods, "_LONG_RUN", 1)
        xpnn.set_num_threads(threads)
        windows_of.cache_clear()

    yield set_to
    windows_of.cache_clear()


def guard(monkeypatch: pytest.MonkeyPatch, suits: dict[str, Any]) -> None:
    """Give methods of these names, of all tables, other guards; that for small sizes is asked for none."""
    suits = {"few columns": lambda windows: False, **suits}
    tables = table.convolutions, table.input_gradients, table.weight_gradients, table.joint_gradients
    for each in tables:
        reverse = methods.in_reverse if each is table.joint_gradients else lambda suits: suits
        changed = [
            method._replace(suits=reverse(suits[method.name])) if method.name in suits else method
            for method in each.methods
        ]
        monkeypatch.setattr(each, "methods", changed)
    windows_of.cache_clear()


@examples(250)
@given(
    windows(),
    images(),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 30000),
    st.integers(1, 3),
)
def test_every_shape(
    small: Any, window: Any, batch: Any, inputs: int, outputs: int, groups: int, chunk: int, threads: int
) -> None:
    small(chunk, threads)
    check(window, batch, inputs * groups, outputs * groups, groups)


@examples(60)
@given(windows(), images(), st.integers(2, 9), st.integers(1, 30000), st.integers(1, 3))
def test_depthwise(small: Any, window: Any, batch: Any, channels: int, chunk: int, threads: int) -> None:
    small(chunk, threads)
    check(window, batch, channels, channels, channels)


@examples(60)
@given(windows(), images(), st.integers(8, 9), st.integers(1, 3), st.integers(2, 3), st.integers(1, 3))
def test_wide_groups(
    small: Any, window: Any, batch: Any, inputs: int, outputs: int, groups: int, threads: int
) -> None:
    small(5000, threads)
    check(window, batch, inputs * groups, outputs * groups, groups)


@pytest.mark.parametrize("method", ["winograd", "winograd rows"])
@examples(100)
@given(
    plain_windows(),
    images(),
    st.integers(7, 20),
    st.integers(1, 20),
    st.integers(1, 90000),
    st.integers(1, 3),
)
def test_winograd(
    small: Any,
    monkeypatch: pytest.MonkeyPatch,
    method: Any,
    window: Any,
    batch: Any,
    inputs: int,
    outputs: int,
    chunk: int,
    threads: int,
) -> None:
    small(chunk, threads)
    names = ["winograd", "winograd rows"]
    suits = lambda windows: windows.kernel_size == (3, 3) and windows.images > 0
    guard(monkeypatch, {name: suits if name == method else lambda windows: False for name in names})
    check(window, {**batch, "dtype": "float32"}, inputs, outputs, 1, tolerance=1e-4)


@examples(100)
@given(windows(), images(), st.integers(7, 20), st.integers(1, 20), st.integers(1, 3))
def test_cells(
    small: Any,
    monkeypatch: pytest.MonkeyPatch,
    window: Any,
    batch: Any,
    inputs: int,
    outputs: int,
    threads: int,
) -> None:
    small(1000, threads)
    guard(monkeypatch, {"cells": lambda windows: True})
    with xpnn.use_precision("exact"):
        check(window, batch, inputs, outputs, 1)


@examples(100)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    images(),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 9000),
    st.integers(1, 3),
)
def test_sequences(
    small: Any,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    kernel: int,
    padding: tuple[int, int],
    batch: Any,
    inputs: int,
    outputs: int,
    chunk: int,
    threads: int,
) -> None:
    small(chunk, threads)
    monkeypatch.setattr(sequences, "_LEAST_WINDOWS", 0)
    off = ("planes", "rows of planes", "banded")
    guard(monkeypatch, {name: lambda windows: False for name in off})
    window = {
        "size": (length,),
        "kernel_size": (kernel,),
        "stride": (1,),
        "padding": (padding,),
        "dilation": (1,),
    }
    assume(min(output_size(**window)) > 0)
    check(window, batch, inputs, outputs, 1)


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {}])
def test_large_weights_lie_as_their_gradients_do(options: dict[str, float]) -> None:
    """The optimizer puts them in the order of memory that the method likes, which the user does not see."""

    def train() -> Any:
        rng = np.random.default_rng(0)
        weight = xpnn.tensor(rng.standard_normal((160, 130, 3, 3)), requires_grad=True)
        bias = xpnn.tensor(rng.standard_normal(160), requires_grad=True)
        optimizer = xpnn.optim.SGD([weight, bias], lr=0.01, **options)
        for _ in range(3):
            optimizer.zero_grad()
            x = xpnn.tensor(rng.standard_normal((4, 130, 2, 2)))
            conv2d(x, weight, bias, padding=1).tanh().sum().backward()
            optimizer.step()
        return weight.array

    with reference_only():
        expected = train()
    actual = train()
    assert expected.flags.c_contiguous
    assert actual.shape == expected.shape
    assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.abs(actual - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("size", "kernel_size", "padding", "dilation", "dtype"),
    [
        (16, 5, 0, 1, "float32"),
        (10, 2, 0, 1, "float32"),
        (14, 3, 0, 2, "float32"),
        (14, 3, 0, 1, "float64"),
        (4, 3, 0, 1, "float32"),
        (4, 3, 20, 1, "float32"),
        (2, 3, 1, 1, "float64"),
    ],
)
def test_many_channels(size: int, kernel_size: int, padding: int, dilation: int, dtype: str) -> None:
    """What is chosen for the convolution and what is chosen for its gradients need not be the same."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 128, size, size)).astype(dtype)
    w = rng.standard_normal((256, 128, kernel_size, kernel_size)).astype(dtype)

    def run() -> list[np.ndarray]:
        tensors = [xpnn.Tensor(array, requires_grad=True) for array in (x, w)]
        y = conv2d(*tensors, padding=padding, dilation=dilation)
        (y * y).sum().backward()
        return [y.array, *(tensor.grad.array for tensor in tensors)]

    found = run()
    with reference_only():
        expected = run()
    for one, other in zip(found, expected):
        assert np.allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


def test_exact_leaves_winograd_out() -> None:
    """Both are right; the plain sums are nearer."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 64, 16, 16)), rng.standard_normal((64, 64, 3, 3))
    exact = conv2d(x, w, padding=1)
    x, w = x.astype(np.float32), w.astype(np.float32)
    error = lambda: np.abs(conv2d(x, w, padding=1) - exact).max() / np.abs(exact).max()
    fast = error()
    with xpnn.use_precision("exact"):
        plain = error()
    assert plain < 2e-6 < fast < 1e-4 or plain < fast < 1e-4
    xpnn.set_precision("exact")
    try:
        assert error() == plain
    finally:
        xpnn.set_precision("fast")
    assert error() == fast


def test_precision_has_two_levels() -> None:
    with pytest.raises(ArgumentError, match="'fast' or 'exact'"):
        xpnn.set_precision("double")
    with pytest.raises(ArgumentError), xpnn.use_precision("high"):
        pass
    assert xpnn.get_precision() == "fast"


def test_two_threads_at_once() -> None:
    """Scratch memory is each thread's own: results are those of one thread, to the bit."""
    rng = np.random.default_rng(0)
    layers = [(16, 16, 3, 1, 1), (16, 16, 3, 2, 1), (16, 8, 1, 1, 1), (3, 16, 5, 1, 1), (16, 16, 3, 1, 16)]
    tasks = []
    for inputs, outputs, cells, stride, groups in layers:
        x = rng.standard_normal((8, inputs, 32, 32)).astype(np.float32)
        w = rng.standard_normal((outputs, inputs // groups, cells, cells)).astype(np.float32)
        tasks.append((x, w, {"stride": stride, "padding": cells // 2, "groups": groups}))

    def train() -> list[np.ndarray]:
        results = []
        for x, w, options in tasks * 3:
            x, w = xpnn.tensor(x, requires_grad=True), xpnn.tensor(w, requires_grad=True)
            y = conv2d(x, w, **options)
            (y * y).sum().backward()
            results += [y.array, x.grad.array, w.grad.array]
        return results

    expected, actual = train(), [[], []]
    threads = [threading.Thread(target=lambda i=i: actual[i].extend(train())) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in actual:
        assert len(results) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


def test_second_derivatives_through_the_kernel() -> None:
    """The kernel's own backward makes both gradients at once; the second derivative replays the reference."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 8, 9, 9)), rng.standard_normal((3, 8, 3, 3))

    def second() -> list[np.ndarray]:
        a, b = xpnn.tensor(x, requires_grad=True), xpnn.tensor(w, requires_grad=True)
        (gx,) = xpnn.grad((conv2d(a, b, padding=1) ** 2).sum(), [a], create_graph=True)
        return [g.array for g in xpnn.grad((gx**2).sum(), [a, b])]

    with reference_only():
        expected = second()
    for a, b in zip(second(), expected, strict=True):
        assert np.allclose(a, b, rtol=1e-10, atol=1e-9)


def test_arguments_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 16, 20, 20)), rng.standard_normal((16, 16, 3, 3))
    b, gy = rng.standard_normal(16), rng.standard_normal((4, 16, 20, 20))
    arrays = [a.astype(np.float32) for a in (x, w, b, gy)]
    for a in arrays:
        a.flags.writeable = False
    tensors = [xpnn.tensor(a, requires_grad=True) for a in arrays[:3]]
    for t, a in zip(tensors, arrays, strict=False):
        t.array = a
    conv2d(*tensors, padding=1).backward(xpnn.tensor(arrays[3]))
    assert all(t.grad is not None for t in tensors)


def check(
    window: Any, batch: Any, inputs: int, outputs: int, groups: int, tolerance: float | None = None
) -> None:
    """The three primitives, and the gradients of the first."""
    rng = np.random.default_rng(batch["seed"])
    options = {key: window[key] for key in ("stride", "padding", "dilation")}
    size, kernel_size = window["size"], window["kernel_size"]
    x = array(rng, batch, inputs, size)
    gy = array(rng, batch, outputs, output_size(size, kernel_size, **options))
    w = rng.standard_normal((outputs, inputs // groups, *kernel_size)).astype(batch["dtype"])
    b = rng.standard_normal(outputs).astype(batch["dtype"])
    options["groups"] = groups
    tolerance = tolerance or TOLERANCE[batch["dtype"]]
    for call in (
        lambda: [primitives.conv(x, w, b, **options), primitives.conv(x, w, None, **options)],
        lambda: [primitives.conv_input_gradient(gy, w, size=size, **options)],
        lambda: [primitives.conv_weight_gradient(x, gy, kernel_size=kernel_size, **options)],
        lambda: derivatives(x, w, b, gy, options),
    ):
        actual = call()
        with reference_only():
            expected = call()
        for a, e in zip(actual, expected, strict=True):
            assert a.dtype == e.dtype
            assert a.shape == e.shape
            assert np.abs(a - e).max(initial=0.0) <= tolerance * (1 + np.abs(e).max(initial=0.0))


def derivatives(x: Any, w: Any, b: Any, gy: Any, options: Any) -> list[np.ndarray]:
    leaves = [xpnn.tensor(a, requires_grad=True) for a in (x, w, b)]
    for leaf, a in zip(leaves, (x, w, b), strict=True):
        leaf.array = a
    primitives.conv(*leaves, **options).backward(xpnn.tensor(gy))
    return [leaf.grad.array for leaf in leaves]


def array(rng: np.random.Generator, batch: Any, channels: int, size: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal((batch["count"], channels, *size)).astype(batch["dtype"])
    if batch["lies"] == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if batch["lies"] == "gapped":
        return np.repeat(np.repeat(x, 2, axis=1), 2, axis=-1)[:, ::2][..., ::2]
    if batch["lies"] == "backwards":
        return np.flip(x, tuple(range(2, x.ndim)))
    x.flags.writeable = batch["lies"] != "read only"
    return x
