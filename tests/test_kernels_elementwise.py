"""NumPy's elementwise and row-wise kernels against the references, over random shapes and layouts."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import assert_same, examples

import xpnn
from xpnn.autograd import ops
from xpnn.autograd.ops import reductions
from xpnn.autograd.ops.activation import _select
from xpnn.autograd.primitive import Primitive
from xpnn.backend import find_backend, find_kernels, reference_only
from xpnn.backend.random import uniform


def module(name: str) -> Any:
    """The module itself: a family gives out functions of the same names as its files."""
    return importlib.import_module(f"xpnn.{name}")


PRIMITIVES: dict[str, Any] = {
    name: value
    for family in (
        "activation.exponential",
        "activation.gelu",
        "activation.hard",
        "activation.pointwise",
        "activation.rectified",
        "activation.sigmoid",
        "dropout",
        "embedding.table",
        "loss.binary",
        "loss.cross_entropy",
        "loss.divergence",
        "loss.regression",
        "norm.group",
        "norm.layer",
        "norm.rms",
    )
    for name, value in vars(module(f"functional.{family}")).items()
    if isinstance(value, Primitive)
}
PRIMITIVES |= {
    f"_{name}": getattr(ops, name) for name in ("log_softmax", "relu", "sigmoid", "softmax", "tanh")
}
KERNELS: dict[str, Any] = {
    name: module(f"kernels.numpy.{name}")
    for name in (
        "activation.pointwise",
        "activation.softmax",
        "chunks",
        "dropout",
        "embedding",
        "loss",
        "norm.group",
        "norm.layer",
        "ops.cumulative",
        "ops.elementwise",
        "ops.reductions",
        "parallel",
        "programs",
    )
}
ACTIVATIONS: dict[str, dict[str, float]] = {
    "gelu": {},
    "gelu_tanh": {},
    "hardsigmoid": {},
    "hardswish": {},
    "logsigmoid": {},
    "mish": {},
    "relu": {},
    "sigmoid": {},
    "silu": {},
    "softsign": {},
    "tanh": {},
    "tanhshrink": {},
    "elu": {"alpha": 1.0, "scale": 1.0, "rate": 1.0},
    "selu": {"alpha": 1.7, "scale": 1.05, "rate": 1.0},
    "celu": {"alpha": 2.0, "scale": 1.0, "rate": 0.5},
    "softplus": {"beta": 2.0, "threshold": 20.0},
    "hardtanh": {"low": -1.0, "high": 0.5},
    "relu6": {"low": 0.0, "high": 6.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
    "step": {"at_zero": 0.5},
    "leaky_relu": {"slope": 0.01},
    "threshold": {"least": 0.1, "value": -0.0},
}
LOSSES: dict[str, dict[str, Any]] = {
    "_mse_loss": {},
    "_half_squared_error": {},
    "_l1_loss": {},
    "_huber_loss": {"delta": 0.7, "scale": 1.0},
    "_smooth_l1_loss": {"delta": 0.5, "scale": 2.0},
    "_binary_cross_entropy": {},
    "bce_with_logits": {},
    "_kl_div": {"log_target": False},
    "_js_div": {},
}
LAYOUTS = ("straight", "transposed", "gapped", "backwards", "read only")


@pytest.fixture(autouse=True)
def kernels_take_small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("activation.pointwise", "loss"):
        monkeypatch.setattr(KERNELS[name], "FEW", 0)
    for name in ("dropout", "ops.elementwise", "ops.reductions"):
        monkeypatch.setattr(KERNELS[name], "_LARGE", 1)
    for name in ("embedding", "norm.layer"):
        monkeypatch.setattr(KERNELS[name], "_MANY", 1)
    monkeypatch.setattr(KERNELS["activation.softmax"], "_WORTHWHILE", 1)
    for name in ("_MANY", "_STRETCHED"):
        monkeypatch.setattr(KERNELS["ops.elementwise"], name, 1)
    for name in ("_SLICE", "_TOGETHER"):
        monkeypatch.setattr(KERNELS["ops.cumulative"], name, 2)
    for name in ("chunks", "parallel"):
        monkeypatch.setattr(KERNELS[name], "WORTHWHILE", 1)


@contextmanager
def cut_up(threads: int, chunk: int) -> Iterator[None]:
    """That many threads, and pieces of so many bytes."""
    sizes = [(KERNELS["chunks"], "CHUNK_BYTES"), (KERNELS["programs"], "PIECE_BYTES")]
    sizes += [(KERNELS["programs"], "SUMMED_BYTES")]
    before = [getattr(*size) for size in sizes]
    for size in sizes:
        setattr(*size, chunk)
    threads_before = xpnn.get_num_threads()
    xpnn.set_num_threads(threads)
    try:
        yield
    finally:
        for size, value in zip(sizes, before):
            setattr(*size, value)
        xpnn.set_num_threads(threads_before)


@st.composite
def arrays(draw: st.DrawFn, ranks: tuple[int, int] = (0, 4)) -> np.ndarray:
    """An array in one of several layouts, with numbers from tiny to large; it may be empty."""
    shape = tuple(draw(st.lists(st.integers(0, 6), min_size=ranks[0], max_size=ranks[1])))
    return laid(
        np.random.default_rng(draw(st.integers(0, 9))),
        shape,
        draw(st.sampled_from(["float32", "float64"])),
        draw(st.sampled_from(LAYOUTS)),
        draw(st.sampled_from([0.01, 1.0, 30.0])),
    )


def laid(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, lies: str = "straight", scale: float = 1.0
) -> np.ndarray:
    x = np.asarray(scale * rng.standard_normal(shape), dtype=dtype)
    if lies == "transposed" and x.ndim:
        return np.ascontiguousarray(x.T).T
    if lies == "gapped" and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if lies == "backwards" and x.ndim:
        return x[(slice(None, None, -1),) * x.ndim]
    x.flags.writeable = lies != "read only"
    return x


CUTS = st.tuples(st.integers(1, 3), st.integers(1, 300))


@examples(120)
@given(st.sampled_from([*ACTIVATIONS]), arrays(), st.sampled_from(LAYOUTS), CUTS)
def test_activations(name: str, x: np.ndarray, lies: str, cut: Any) -> None:
    gy = laid(np.random.default_rng(1), x.shape, x.dtype.name, lies)
    with cut_up(*cut):
        compare(PRIMITIVES["_" + name], (x,), ACTIVATIONS[name], gy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "gelu"])
def test_activations_are_written_from_their_formulas(name: str, dtype: str) -> None:
    """All of them, to the last digits; the bits of NaN, infinities and zeros, and where a formula bends."""
    edges = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0, -3.0, 6.0, 1.0, -1.0, 0.5, -0.5, 0.1]
    x, gy = (a.ravel() for a in np.meshgrid(np.asarray(edges, dtype=dtype), np.asarray(edges, dtype=dtype)))
    primitive, options = PRIMITIVES["_" + name], ACTIVATIONS[name]
    with np.errstate(all="ignore"):
        y, saved, backward = run(primitive, (x,), options)
        gradients = backward(gy, saved, (True,), **options)
        expected, saved = primitive.forward(x, **options)
        others = primitive.backward_function(gy, saved, (True,), **options)
    assert backward is not primitive.backward_function
    for actual, other in zip((y, *gradients), (expected, *others), strict=True):
        np.testing.assert_allclose(actual, other, rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "asks", [lambda xp, x: x / x.size, lambda xp, x: x / x.shape[-1]], ids=["size", "axis"]
)
def test_what_asks_for_sizes_is_no_program(asks: Any) -> None:
    """They are those of the arrays, which no recording knows."""
    assert module("kernels.numpy.programs").Programs((asks, "a")).find(np.dtype("float32"), {}) is None


def test_programs_tell_zeros_by_their_sign() -> None:
    primitive, x = PRIMITIVES["_threshold"], np.zeros(3, dtype=np.float32)
    for value in (0.0, -0.0, 0.0):
        y, *_ = run(primitive, (x,), {"least": 1.0, "value": value})
        assert np.array_equal(np.signbit(y), [math.copysign(1, value) < 0] * 3)


@examples(120)
@given(
    st.sampled_from([*LOSSES]),
    arrays(),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["none", "sum", "mean"]),
    CUTS,
)
def test_losses_of_single_elements(name: str, x: np.ndarray, lies: str, reduction: str, cut: Any) -> None:
    primitive, rng = PRIMITIVES[name], np.random.default_rng(1)
    x, t = (abs(a) % 1 for a in (x, laid(rng, x.shape, x.dtype.name, lies)))
    if x.size == 0:
        return
    options = {"reduction": reduction, "count": x.size, **LOSSES[name]}
    gy = laid(rng, x.shape if reduction == "none" else (), x.dtype.name, lies)
    with cut_up(*cut):
        compare(primitive, (x, t, None, *[None] * len(primitive.others)), options, gy)


def test_sums_of_losses_keep_their_digits() -> None:
    """In float32, of as many as are summed up in several pieces, by two threads."""
    x = (1 + np.random.default_rng(0).random(1_500_000)).astype(np.float32)
    with cut_up(2, 2**18):
        y, *_ = run(PRIMITIVES["_mse_loss"], (x, 0 * x, None), {"reduction": "mean", "count": x.size})
    assert abs(float(y) / np.mean(np.square(x, dtype=np.float64)) - 1) < 3e-7


@examples(60)
@given(arrays(), st.sampled_from(LAYOUTS))
def test_select(x: np.ndarray, lies: str) -> None:
    compare(_select, (laid(np.random.default_rng(1), x.shape, "float32", lies) > 0, x), {}, x)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "sigmoid", "silu", "tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_arguments(name: str, dtype: str) -> None:
    """No warning, and the limits; what is no number stays none."""
    x = np.asarray([-1e18, -200.0, -90.0, -0.0, 0.0, 1e-30, 90.0, 200.0, 1e18], dtype=dtype)
    if name == "gelu_tanh":
        x = x[1:-1]  # the reference's cube overflows
    primitive = PRIMITIVES["_" + name]
    compare(primitive, (x,), {}, np.ones_like(x))
    assert np.isnan(run(primitive, (np.asarray([np.nan], dtype=dtype),), {})[0]).all()


def test_gelu_is_off_by_less_than_a_digit_of_float32() -> None:
    x = np.linspace(-12, 12, 100_001)
    with reference_only():
        exact = PRIMITIVES["_gelu"](x)
    y, *_ = run(PRIMITIVES["_gelu"], (x.astype(np.float32),), {})
    assert np.abs(y - exact).max() < 1e-6
    assert np.abs(y - exact)[np.abs(x) < 2].max() < 4e-7


@examples(100)
@given(arrays(ranks=(1, 4)), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 3), CUTS)
def test_layer_norm(x: np.ndarray, features: int, scaled: bool, shifted: bool, above: int, cut: Any) -> None:
    features = min(features, x.ndim)
    rng = np.random.default_rng(2)
    shape = x.shape[x.ndim - features :]
    w = laid(rng, shape, x.dtype.name, "gapped") if scaled else None
    b = laid(rng, shape, x.dtype.name) if shifted else None
    kept = (*x.shape[: x.ndim - features], *(1,) * features)
    gradients = [laid(rng, s, x.dtype.name, "transposed") for s in (x.shape, kept, kept)]
    chosen = tuple(g if above == 0 or above - 1 == i else None for i, g in enumerate(gradients))
    options = {"features": features, "eps": 1e-5}
    if x.size == 0:
        return
    with cut_up(*cut):
        compare(PRIMITIVES["_layer_norm"], (x, w, b), options, chosen)
        two = (chosen[0], chosen[1]) if chosen[0] is not None or chosen[1] is not None else gradients[:2]
        compare(PRIMITIVES["_rms_norm"], (x, w), options, tuple(two))


@examples(80)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(1, 6), max_size=3),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(LAYOUTS),
    st.booleans(),
    st.integers(0, 3),
    CUTS,
)
def test_group_norm(
    monkeypatch: pytest.MonkeyPatch,
    sizes: tuple[int, int, int],
    space: list[int],
    dtype: str,
    lies: str,
    affine: bool,
    above: int,
    cut: Any,
) -> None:
    monkeypatch.setattr(KERNELS["norm.group"], "_SHORTEST", 1)
    monkeypatch.setattr(KERNELS["norm.group"], "_CHUNK_BYTES", cut[1])
    count, groups, members = sizes
    rng = np.random.default_rng(9)
    x = laid(rng, (count, groups * members, *space), dtype, lies)
    w, b = (laid(rng, (groups * members,), dtype, "gapped") if affine else None for _ in range(2))
    gradients = [laid(rng, s, dtype, "transposed") for s in (x.shape, (count, groups), (count, groups))]
    chosen = tuple(g if above == 0 or above - 1 == i else None for i, g in enumerate(gradients))
    with cut_up(*cut):
        compare(PRIMITIVES["_group_norm"], (x, w, b), {"groups": groups, "eps": 1e-5}, chosen)


def test_layer_norm_far_from_zero() -> None:
    """A mean of a hundred standard deviations costs two digits, not more."""
    rng = np.random.default_rng(0)
    x = (100 + rng.standard_normal((40, 33))).astype(np.float32)
    gy = rng.standard_normal(x.shape).astype(np.float32)
    primitive, options = PRIMITIVES["_layer_norm"], {"features": 1, "eps": 1e-5}
    w = np.ones(33, dtype=np.float32)
    (y, *_), saved, backward = run(primitive, (x, w, w), options)
    gradients = backward((gy, None, None), saved, (True,) * 3, **options)
    wide = [a.astype(np.float64) for a in (x, w, w)]
    (exact, *_), saved = primitive.forward(*wide, **options)
    expected = primitive.backward_function((gy.astype(np.float64), None, None), saved, (True,) * 3, **options)
    for actual, other in zip((y, *gradients), (exact, *expected), strict=True):
        assert np.abs(actual - other).max() < 2e-4


@examples(100)
@given(st.sampled_from(["softmax", "log_softmax"]), arrays(ranks=(1, 4)), st.integers(0, 3), CUTS)
def test_softmax(name: str, x: np.ndarray, axis: int, cut: Any) -> None:
    gy = laid(np.random.default_rng(3), x.shape, x.dtype.name, "transposed")
    if x.size == 0:
        return
    with cut_up(*cut):
        compare(PRIMITIVES["_" + name], (x,), {"axis": axis % x.ndim}, gy)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_extreme_scores(name: str) -> None:
    x = np.asarray([[0.0, -np.inf, 1e4], [3e38, -3e37, 0.0], [-np.inf, 0.0, 0.0]], dtype=np.float32)
    primitive = PRIMITIVES["_" + name]
    with np.errstate(invalid="ignore"):
        y, *_ = run(primitive, (x,), {"axis": 1})
        expected, _ = primitive.forward(x, axis=1)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@examples(100)
@given(
    st.integers(0, 6),
    st.integers(1, 7),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([0.01, 1.0, 1e4]),
    CUTS,
)
def test_cross_entropy(
    count: int, classes: int, dtype: str, lies: str, reduction: str, scale: float, cut: Any
) -> None:
    rng = np.random.default_rng(4)
    x = laid(rng, (count, classes), dtype, lies, scale)
    target = rng.integers(0, classes, count)
    gy = np.asarray(rng.standard_normal(count if reduction == "none" else ()), dtype=dtype)
    if count == 0 and reduction == "mean":
        return
    options = {"axis": 1, "reduction": reduction}
    with cut_up(*cut):
        compare(PRIMITIVES["_nll_loss"], (x, target, None, None), options, gy)
        options["label_smoothing"] = 0.0
        compare(PRIMITIVES["_cross_entropy"], (x, target, None, None), options, gy)


@examples(100)
@given(
    st.sampled_from(["sum", "mean"]),
    arrays(),
    st.sets(st.integers(-4, 3)),
    st.booleans(),
    CUTS,
    st.integers(1, 5),
)
def test_reductions(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    x: np.ndarray,
    axes: set[int],
    keepdims: bool,
    cut: Any,
    summands: int,
) -> None:
    """Over any axes of any layout; a single one may be named by its number."""
    monkeypatch.setattr(KERNELS["ops.reductions"], "_SUMMANDS", summands)
    chosen = tuple(sorted({a % x.ndim for a in axes if -x.ndim <= a < x.ndim}))
    if not chosen or x.size == 0:
        return
    options: dict[str, Any] = {"axis": chosen if len(chosen) > 1 else chosen[0] - x.ndim}
    options["keepdims"] = keepdims
    if name == "sum":
        options["dtype"] = None
    primitive = getattr(reductions, "_" + name)
    with cut_up(*cut):
        y, *_ = run(primitive, (x,), options)
        compare(primitive, (x,), options, np.ones_like(y))


@examples(60)
@given(st.sampled_from(["add", "subtract", "multiply", "divide"]), arrays(), st.sampled_from(LAYOUTS), CUTS)
def test_arithmetic(name: str, x: np.ndarray, lies: str, cut: Any) -> None:
    other = laid(np.random.default_rng(6), x.shape, x.dtype.name, lies) + 10
    gy = laid(np.random.default_rng(7), x.shape, x.dtype.name, "transposed")
    with cut_up(*cut):
        compare(getattr(ops, name), (x, other), {}, gy)


@examples(80)
@given(arrays(), st.integers(0, 15), st.booleans(), st.booleans(), st.sampled_from([2, 4096]))
def test_products_of_broadcast_factors(
    monkeypatch: pytest.MonkeyPatch, x: np.ndarray, stretched: int, fewer: bool, swapped: bool, summands: int
) -> None:
    """Any axes of one factor are of one element, and the first ones may be missing."""
    monkeypatch.setattr(KERNELS["ops.elementwise"], "_SUMMANDS", summands)
    rng = np.random.default_rng(6)
    other = rng.standard_normal([1 if stretched >> i & 1 else n for i, n in enumerate(x.shape)])
    other = np.asarray(other[0] if fewer and other.ndim and len(other) == 1 else other, dtype=x.dtype)
    gy = laid(rng, x.shape, x.dtype.name, "transposed")
    compare(ops.multiply, (other, x) if swapped else (x, other), {}, gy)


@examples(60)
@given(arrays(ranks=(1, 4)), st.booleans(), st.booleans())
def test_logaddexp(x: np.ndarray, row: bool, special: bool) -> None:
    """Infinities and NaN, too, of which the difference of two may be none."""
    rng = np.random.default_rng(6)
    y = rng.standard_normal(x.shape[-1:] if row else x.shape).astype(x.dtype)
    compare(ops.logaddexp, (x, y), {}, laid(rng, x.shape, x.dtype.name, "transposed"))
    assert_same(ops.logaddexp(x, 0.5), np.logaddexp(x, x.dtype.type(0.5)))
    if special:
        x, y = (
            a.ravel() for a in np.meshgrid(*[np.asarray([np.inf, -np.inf, np.nan, 1], dtype=x.dtype)] * 2)
        )
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(ops.logaddexp(x, y)[:-1], np.logaddexp(x, y)[:-1])


@examples(80)
@given(arrays(ranks=(1, 4)), st.integers(-4, 3), st.booleans())
def test_cumulative_sum(x: np.ndarray, axis: int, same: bool) -> None:
    """To the library's bits; of elements that are one in memory, too."""
    axis = axis % x.ndim - (x.ndim if axis < 0 else 0)
    x = np.broadcast_to(x[:1], x.shape) if same and len(x) else x
    gy = laid(np.random.default_rng(6), x.shape, x.dtype.name, "transposed")
    options = {"axis": axis, "dtype": None, "include_initial": False}
    compare(reductions._cumulative_sum, (x,), options, gy)
    np.testing.assert_array_equal(reductions.cumulative_sum(x, axis=axis), np.cumsum(x, axis=axis))


