"""Kernels that Numba compiles, against the reference."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import functional as F
from xpnn import optim
from xpnn.autograd import grad, ops, tensor
from xpnn.backend import (
    choose_kernel,
    find_backend,
    find_kernels,
    random,
    reference_only,
)
from xpnn.functional.activation.gelu import _gelu, _gelu_tanh
from xpnn.functional.activation.sigmoid import _silu
from xpnn.functional.conv import primitives
from xpnn.functional.dropout import _dropout, _threefry_mask
from xpnn.functional.embedding.table import sum_into_rows
from xpnn.functional.loss.cross_entropy import _cross_entropy
from xpnn.functional.norm import batch as norm
from xpnn.functional.norm import layer
from xpnn.functional.pool import average
from xpnn.functional.pool import maximum as pool
from xpnn.functional.recurrent.recurrence import _lstm

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
WINDOW = {"kernel_size": (2, 3), "stride": (2, 1), "padding": ((1, 0), (1, 1)), "dilation": (1, 1)}


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiled kernels, also for few elements, which plain NumPy is as fast with."""
    monkeypatch.setattr("xpnn.kernels.numba.activation.pointwise.FEW", -1)
    before = xpnn.get_numba()
    xpnn.set_numba(True)
    yield
    xpnn.set_numba(before)


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks)


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    """Of which element type, and how they lie in memory."""
    return {
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "lies": draw(st.sampled_from(["straight", "channels last", "gapped", "backwards", "read only"])),
        "rng": np.random.default_rng(draw(st.integers(0, 99))),
    }


shapes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(3, 7), st.integers(3, 7))


@examples(60)
@given(shapes, arrays(), st.booleans(), st.booleans(), st.booleans(), st.floats(-100, 100))
def test_batch_norm(
    shape: tuple[int, ...], kind: Any, affine: bool, residual: bool, relu: bool, mean: float
) -> None:
    x, gy = array(shape, kind, mean), array(shape, kind)
    w, b = (array(shape[1:2], kind) if affine else None for _ in range(2))
    r = array(shape, kind) * 10 if residual else None
    if relu:  # nowhere near zero, where the mask hangs on the last digit
        r = np.where(array(shape, kind) > 0, 50, -50).astype(x.dtype)
    gradients = (gy, array(shape[1:2], kind), array(shape[1:2], kind))
    scale = 1 + abs(mean) if kind["dtype"] == "float32" else 1 + mean**2  # of the digits that x has in common
    options = {"eps": 1e-5, "relu": relu}
    compare(norm._batch_norm, (x, w, b, r), options, gradients, scale)
    compare(norm._batch_norm, (x, w, b, r), options, (gy, None, None), scale)
    statistics = array(shape[1:2], kind), np.abs(array(shape[1:2], kind))
    compare(norm._batch_norm_inference, (x, *statistics, w, b, r), options, scale=scale)


def test_batch_norm_of_a_large_batch_with_a_jump() -> None:
    """Its mean is far from that of the rows that it is guessed from; threads share the sums."""
    x = np.random.default_rng(0).standard_normal((300, 8, 16, 16)) * 1e-3
    x[3::7] += 5
    exact, _ = norm._batch_norm.forward(x, None, None, None, eps=1e-5, relu=False)
    x = x.astype(np.float32)
    for lies in (x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        outputs, _ = run(norm._batch_norm, (lies, None, None, None), {"eps": 1e-5, "relu": False})
        for y, expected in zip(outputs, exact, strict=True):
            assert_same(y, expected.astype(np.float32))


@examples(60)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 40), arrays(), st.booleans())
def test_layer_norm(samples: list[int], size: int, kind: Any, affine: bool) -> None:
    shape = (*samples, size)
    x, gy = array(shape, kind), array(shape, kind)
    w, b = (array((size,), kind) if affine else None for _ in range(2))
    statistics = [array((*samples, 1), kind) for _ in range(2)]
    options = {"features": 1, "eps": 1e-2}
    compare(layer._layer_norm, (x, w, b), options, (gy, *statistics), scale=10)
    compare(layer._layer_norm, (x, w, b), options, (gy, None, None), scale=10)


