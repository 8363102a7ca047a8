"""Promised arrays: batch norm joined by relu and a shortcut must be what the separate operations are."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import examples

import xpnn
from xpnn import Tensor, nn
from xpnn import functional as F
from xpnn.backend import get_num_threads, reference_only, set_num_threads
from xpnn.backend.compiled import get_compiled, set_compiled
from xpnn.kernels.numpy import parallel
from xpnn.kernels.numpy.activation import pointwise as activation
from xpnn.kernels.numpy.activation import rectified
from xpnn.kernels.numpy.norm import batch as batch_norm

# What is computed from a normalised h, an h2 like it, the input x and a shortcut r. None of them may differ
# from what the operations give one after the other.
PROGRAMS: dict[str, Callable[..., Any]] = {
    "alone": lambda h, h2, x, r: h,
    "relu": lambda h, h2, x, r: F.relu(h),
    "relu twice": lambda h, h2, x, r: F.relu(F.relu(h)),
    "shortcut": lambda h, h2, x, r: F.relu(h + r),
    "shortcut first": lambda h, h2, x, r: F.relu(r + h),
    "shortcut of the input": lambda h, h2, x, r: F.relu(h + x),
    "shortcut without relu": lambda h, h2, x, r: h + r,
    "two shortcuts": lambda h, h2, x, r: F.relu(h + r + x),
    "normalised shortcut": lambda h, h2, x, r: F.relu(h + h2),
    "normalised shortcut, seen before": lambda h, h2, x, r: F.relu(h + h2) * h2,
    "rectified shortcut": lambda h, h2, x, r: F.relu(h + F.relu(h2)),
    "with itself": lambda h, h2, x, r: F.relu(h + h),
    "used after relu": lambda h, h2, x, r: F.relu(h) * h + h,
    "used before relu": lambda h, h2, x, r: (h * r) + F.relu(h),
    "sum used twice": lambda h, h2, x, r: (lambda s: F.relu(s) * s)(h + r),
    "broadcast": lambda h, h2, x, r: F.relu(h + r[:1]),
    "number": lambda h, h2, x, r: F.relu(h + 1.0),
    "chain": lambda h, h2, x, r: F.relu(F.relu(h + r) * 2.0 + h2),
    "blocks": lambda h, h2, x, r: (lambda a: F.relu(normalise(a * r) + a) * r)(F.relu(h)),
    "pooled": lambda h, h2, x, r: F.max_pool2d(F.relu(x * r), 2),
    "pooled over a border": lambda h, h2, x, r: F.max_pool2d(F.relu(x * r), 3, 1, padding=1),
    "pooled and used": lambda h, h2, x, r: (lambda a: F.max_pool2d(a, 2).sum() * a)(F.relu(x)),
    "pooled twice": lambda h, h2, x, r: (lambda a: F.max_pool2d(a, 2) + F.max_pool2d(a, 2))(F.relu(x * r)),
    "pooled after batch norm": lambda h, h2, x, r: F.max_pool2d(F.relu(h), 2),
    "other function": lambda h, h2, x, r: F.gelu(h),
}


def normalise(x: Tensor, w: Any = None, b: Any = None) -> Tensor:
    return F.batch_norm(x, None, None, w, b, training=True)


@pytest.fixture(autouse=True)
def plain() -> Iterator[None]:
    """The kernels in plain NumPy; and two threads where the arrays are large enough for them."""
    before, threads = get_compiled(), get_num_threads()
    set_compiled(False)
    set_num_threads(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation, "LARGE", 0)
        patch.setattr(rectified, "LARGE", 0)
        yield
    set_compiled(before)
    set_num_threads(threads)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    image, channels = (3, 2, 4, 5), (2,)
    arrays = {name: rng.standard_normal(image) for name in ("x", "r")}
    arrays["x"] = np.ascontiguousarray(arrays["x"].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return {**arrays, "w": rng.standard_normal(channels), "b": rng.standard_normal(channels)}


def leaves(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: Tensor(array, requires_grad=True) for name, array in arrays.items()}


def run(program: Callable, arrays: dict[str, np.ndarray], second: bool = False) -> list[np.ndarray]:
    """The value of a program and its gradients; with `second` those of the first gradients' squares."""
    t = leaves(arrays)
    y = program(normalise(t["x"], t["w"], t["b"]), normalise(t["x"] * t["r"]), t["x"], t["r"])
    weights = Tensor(np.random.default_rng(1).standard_normal(y.shape))
    inputs = list(t.values())
    gradients = xpnn.grad((y * weights).sum(), inputs, create_graph=second, allow_unused=True)
    if second:
        squares = sum((g * g).sum() for g in gradients if g is not None)
        gradients = xpnn.grad(squares, inputs, allow_unused=True)
    return [y.detach().numpy(), *(np.zeros(1) if g is None else g.detach().numpy() for g in gradients)]


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, second: bool, arrays: dict[str, np.ndarray]) -> None:
    with reference_only():
        expected = run(PROGRAMS[name], arrays, second)
    for value, other in zip(run(PROGRAMS[name], arrays, second), expected):
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-12)