@examples(80)
@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=2),
    st.integers(1, 9),
    st.integers(0, 5),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(LAYOUTS),
    st.sampled_from([2, 3, 32]),
)
def test_sum_into_rows(
    monkeypatch: pytest.MonkeyPatch,
    shape: list[int],
    rows: int,
    features: int,
    dtype: str,
    lies: str,
    piece: int,
) -> None:
    monkeypatch.setattr(KERNELS["embedding"], "_PIECE", piece)
    rng = np.random.default_rng(8)
    indices = rng.integers(0, rows, shape)
    values = laid(rng, (*shape, features), dtype, lies)
    gy = laid(rng, (rows, features), dtype)
    compare(PRIMITIVES["sum_into_rows"], (values, indices), {"rows": rows}, gy)


@examples(60)
@given(arrays(), st.sampled_from(LAYOUTS), st.sampled_from([0.0, 0.3, 1.0]), CUTS)
def test_dropout(x: np.ndarray, lies: str, p: float, cut: Any) -> None:
    rng = np.random.default_rng(5)
    keep = laid(rng, x.shape, "float32", lies) > 0
    gy = laid(rng, x.shape, x.dtype.name, "transposed")
    with cut_up(*cut):
        compare(PRIMITIVES["_dropout"], (x, keep), {"p": p}, gy)


