"""Convolutions with the batch innermost in memory, and what keeps that order: relu, pooling, batch norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_kernels import examples

import xpnn
from xpnn import Tensor
from xpnn import functional as F
from xpnn.backend import get_num_threads, reference_only, set_num_threads
from xpnn.kernels.numpy import parallel, pool
from xpnn.kernels.numpy.conv import batch_innermost

# What may follow on a convolution h of x and w.
PROGRAMS: dict[str, Callable[..., Any]] = {
    "alone": lambda h: h,
    "pooled": lambda h: F.max_pool2d(F.relu(h), 2),
    "pooled first": lambda h: F.relu(F.max_pool2d(h, 2)),
    "used and pooled": lambda h: F.max_pool2d(h * h, 2).sum() + F.max_pool2d(F.relu(h), 2),
    "pooled again": lambda h: F.max_pool2d(F.max_pool2d(F.relu(h), 2), 2),
    "windows that leave cells over": lambda h: F.max_pool2d(h, (3, 2)),
    "overlapping windows": lambda h: F.max_pool2d(F.relu(h), 3, 2),
    "windows over a border": lambda h: F.max_pool2d(F.relu(h), 2, padding=1),
    "average": lambda h: F.avg_pool2d(F.relu(h), 2),
    "average over a border": lambda h: F.avg_pool2d(h, 3, 1, padding=1),
    "normalised": lambda h: F.batch_norm(h, None, None, training=True, relu=True),
    "convolved": lambda h: F.conv2d(h, Tensor(np.ones((4, 3, 3, 2))), Tensor(np.ones(4))),
    "convolved with strides": lambda h: F.conv2d(h, Tensor(np.ones((9, 3, 3, 2))), stride=2),
    "flattened": lambda h: F.linear(h.reshape(h.shape[0], -1), Tensor(np.ones((2, h[0].size)))),
}


@pytest.fixture(autouse=True)
def small_arrays() -> Iterator[None]:
    """Few images serve, and two threads."""
    threads = get_num_threads()
    set_num_threads(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_innermost, "_FEWEST_IMAGES", 1)
        patch.setattr(parallel, "WORTHWHILE", 1)
        yield
    set_num_threads(threads)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    """Images and a kernel that fits them, and how they lie in memory."""
    each = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))
    layer = {"size": each(1, 12), "kernel": each(1, 5), "padding": each(0, 2)}
    assume(all(n + 2 * p >= k for n, k, p in zip(layer["size"], layer["kernel"], layer["padding"])))
    return layer | {
        "images": draw(st.sampled_from([1, 2, 16, 33])),
        "channels": draw(st.integers(1, 6)),
        "outputs": draw(st.sampled_from([1, 2, 5, 24])),
        "bias": draw(st.booleans()),
        "lies": draw(st.sampled_from(["straight", "batch innermost", "gapped", "read only"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "needs": draw(st.sampled_from([(0, 1, 2), (0,), (1,), (0, 2), (1, 2)])),
        "seed": draw(st.integers(0, 9)),
    }


@examples(200)
@given(layers(), st.integers(1, 3), st.sampled_from([1, 10_000, 1_000_000]), st.sampled_from([1, 16, 512]))
def test_against_reference(case: dict[str, Any], threads: int, chunk: int, most: int) -> None:
    rng = np.random.default_rng(case["seed"])

    def array(*shape: int) -> np.ndarray:
        return laid(rng.standard_normal(shape).astype(case["dtype"]), case["lies"])

    x = array(case["images"], case["channels"], *case["size"])
    w, b = array(case["outputs"], case["channels"], *case["kernel"]), array(case["outputs"])
    padding = tuple((p, p) for p in case["padding"])
    options = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    args = (x, w, b if case["bias"] else None)
    needs = tuple(i in case["needs"] and args[i] is not None for i in range(3))

    def values() -> list[np.ndarray]:
        leaves = [None if a is None else Tensor(a, requires_grad=True) for a in args]
        y = F.conv2d(*leaves, padding=case["padding"])
        above = np.random.default_rng(1).standard_normal(y.shape).astype(case["dtype"])
        inputs = [leaf for leaf, need in zip(leaves, needs) if need]
        return [y.detach().numpy(), *(g.numpy() for g in xpnn.grad(y, inputs, Tensor(above)))]

    assert batch_innermost.conv.when(x, w, b, **options)
    with reference_only():
        expected = values()
    set_num_threads(threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_innermost, "_CHUNK_BYTES", chunk)
        patch.setattr(batch_innermost, "_MOST_IMAGES", most)
        found = values()
    tolerance = {"float32": 2e-5, "float64": 1e-12}[case["dtype"]]
    for value, other in zip(found, expected, strict=True):
        assert value.dtype == other.dtype
        assert value.shape == other.shape
        assert np.abs(value - other).max() <= tolerance * (1 + np.abs(other).max())


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, second: bool) -> None:
    def values() -> list[np.ndarray]:
        leaves = list(parameters())
        y = PROGRAMS[name](F.conv2d(*leaves, padding=1))
        weights = Tensor(np.random.default_rng(1).standard_normal(y.shape))
        gradients = xpnn.grad((y * weights).sum(), leaves, create_graph=second)
        if second:
            gradients = xpnn.grad(sum((g * g).sum() for g in gradients), leaves[:2])
        return [y.detach().numpy(), *(g.detach().numpy() for g in gradients)]

    with reference_only():
        expected = values()
    for pieces in (1, 2000, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pool, "_CHUNK_BYTES", pieces)
            found = values()
        for value, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("function", [F.relu, lambda h: F.max_pool2d(h, 2), lambda h: F.max_pool2d(h, 3, 2)])
def test_the_order_of_memory_is_kept(function: Callable[..., Any]) -> None:
    """Forward and backward, so that nothing is copied between a convolution and the next."""
    x, w, b = parameters()
    h = F.conv2d(x, w, b)
    y = function(h)
    (g,) = xpnn.grad(y.sum(), [h])
    for array in (h, y, g):
        assert array.array.transpose(2, 3, 1, 0).flags.c_contiguous


def parameters() -> Iterator[Tensor]:
    rng = np.random.default_rng(0)
    for shape in ((5, 2, 8, 9), (3, 2, 3, 3), (3,)):
        yield Tensor(rng.standard_normal(shape), requires_grad=True)


def laid(x: np.ndarray, lies: str) -> np.ndarray:
    if lies == "batch innermost" and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    if lies == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    x.flags.writeable = lies != "read only"
    return x
