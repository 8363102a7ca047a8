"""Convolutions that are pooled in the same pass must be what the separate operations are, seen or not."""

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
from xpnn.kernels.numpy import parallel
from xpnn.kernels.numpy.conv import pooled as conv_pool
from xpnn.kernels.numpy.conv import tiles as conv_tiles

ORDERS = {
    "relu first": lambda h, tile: F.max_pool2d(F.relu(h), tile),
    "relu last": lambda h, tile: F.relu(F.max_pool2d(h, tile)),
    "no relu": F.max_pool2d,
}

# What is done with the convolution h of x and w, of which nothing may show that it was not computed.
PROGRAMS: dict[str, Callable[..., Any]] = {
    "pooled": lambda h: F.max_pool2d(F.relu(h), 2),
    "alone": lambda h: h,
    "relu": F.relu,
    "relu twice": lambda h: F.max_pool2d(F.relu(F.relu(h)), 2),
    "used and pooled": lambda h: F.max_pool2d(h * h, 2).sum() + F.max_pool2d(F.relu(h), 2),
    "pooled and used": lambda h: F.max_pool2d(F.relu(h), 2).sum() * h,
    "relu used": lambda h: (lambda a: F.max_pool2d(a, 2).sum() * a)(F.relu(h)),
    "two relus": lambda h: F.max_pool2d(F.relu(h), 2) + F.max_pool2d(F.relu(h), 2),
    "pooled twice": lambda h: (lambda a: F.max_pool2d(a, 2) - F.max_pool2d(a, (2, 2)))(F.relu(h)),
    "pooled again": lambda h: F.max_pool2d(F.max_pool2d(F.relu(h), 2), 2),
    "overlapping windows": lambda h: F.max_pool2d(F.relu(h), 3, 2),
    "windows over a border": lambda h: F.max_pool2d(F.relu(h), 2, padding=1),
    "average": lambda h: F.avg_pool2d(F.relu(h), 2),
}