def test_is_computed_when_it_is_looked_at(arrays: dict[str, np.ndarray]) -> None:
    h = normalise(Tensor(arrays["x"]))
    assert h.promised
    assert (h.shape, h.ndim, h.size, str(h.dtype)) == ((3, 2, 4, 5), 4, 120, "float64")
    assert h.promised
    assert type(h.array) is np.ndarray
    assert not h.promised
    assert type(h) is Tensor


def test_raw_arrays_are_computed_at_once(arrays: dict[str, np.ndarray]) -> None:
    assert type(normalise(arrays["x"])) is np.ndarray


@pytest.mark.parametrize("look", ["repr", "copy", "item", "index", "iterate", "compare"])
def test_can_be_looked_at_in_any_way(look: str, arrays: dict[str, np.ndarray]) -> None:
    h = normalise(Tensor(arrays["x"]))
    with reference_only():
        expected = normalise(Tensor(arrays["x"])).numpy()
    seen = {
        "repr": lambda: (repr(h), h.numpy())[1],
        "copy": lambda: copy.deepcopy(h).numpy(),
        "item": lambda: np.reshape([v.item() for v in h.reshape(-1)], h.shape),
        "index": lambda: h[...].numpy(),
        "iterate": lambda: np.stack([part.numpy() for part in h]),
        "compare": lambda: np.where((h > 0).numpy(), h.numpy(), h.numpy()),
    }[look]()
    np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-14)


def test_gradient_of_what_was_skipped(arrays: dict[str, np.ndarray]) -> None:
    """The normalised array is never computed, and yet its gradient can be asked for in every way."""

    def gradients() -> list[np.ndarray]:
        x = Tensor(arrays["x"], requires_grad=True)
        h = normalise(x)
        h.retain_grad()
        seen = []
        h.register_hook(lambda g: seen.append(g.numpy()))
        y = (F.relu(h + Tensor(arrays["r"])) ** 2).sum()
        (asked,) = xpnn.grad(y, h, retain_graph=True)
        y.backward()
        return [asked.numpy(), h.grad.numpy(), x.grad.numpy(), *seen]

    with reference_only():
        expected = gradients()
    for value, other in zip(gradients(), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-12)


def test_gradient_of_a_pooled_relu(arrays: dict[str, np.ndarray]) -> None:
    """The relu is never computed; its zeros tie where x has one winner, and its gradient shows that."""

    def gradients() -> list[np.ndarray]:
        x = Tensor(arrays["x"], requires_grad=True)
        a = F.relu(x - 1.0)
        a.retain_grad()
        y = (F.max_pool2d(a, 2) + 1.0).sum()
        (asked,) = xpnn.grad(y, a, retain_graph=True)
        y.backward()
        return [asked.numpy(), a.grad.numpy(), x.grad.numpy()]

    with reference_only():
        expected = gradients()
    for value, other in zip(gradients(), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_hook_may_replace_the_gradient(arrays: dict[str, np.ndarray]) -> None:
    x = Tensor(arrays["x"], requires_grad=True)
    h = normalise(x)
    h.register_hook(lambda g: g * 0.0)
    F.relu(h).sum().backward()
    assert not x.grad.numpy().any()


def test_modules_of_a_residual_block(arrays: dict[str, np.ndarray]) -> None:
    """In training, in evaluation, through a checkpoint and under detect_anomaly."""
    bn, relu = nn.BatchNorm2d(2).double(), nn.ReLU()
    x = Tensor(arrays["x"], requires_grad=True)

    def block(x: Tensor) -> Tensor:
        return relu(bn(x * 2.0) + x)

    def gradient() -> np.ndarray:
        x.grad = None
        (block(x) ** 2).sum().backward()
        return x.grad.numpy()

    for train in (True, False):
        bn.train(train)
        with reference_only():
            expected = gradient()
        np.testing.assert_allclose(gradient(), expected, rtol=1e-9, atol=1e-12)
        with xpnn.detect_anomaly():
            np.testing.assert_allclose(gradient(), expected, rtol=1e-9, atol=1e-12)
        x.grad = None
        (xpnn.checkpoint(block, x) ** 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-9, atol=1e-12)
        with xpnn.no_grad():
            assert block(x).numpy().min() == 0


def test_the_graph_is_freed(arrays: dict[str, np.ndarray]) -> None:
    x = Tensor(arrays["x"], requires_grad=True)
    y = F.relu(normalise(x)).sum()
    y.backward()
    with pytest.raises(xpnn.backend.GradientError, match="freed"):
        y.backward()


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    sizes = [draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 3)))]
    return {
        "shape": (draw(st.integers(4, 8)), draw(st.integers(1, 7)), *sizes[1:]),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "order": draw(st.sampled_from(["NCHW", "NHWC", "every other", "read only"])),
        "mean": draw(st.sampled_from([0.0, 5.0])),
        "affine": draw(st.booleans()),
        "residual": draw(st.sampled_from([None, "array", "normalised"])),
        "relu": draw(st.booleans()),
        "chunk": draw(st.sampled_from([1, 8, 1 << 16])),
        "threads": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 9)),
    }