@examples(60)
@given(
    st.lists(st.integers(0, 40), max_size=3),
    st.sampled_from([0.0, 1e-9, 0.1, 0.5, 1 - 1e-9, 1.0]),
    st.integers(0, 2**63 - 1),
    st.integers(0, 1000),
    st.integers(1, 3),
    st.integers(1, 50),
)
def test_masks_have_the_bits_of_the_stream(
    shape: list[int], p: float, seed: int, counter: int, threads: int, blocks: int
) -> None:
    kernels, like = KERNELS["dropout"], np.zeros(1, dtype=np.float32)
    kernels._several_draws.cache_clear()
    draw = {"shape": tuple(shape), "seed": seed, "counter": counter}
    expected = uniform(like=like, **draw) >= math.ceil(p * 2**24) / 2**24
    blocks_before, kernels.THREEFRY_BLOCKS = kernels.THREEFRY_BLOCKS, blocks
    few_before, kernels._FEW_BLOCKS = kernels._FEW_BLOCKS, blocks
    try:
        with cut_up(threads, 1):
            mask = PRIMITIVES["_threefry_mask"](like, steps=math.ceil(p * 2**24), **draw)
    finally:
        kernels.THREEFRY_BLOCKS, kernels._FEW_BLOCKS = blocks_before, few_before
        kernels._several_draws.cache_clear()
    assert mask.dtype == bool
    assert np.array_equal(mask, expected)