@examples(60)
@given(shapes, arrays())
def test_activations(shape: tuple[int, ...], kind: Any) -> None:
    x, gy = 4 * array(shape, kind), array(shape, kind)
    for primitive in [ops.relu] + [_gelu, _gelu_tanh, _silu] * (kind["dtype"] == "float32"):
        compare(primitive, (x,), {}, gy)


@examples(60)
@given(st.tuples(st.integers(1, 9), st.integers(1, 70)), arrays(), st.sampled_from(["none", "sum", "mean"]))
def test_softmax_and_cross_entropy(shape: tuple[int, int], kind: Any, reduction: str) -> None:
    kind["dtype"] = "float32"
    x, gy = 10 * array(shape, kind), array(shape, kind)
    compare(ops.softmax, (x,), {"axis": 1}, gy)
    labels = kind["rng"].integers(0, shape[1], shape[0])
    options = {"axis": 1, "reduction": reduction, "label_smoothing": 0.0}
    gy = array(shape[:1] if reduction == "none" else (), kind)
    compare(_cross_entropy, (x, labels, None, None), options, gy)


def test_softmax_of_extremes() -> None:
    x = np.float32([[-np.inf, 0, 0], [1e30, 0, -1e30], [-3e38, -3e38, -np.inf], [-90, 0, -200]])
    compare(ops.softmax, (x,), {"axis": 1})
    for place in range(40):
        x = np.zeros((1, 40), dtype=np.float32)
        x[0, place] = np.nan
        y, _ = run(ops.softmax, (x,), {"axis": 1})
        assert np.isnan(y).all()


