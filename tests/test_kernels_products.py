"""Products of matrices on xpnn's own threads against NumPy's, and the affine layer's kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import examples

import xpnn
from xpnn import Tensor
from xpnn import functional as F
from xpnn.backend import reference_only, tuning
from xpnn.kernels.numpy import parallel, products, small_products


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads and chunks for small matrices too."""
    before = xpnn.get_num_threads()
    for module, name, value in (
        (parallel, "WORTHWHILE", 0),
        (products, "WORTHWHILE", 0),
        (products, "_UNTHREADED", 8),
        (products, "_ALIGN", 2),
        (products, "_CHUNK", 12),
        (products, "_BLOCK", 6),
    ):
        monkeypatch.setattr(module, name, value)
    yield
    xpnn.set_num_threads(before)


@st.composite
def operands(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "rows": tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))),
        "features": (draw(st.integers(0, 6)), draw(st.integers(1, 6))),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "lies": draw(st.sampled_from(["straight", "backwards", "transposed", "read only"])),
        "bias": draw(st.booleans()),
        "threads": draw(st.integers(1, 3)),
        "way": products._Way(draw(st.booleans()), draw(st.integers(0, 4))),
        "seed": draw(st.integers(0, 9)),
    }


def laid(rng: np.random.Generator, shape: tuple[int, ...], case: dict[str, Any]) -> np.ndarray:
    x = rng.standard_normal(shape).astype(case["dtype"])
    if case["lies"] == "backwards":
        return x[..., ::-1]
    if case["lies"] == "transposed":
        return np.ascontiguousarray(x.T).T
    x.flags.writeable = case["lies"] != "read only"
    return x


def compare(function: Any, arrays: list[np.ndarray], case: dict[str, Any]) -> None:
    """Values and gradients of `function`, by the kernels and by the reference."""

    def values() -> list[np.ndarray]:
        tensors = [Tensor(a, requires_grad=True) for a in arrays]
        y = function(*tensors)
        above = Tensor(np.random.default_rng(1).standard_normal(y.shape).astype(case["dtype"]))
        return [t.detach().numpy() for t in (y, *xpnn.grad(y, tensors, above))]

    with reference_only():
        expected = values()
    xpnn.set_num_threads(case["threads"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_choose", lambda *_: case["way"])
        patch.setattr(tuning, "chosen", lambda question: "")
        found = values()
    tolerance = {"float32": 2e-5, "float64": 1e-12}[case["dtype"]]
    for value, other in zip(found, expected, strict=True):
        assert value.dtype == other.dtype
        np.testing.assert_allclose(value, other, rtol=tolerance, atol=tolerance)


@examples(100)
@given(operands())
def test_linear(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    features_in, features_out = case["features"]
    arrays = [laid(rng, (*case["rows"], features_in), case), laid(rng, (features_out, features_in), case)]
    if case["bias"]:
        arrays.append(rng.standard_normal(features_out).astype(case["dtype"]))
    compare(F.linear, arrays, case)


@examples(100)
@given(operands(), st.sampled_from(["matrix", "batch", "broadcast", "vector"]))
def test_matmul(case: dict[str, Any], other: str) -> None:
    rng = np.random.default_rng(case["seed"])
    inner, columns = case["features"]
    batch = {
        "matrix": (),
        "vector": (),
        "batch": case["rows"][:-1],
        "broadcast": (1,) * len(case["rows"][1:]),
    }
    shape = (inner,) if other == "vector" else (*batch[other], inner, columns)
    arrays = [laid(rng, (*case["rows"], inner), case), laid(rng, shape, case)]
    compare(lambda x, w: x @ w, arrays, case)


@pytest.mark.parametrize("way", products._WAYS)
@pytest.mark.parametrize(
    "sizes", [(128, 784, 512), (37, 300, 259), (5, 2048, 130), (300, 33, 7), (1, 900, 400)]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_every_way(
    way: str, sizes: tuple[int, int, int], transposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real sizes of blocks, against float64, and bit for bit the same twice."""
    monkeypatch.undo()
    monkeypatch.setattr(tuning, "chosen", lambda question: way)
    rng = np.random.default_rng(0)
    m, k, n = sizes
    a = rng.standard_normal((m, k), dtype=np.float32)
    b = (
        rng.standard_normal((n, k), dtype=np.float32).T
        if transposed
        else rng.standard_normal((k, n), np.float32)
    )
    bias = rng.standard_normal(n, dtype=np.float32)
    xpnn.set_num_threads(2)
    y = products.product(a, b, bias=bias)
    np.testing.assert_allclose(y, a.astype(np.float64) @ b + bias, rtol=1e-4, atol=1e-3)
    assert products.product(a, b, bias=bias).tobytes() == y.tobytes()


def test_the_fixed_way_and_the_candidates_depend_on_the_class_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: dict[str, list[list[str]]] = {}
    monkeypatch.setattr(
        tuning, "choose", lambda question, ways: asked.setdefault(question, []).append(list(ways)) or "whole"
    )
    xpnn.set_num_threads(2)
    for m in range(65, 129, 7):
        a, b = np.ones((m, 400), np.float32), np.ones((400, 300), np.float32)
        products._choose(products.size_class("product", (m, 400, 300), "nn", a.dtype, 2), a, b, a @ b)
    ((question, candidates),) = asked.items()
    assert question == "product-float32-nn-7.9.9-threads2"
    assert all(ways == candidates[0] for ways in candidates)
    assert candidates[0][0] == "split"


def test_outer_products() -> None:
    a, b = np.arange(300.0)[:, None], np.arange(200.0)[None]
    np.testing.assert_array_equal(products.product(a, b), a * b)
    np.testing.assert_array_equal(products.product(a[::-1], b[:, ::-2]), a[::-1] * b[:, ::-2])


@pytest.mark.parametrize("way", ["whole", "pieces"])
@pytest.mark.parametrize("rows", [29, 64, 301])
def test_stacks(way: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of operands and results that are parts of larger arrays, as attention has them."""
    monkeypatch.setattr(tuning, "chosen", lambda question: way)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, rows, 3, 40), dtype=np.float32).swapaxes(1, 2)
    b = rng.standard_normal((2, 3, 900, 40), dtype=np.float32).mT
    out = np.zeros((2, rows, 3, 900), dtype=np.float32).swapaxes(1, 2)
    assert small_products.multiply(a, b, out) is out
    np.testing.assert_allclose(out, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-4)


def test_the_fixed_way_of_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_choices", {})
    for columns, way in ((100, "pieces"), (1000, "whole")):
        a, b = np.ones((1, 500, 64), np.float32), np.ones((1, 64, columns), np.float32)
        small_products.multiply(a, b, a @ b)
        assert tuning.chosen(small_products.size_class("stack", (500, 64, columns), "nn", a.dtype)) == way