def compare(primitive: Any, inputs: Any, options: dict[str, Any], gy: Any) -> None:
    """Kernel and reference: outputs and gradients; the inputs stay as they were."""
    before = [a if a is None else a.copy() for a in inputs]
    needs = tuple(a is not None and a.dtype.kind == "f" for a in inputs)
    y, saved, backward = run(primitive, inputs, options)
    gradients = backward(gy, saved, needs, **options)
    with reference_only():
        expected, reference_saved = primitive.forward(*inputs, **options)
        others = primitive.backward_function(gy, reference_saved, needs, **options)
    several = isinstance(expected, tuple)
    for actual, other in zip(y if several else [y], expected if several else [expected], strict=True):
        assert_same(actual, other)
    for needed, actual, other in zip(needs, gradients, others, strict=True):
        if needed:
            assert_same(actual, other)
    for a, b in zip(inputs, before, strict=True):
        assert a is b is None or np.array_equal(np.asarray(a), np.asarray(b))


def run(primitive: Any, inputs: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The output, what was saved, and the backward of NumPy's own kernel (or of the reference)."""
    for kernel in find_kernels(find_backend("numpy"), primitive.name):
        plain = kernel.forward.__module__.startswith("xpnn.kernels.numpy")
        if plain and (kernel.when is None or kernel.when(*inputs, **options)):
            y, saved = kernel.forward(*inputs, **options)
            return y, saved, kernel.backward_function or primitive.backward_function
    return *primitive.forward(*inputs, **options), primitive.backward_function