@examples(60)
@given(shapes, arrays(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_pooling(shape: tuple[int, ...], kind: Any, k: int, stride: int, dilation: int) -> None:
    kind["lies"] = "channels last"
    shape = (shape[0], shape[1] + 3, *shape[2:])
    x = array(shape, kind)
    window = {
        "kernel_size": (k, 2),
        "stride": (stride, 2),
        "padding": ((k // 2, 0), (1, 1)),
        "dilation": (dilation, 1),
    }
    if dilation * (k - 1) >= shape[2]:
        return
    for values in (x, np.round(x)):  # of which many are equal
        with reference_only():
            gy = array(pool._max_pool(values, **window).shape, kind)
        compare(pool._max_pool, (values,), window, gy)
    del window["dilation"]
    with reference_only():
        gy = array(average._sum_pool(x, **window).shape, kind)
    compare(average._sum_pool, (x,), window)
    compare(average._spread_over_windows, (gy,), {"size": shape[2:], **window})


@examples(40)
@given(
    st.tuples(*(st.integers(1, 5) for _ in range(4))),
    arrays(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
def test_lstm(
    sizes: tuple[int, ...], kind: Any, biased: bool, reverse: bool, known: tuple[bool, bool]
) -> None:
    kind["dtype"] = "float32"
    steps, batch, features, size = sizes
    size *= 16
    sequence, first = array((steps, batch, features), kind), [array((batch, size), kind) for _ in range(2)]
    weights = array((4 * size, features), kind), array((4 * size, size), kind)
    biases = [array((4 * size,), kind) if biased else None for _ in range(2)]
    gradients = tuple(array((steps, batch, size), kind) if given else None for given in known)
    compare(_lstm, (sequence, *first, *weights, *biases, None), {"reverse": reverse}, gradients)


def test_lstm_on_threads() -> None:
    kind = {"dtype": "float32", "lies": "straight", "rng": np.random.default_rng(0)}
    inputs = [array(shape, kind, 0) for shape in ((9, 33, 40), (33, 64), (33, 64), (256, 40), (256, 64))]
    inputs[3:] = [w / 8 for w in inputs[3:]]
    gradients = array((9, 33, 64), kind), array((9, 33, 64), kind)
    compare(_lstm, (*inputs, None, None, None), {"reverse": False}, gradients)


@examples(60)
@given(shapes, arrays(), st.sampled_from([0.0, 0.3, 1.0]))
def test_dropout(shape: tuple[int, ...], kind: Any, p: float) -> None:
    x, gy, keep = array(shape, kind), array(shape, kind), kind["rng"].random(shape) < 0.5
    compare(_dropout, (x, keep), {"p": p}, gy)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (333,), (500, 401)])
@pytest.mark.parametrize("p", [0.0, 2**-24, 0.3, 1 - 2**-24])
def test_masks_are_the_same_bits(shape: tuple[int, ...], p: float) -> None:
    """Also for a key and a counter with all bits in use."""
    like = np.zeros((), dtype=np.float32)
    draw = {"seed": 2**63 - 987654321, "counter": 2**31 - 5}
    mask, _ = run(_threefry_mask, (like,), {"shape": shape, "steps": math.ceil(p * 2**24), **draw})
    np.testing.assert_array_equal(mask, random.uniform(shape, like, **draw) >= math.ceil(p * 2**24) / 2**24)


@examples(40)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 9), arrays())
def test_embedding(places: int, features: int, rows: int, kind: Any) -> None:
    values, indices = array((places, 1, features), kind), kind["rng"].integers(0, rows, (places, 1))
    compare(sum_into_rows, (values, indices), {"rows": rows})
    compare(sum_into_rows, (values, indices.astype(np.int32)), {"rows": rows})
    for outside in (-1, rows):
        assert compiled_entry(sum_into_rows, (values, np.full((places, 1), outside)), {"rows": rows}) is None


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@examples(60)
@given(
    st.integers(16, 40), st.integers(1, 8), st.integers(1, 8), arrays(), pairs, pairs, pairs, st.booleans()
)
def test_convolution(
    batch: int, channels: int, outputs: int, kind: Any, more: Any, kernel_size: Any, pad: Any, biased: bool
) -> None:
    if kernel_size == (1, 1):
        return
    size = tuple(k + cells - 1 for k, cells in zip(kernel_size, more, strict=True))
    padding = tuple((p % k, (p + 1) % k) for p, k in zip(pad, kernel_size, strict=True))
    options = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    x, w = array((batch, channels, *size), kind), array((outputs, channels, *kernel_size), kind)
    b = array((outputs,), kind) if biased else None
    with reference_only():
        gy = array(primitives.conv(x, w, b, **options).shape, kind)
    entry = choose_kernel(find_backend("numpy"), "conv", x, w, b, **options)
    compare(primitives.conv, (x, w, b), options, gy, entry=entry)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {}),
        (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
        (optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
        (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (optim.Adam, {"weight_decay": 0.1}),
        (optim.Adam, {"amsgrad": True, "maximize": True}),
        (optim.AdamW, {"betas": (0.0, 0.5), "maximize": True}),
    ],
)
def test_optimizers(kind: Any, options: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 5), (70_000,), ())]
    gradients = [[rng.standard_normal(p.shape).astype(dtype) for p in start] for _ in range(4)]

    def run() -> list[np.ndarray]:
        params = [tensor(p, requires_grad=True) for p in start]
        optimizer = kind(params, lr=0.05, **options)
        for step in gradients:
            for param, gradient in zip(params, step, strict=True):
                param.grad = tensor(gradient)
            optimizer.step()
        return [p.array for p in params]

    results = run()
    with reference_only():
        for result, expected in zip(results, run(), strict=True):
            assert_same(result, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_lost(value: float) -> None:
    x = np.ones((4, 4, 4, 4), dtype=np.float32).transpose(0, 3, 1, 2)
    x[0, 1, 2, 3] = value
    with np.errstate(invalid="ignore"):
        for primitive in (ops.relu, _gelu, _gelu_tanh, _silu):
            compare(primitive, (x,), {}, np.ones_like(x))
        compare(pool._max_pool, (x,), WINDOW)
        if np.isnan(value):
            y, _ = run(norm._batch_norm, (x, None, None, None), {"eps": 1e-5, "relu": False})
            assert np.isnan(y[0][:, 1]).all()
            assert np.isfinite(y[0][:, 0]).all()


def test_two_threads_at_once() -> None:
    """Both use the same compiled functions and the same crew of threads."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 32, 32, 16)).astype(np.float32).transpose(0, 3, 1, 2)
    results: list[Any] = [None] * 4

    def work(i: int) -> None:
        leaf = tensor(x, requires_grad=True)
        y = F.gelu(F.max_pool2d(F.relu(F.batch_norm(leaf, None, None, training=True)), 2))
        results[i] = grad(y.sum(), [leaf])[0].array

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_empty_arrays_are_left_to_others() -> None:
    x = np.ones((0, 4, 3, 3), dtype=np.float32)
    compare(ops.relu, (x,), {}, x)
    for primitive, options in (
        (norm._batch_norm, {"eps": 1e-5, "relu": False}),
        (layer._layer_norm, {"features": 1, "eps": 1e-5}),
    ):
        assert compiled_entry(primitive, (x, None, None, None), options) is None
    assert compiled_entry(pool._max_pool, (x,), WINDOW) is None


def compare(
    primitive: Any, inputs: Any, options: Any, gy: Any = None, scale: float = 1.0, entry: Any = None
) -> None:
    """Kernel and reference: same values, same element type, nothing written to; first derivatives with gy."""
    entry = entry or compiled_entry(primitive, inputs, options)
    assert entry is not None, f"no compiled kernel for {primitive}"
    copies = [None if x is None else x.copy() for x in inputs]
    outputs, saved = entry.forward(*inputs, **options)
    with np.errstate(all="ignore"):
        expected, reference_saved = primitive.forward(*inputs, **options)
    several = type(expected) is tuple
    outputs = list(outputs if several else (outputs,))
    for y, other in zip(outputs, expected if several else (expected,), strict=True):
        assert_same(y, other, scale)
    if gy is not None:
        needs = (True,) * len(inputs)
        with reference_only():
            gradients = primitive.backward_function(gy, reference_saved, needs, **options)
        for gradient, other in zip(
            entry.backward_function(gy, saved, needs, **options), gradients, strict=True
        ):
            if other is not None and gradient is not None:
                assert_same(gradient, other, scale)
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)


def compiled_entry(primitive: Any, inputs: Any, options: Any) -> Any:
    """The compiled kernel that takes a call, if any."""
    for entry in find_kernels(find_backend("numpy"), primitive.name):
        if entry.forward.__module__.startswith("xpnn.kernels.numba") and entry.when(*inputs, **options):
            return entry
    return None


def run(primitive: Any, inputs: Any, options: Any) -> tuple[Any, Any]:
    return compiled_entry(primitive, inputs, options).forward(*inputs, **options)


def assert_same(actual: Any, expected: Any, scale: float = 1.0) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    tolerance = TOLERANCE[expected.dtype.name] * scale * (1 + np.abs(expected[finite]).max(initial=0.0))
    assert np.abs(actual[finite] - expected[finite]).max(initial=0.0) <= tolerance


def array(shape: tuple[int, ...], kind: dict[str, Any], mean: float = 0.0) -> np.ndarray:
    x = (kind["rng"].standard_normal(shape) + mean).astype(kind["dtype"])
    if not x.ndim:
        return x
    if kind["lies"] == "channels last" and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if kind["lies"] == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if kind["lies"] == "backwards":
        return x[..., ::-1]
    x.flags.writeable = kind["lies"] != "read only"
    return x