@examples(150)
@given(images())
def test_batch_norm_against_reference(case: dict[str, Any]) -> None:
    """Both kernels and their gradients, in all memory orders, chunk by chunk and thread by thread."""
    rng = np.random.default_rng(case["seed"])

    def image() -> np.ndarray:
        x = rng.standard_normal(case["shape"]).astype(case["dtype"])
        if case["order"] == "NHWC":
            return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        if case["order"] == "every other":
            return np.repeat(x, 2, axis=0)[::2]
        x.flags.writeable = case["order"] != "read only"
        return x

    x, r, above = image(), image(), image()
    x = x + x.dtype.type(case["mean"])
    w, b = (rng.standard_normal(x.shape[1]).astype(x.dtype) for _ in range(2))

    def values(dtype: str = case["dtype"]) -> list[np.ndarray]:
        tensors = [Tensor(a.astype(dtype, copy=False), requires_grad=True) for a in (x, r, w, b)]
        weights = tensors[2:] if case["affine"] else []
        y = normalise(tensors[0], *weights)
        if case["residual"]:
            y = y + (tensors[1] if case["residual"] == "array" else normalise(tensors[1]))
        y = F.relu(y) if case["relu"] else y
        gradients = xpnn.grad(y, tensors, Tensor(above.astype(dtype)), allow_unused=True)
        running = Tensor(np.zeros_like(w, dtype)), Tensor(np.ones_like(w, dtype))
        tested = F.relu(F.batch_norm(tensors[0], *running, *weights))
        results = [y, tested, *(g for g in gradients if g is not None)]
        return [t.detach().numpy() for t in results]

    with reference_only():
        reference, exact = values(), values("float64")
    set_num_threads(case["threads"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "WORTHWHILE", 0)
        patch.setattr(batch_norm, "_CHUNK", case["chunk"])
        found = values()
    tolerance = {"float32": 2e-5, "float64": 1e-12}[case["dtype"]]
    for value, other, true in zip(found, reference, exact, strict=True):
        assert value.dtype == other.dtype
        # Channels of nearly equal values, or with a large mean, cost the reference digits too.
        lost = np.abs(other - true).max()
        scale = max(np.abs(true).max(), 1.0)
        np.testing.assert_allclose(value, true, rtol=0, atol=tolerance * scale + 10 * lost)


def test_two_threads_of_the_user(arrays: dict[str, np.ndarray]) -> None:
    """The same bits as alone, while the crew of threads serves somebody else."""
    x = np.random.default_rng(0).standard_normal((64, 16, 32, 32), dtype=np.float32)

    def train() -> list[np.ndarray]:
        leaf, bn, seen = Tensor(x, requires_grad=True), nn.BatchNorm2d(16), []
        for _ in range(3):
            leaf.grad = None
            F.relu(bn(leaf) + leaf).sum().backward()
            seen += [leaf.grad.numpy(), bn.running_var.numpy()]
        return seen

    alone = train()
    results: dict[int, list[np.ndarray]] = {}
    workers = [threading.Thread(target=lambda i=i: results.update({i: train()})) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(2):
        for value, expected in zip(results[i], alone, strict=True):
            np.testing.assert_array_equal(value, expected)
