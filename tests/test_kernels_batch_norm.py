"""Batch norm in NumPy, with a residual and relu in the same pass; and blocks of networks that use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
from xpnn.backend.numba_switch import get_numba, set_numba
from xpnn.kernels.numpy import parallel
from xpnn.kernels.numpy.norm import batch as batch_norm
from xpnn.models.fusion import norm_relu


@pytest.fixture(autouse=True)
def plain() -> Iterator[None]:
    """The kernels in plain NumPy; and two threads where the arrays are large enough for them."""
    before, threads = get_numba(), get_num_threads()
    set_numba(False)
    set_num_threads(2)
    yield
    set_numba(before)
    set_num_threads(threads)


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    sizes = [draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 3)))]
    return {
        "shape": (draw(st.integers(4, 8)), draw(st.integers(1, 7)), *sizes[1:]),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "order": draw(st.sampled_from(["NCHW", "NHWC", "HWCN", "every other", "read only"])),
        "mean": draw(st.sampled_from([0.0, 5.0])),
        "affine": draw(st.booleans()),
        "residual": draw(st.booleans()),
        "relu": draw(st.booleans()),
        "chunk": draw(st.sampled_from([1, 8, 1 << 16])),
        "threads": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 9)),
    }


@examples(200)
@given(images())
def test_against_reference(case: dict[str, Any]) -> None:
    """Both kernels and their gradients, in all memory orders, chunk by chunk and thread by thread."""
    rng = np.random.default_rng(case["seed"])

    def image() -> np.ndarray:
        x = rng.standard_normal(case["shape"]).astype(case["dtype"])
        if case["order"] == "NHWC":
            return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        if case["order"] == "HWCN":
            axes = (*range(2, x.ndim), 1, 0)
            return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
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
        joined = {"residual": tensors[1] if case["residual"] else None, "relu": case["relu"]}
        y = F.batch_norm(tensors[0], None, None, *weights, training=True, **joined)
        gradients = xpnn.grad(y, tensors, Tensor(above.astype(dtype)), allow_unused=True)
        running = Tensor(np.zeros_like(w, dtype)), Tensor(np.ones_like(w, dtype))
        tested = F.batch_norm(tensors[0], *running, *weights, **joined)
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


def test_keeps_the_order_of_memory() -> None:
    for axes in ((0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 1, 0)):
        x = np.ones([(4, 3, 5, 6)[axis] for axis in axes], dtype=np.float32).transpose(np.argsort(axes))
        assert F.batch_norm(x, None, None, training=True).strides == x.strides


class Block(nn.Module):
    def __init__(self) -> None:
        self.bn, self.relu = nn.BatchNorm2d(2).double(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.bn, self.relu, x * 2.0, x)


@pytest.fixture
def x() -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((3, 2, 4, 5)), requires_grad=True)


@pytest.mark.parametrize("train", [True, False])
def test_a_block(train: bool, x: Tensor) -> None:
    """What its modules compute one after the other; through a checkpoint and under detect_anomaly, too."""
    block = Block().train(train)

    def gradient(function: Any) -> np.ndarray:
        (g,) = xpnn.grad((function(x) ** 2).sum(), [x])
        return g.numpy()

    expected = gradient(lambda x: block.relu(block.bn(x * 2.0) + x))
    np.testing.assert_allclose(gradient(block), expected, rtol=1e-9, atol=1e-12)
    with xpnn.detect_anomaly():
        np.testing.assert_allclose(gradient(block), expected, rtol=1e-9, atol=1e-12)
    again = gradient(lambda x: xpnn.checkpoint(block, x))
    np.testing.assert_allclose(again, expected, rtol=1e-9, atol=1e-12)
    with xpnn.no_grad():
        assert block(x).numpy().min() == 0


def test_a_block_calls_the_modules_that_were_put_into_it(x: Tensor) -> None:
    """Another activation, another norm, hooks: what one would expect of modules that are called in turn."""
    block, x = Block(), x.detach()

    def values(function: Any) -> np.ndarray:
        return function(x).detach().numpy()

    rectified = values(block)
    block.relu = nn.Tanh()
    np.testing.assert_allclose(values(block), np.tanh(values(lambda x: block.bn(x * 2.0) + x)))
    block.relu, lowest = nn.ReLU(), []
    for module in (block.relu, block.bn):
        handle = module.register_forward_hook(lambda module, args, y: lowest.append(y.min().item()))
        np.testing.assert_allclose(values(block), rectified)
        handle.remove()
    assert lowest[0] == 0 > lowest[1]
    np.testing.assert_allclose(values(block), rectified)
    assert len(lowest) == 2
    block.bn = nn.GroupNorm(1, 2).double()
    np.testing.assert_allclose(values(block), values(lambda x: F.relu(block.bn(x * 2.0) + x)))


def test_two_threads_of_the_user() -> None:
    """The same bits as alone, while the crew of threads serves somebody else."""
    x = np.random.default_rng(0).standard_normal((64, 16, 32, 32), dtype=np.float32)

    def train() -> list[np.ndarray]:
        leaf, bn, seen = Tensor(x, requires_grad=True), nn.BatchNorm2d(16), []
        for _ in range(3):
            leaf.grad = None
            bn(leaf, residual=leaf, relu=True).sum().backward()
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


@pytest.mark.parametrize("function", ["batch norm", "relu", "max pool", "convolution"])
def test_results_are_of_the_time_of_the_call(function: str) -> None:
    """Whoever owns the array may write into it afterwards."""
    functions = {
        "batch norm": nn.BatchNorm2d(3),
        "relu": F.relu,
        "max pool": lambda x: F.max_pool2d(F.relu(x), 2),
        "convolution": nn.Conv2d(3, 6, 5, padding=2),
    }
    buffer = np.random.default_rng(0).standard_normal((32, 3, 28, 28), dtype=np.float32)
    y = functions[function](Tensor(buffer))
    with reference_only():
        expected = functions[function](Tensor(buffer.copy())).detach()
    buffer[:] = 7
    np.testing.assert_allclose(y.detach().numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