@pytest.fixture(autouse=True)
def small_arrays_are_promised() -> Iterator[None]:
    threads = get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_pool, "_FEWEST_IMAGES", 1)
        patch.setattr(parallel, "WORTHWHILE", 1)
        yield
    set_num_threads(threads)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    """Images, a kernel and pooling windows that fit them, and how all of them lie in memory."""
    each = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))
    layer = {"size": each(1, 12), "kernel": each(1, 5), "padding": each(0, 2), "tile": each(1, 4)}
    result = [n + 2 * p - k + 1 for n, k, p in zip(layer["size"], layer["kernel"], layer["padding"])]
    assume(all(n >= t for n, t in zip(result, layer["tile"])))
    return layer | {
        "images": draw(st.sampled_from([1, 2, 16, 33])),
        "channels": draw(st.integers(1, 6)),
        "outputs": draw(st.integers(1, 5)),
        "order": draw(st.sampled_from(sorted(ORDERS))),
        "lies": draw(st.sampled_from(["straight", "batch last", "gapped", "read only"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "seed": draw(st.integers(0, 9)),
    }


@examples(200)
@given(layers(), st.integers(1, 3), st.sampled_from([1, 10_000, 1_000_000]), st.booleans())
def test_against_reference(case: dict[str, Any], threads: int, chunk: int, ties: bool) -> None:
    """Small whole numbers make ties, and are added up exactly, so that the winners are the reference's."""
    rng = np.random.default_rng(case["seed"])

    def array(*shape: int) -> np.ndarray:
        values = rng.integers(-2, 3, shape) if ties else rng.standard_normal(shape)
        return laid(values.astype(case["dtype"]), case["lies"])

    x = array(case["images"], case["channels"], *case["size"])
    w, b = array(case["outputs"], case["channels"], *case["kernel"]), array(case["outputs"])

    def values() -> list[np.ndarray]:
        leaves = [Tensor(a, requires_grad=True) for a in (x, w, b)]
        y = ORDERS[case["order"]](F.conv2d(*leaves, padding=case["padding"]), case["tile"])
        above = np.random.default_rng(1).standard_normal(y.shape).astype(case["dtype"])
        gradients = xpnn.grad(y, leaves, Tensor(above))
        return [y.detach().numpy(), *(g.numpy() for g in gradients)]

    with reference_only():
        expected = values()
    set_num_threads(threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_tiles, "_CHUNK_BYTES", chunk)
        patch.setattr(conv_pool, "_MOST_MULTIPLICATIONS", 100)
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

    compare(values)


def test_gradients_of_what_was_skipped() -> None:
    """Neither the convolution nor its relu is computed, and yet their gradients can be asked for."""

    def values() -> list[np.ndarray]:
        leaves, seen = list(parameters()), []
        h = F.conv2d(*leaves, padding=1)
        a = F.relu(h)
        a.retain_grad()
        h.register_hook(lambda g: seen.append(g.numpy()))
        y = F.max_pool2d(a, 2).sum()
        asked = xpnn.grad(y, [h, a], retain_graph=True)
        y.backward()
        return [g.numpy() for g in (*asked, a.grad, *(leaf.grad for leaf in leaves))] + seen

    compare(values)


def test_looked_at_after_it_was_pooled() -> None:
    """Whatever has become of the images meanwhile."""
    x, w, b = (leaf.detach().numpy().copy() for leaf in parameters())
    with reference_only():
        expected = F.conv2d(x, w, b)
    h = F.conv2d(Tensor(x), Tensor(w), Tensor(b))
    assert h.promised
    a = F.relu(h)
    pooled = F.max_pool2d(a, 2)
    assert a.promised
    x[...] = 0
    np.testing.assert_allclose(h.numpy(), expected)
    np.testing.assert_allclose(a.numpy(), np.maximum(expected, 0))
    with reference_only():
        np.testing.assert_allclose(pooled.numpy(), F.max_pool2d(a.numpy(), 2))


def test_shows_the_weights_of_the_call() -> None:
    x, w, b = Tensor(np.ones((16, 1, 8, 8))), Tensor(np.ones((4, 1, 3, 3))), Tensor(np.zeros(4))
    y = F.conv2d(x, w, b)
    for tensor in (x, w, b):
        tensor.array[...] = 7
    assert np.all(F.max_pool2d(F.relu(y), 2).array == 9)
    assert np.all(y.array == 9)


def test_is_promised_only_if_it_may_be_pooled() -> None:
    x, w, b = parameters()
    assert F.conv2d(x, w, b).promised
    assert not F.conv2d(x, w).promised
    assert not F.conv2d(x, w, b, stride=2).promised
    assert type(F.conv2d(x.detach().numpy(), w.detach().numpy(), b.detach().numpy())) is np.ndarray


def test_anomaly_and_checkpoint() -> None:
    def block(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(F.conv2d(x, w, b)), 2)

    def values() -> list[np.ndarray]:
        leaves = list(parameters())
        with xpnn.detect_anomaly():
            gradients = xpnn.grad(block(*leaves).sum(), leaves)
        again = xpnn.grad(xpnn.checkpoint(block, *leaves).sum(), leaves)
        return [g.numpy() for g in (*gradients, *again)]

    compare(values)


def parameters() -> Iterator[Tensor]:
    rng = np.random.default_rng(0)
    for shape in ((5, 2, 8, 9), (3, 2, 3, 3), (3,)):
        yield Tensor(rng.standard_normal(shape), requires_grad=True)


def compare(values: Callable[[], list[np.ndarray]]) -> None:
    with reference_only():
        expected = values()
    for value, other in zip(values(), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-12)


def laid(x: np.ndarray, lies: str) -> np.ndarray:
    if lies == "batch last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    if lies == "gapped":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    x.flags.writeable = lies != "read only"
    return x
