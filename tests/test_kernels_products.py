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
from xpnn.backend import reference_only
from xpnn.kernels.numpy import linear as kernels
from xpnn.kernels.numpy import parallel, products


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads and chunks for small matrices too."""
    before = xpnn.get_num_threads()
    for module, name, value in (
        (parallel, "WORTHWHILE", 0),
        (products, "WORTHWHILE", 0),
        (products, "_UNTHREADED", 8),
        (products, "_ALIGN", 2),
        (kernels, "_CHUNK", 12),
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
    tolerance = {"float32": 2e-5, "float64": 1e-12}[case["dtype"]]
    for value, other in zip(values(), expected, strict=True):
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
