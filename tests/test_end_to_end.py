"""What only the whole shows: training steps from the array to the optimizer, on every backend."""

from __future__ import annotations

import gc
import gzip
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import functional as F
from xpnn import models, nn, optim
from xpnn.autograd import tape
from xpnn.autograd.primitive import Primitive
from xpnn.backend import dtype_name, is_array
from xpnn.backend import random as random_numbers
from xpnn.data import DataLoader, Digits, Resize, TensorDataset, read_idx
from xpnn.io import load_checkpoint, save_checkpoint

# The first losses, the same on every library


def test_first_losses_agree_on_all_backends(backend: Target, reference_run: tuple) -> None:
    weights, losses = lenet_run(steps=20)
    expected_weights, expected_losses = reference_run
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, expected_weights[name], strict=True)
    # Adam makes much of the last digits of small gradients, and MLX's elementary functions have fewer right.
    np.testing.assert_allclose(losses[:8], expected_losses[:8], rtol=1e-4)
    np.testing.assert_allclose(losses, expected_losses, rtol=0.02 if backend.name == "mlx" else 1e-4)
    assert np.mean(losses[-5:]) < losses[0]


@pytest.fixture(scope="module")
def reference_run() -> tuple:
    """The run on NumPy."""
    with xpnn.use_backend("numpy"):
        return lenet_run(steps=20)


def lenet_run(steps: int) -> tuple[dict[str, np.ndarray], list[float]]:
    """The initial weights of LeNet with dropout, and its first losses under Adam, on digits of 28 x 28.

    A little noise is laid over the enlarged digits: in their flat parts all windows of a max pooling would
    tie but for rounding, and which cell wins would differ from library to library.
    """
    xpnn.manual_seed(0)
    model = models.lenet(dropout=0.5)
    weights = {name: xpnn.to_numpy(value).copy() for name, value in model.state_dict().items()}
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    images, labels = Digits().tensors
    images = Resize(28).batch(images)
    images = images + 0.1 * np.random.default_rng(0).random(images.shape, dtype=np.float32)
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
    losses = []
    for _, (images, labels) in zip(range(steps), loader, strict=False):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return weights, losses


# float32 stays float32


def test_a_float32_step_makes_no_float64(backend: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """No array that an operation takes, returns or keeps, no gradient, and no state of the optimizer."""
    seen: list[tuple[str, Any]] = []
    record, pull_back = Primitive._record, tape._pull_back

    def watched_record(
        self: Primitive, args: tuple, raws: list, options: Any, outputs: Any, saved: Any, *rest
    ):
        seen.extend((self.name, value) for value in (*raws, *outputs, *saved))
        return record(self, args, raws, options, outputs, saved, *rest)

    def watched_pull_back(node: Any, gy: Any, *rest: Any) -> Any:
        results = pull_back(node, gy, *rest)
        upstream = gy if isinstance(gy, list | tuple) else [gy]
        seen.extend((f"the backward of {node.primitive.name}", value) for value in (*upstream, *results))
        return results

    monkeypatch.setattr(Primitive, "_record", watched_record)
    monkeypatch.setattr(tape, "_pull_back", watched_pull_back)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2, padding=1),
        nn.Flatten(),
        nn.LayerNorm(36),
        nn.Dropout(0.3),
        nn.Linear(36, 10),
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    schedule = optim.OneCycleLR(optimizer, 0.01, total_steps=10)
    images = backend.array(np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32))
    for _ in range(2):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), backend.array(np.arange(6)), label_smoothing=0.1)
        (loss * np.float64(0.5) + 0.1 * loss**2).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()

    seen += model.state_dict().items()
    seen += [(f"{name}.grad", p.grad) for name, p in model.named_parameters()]
    seen += [(name, v) for name, slots in optimizer.state_dict()["state"].items() for v in slots.values()]
    floats = [(name, dtype_name(value.dtype)) for name, value in seen if is_array(value)]
    assert len(floats) > 100
    wide = {name for name, dtype in floats if dtype in ("float64", "complex128")}
    assert not wide, f"float64 in {', '.join(sorted(wide))}"


# Second derivatives through a whole network


def test_a_gradient_penalty_equals_that_of_pytorch(backend: Target) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    shapes = ((3, 2, 6, 6), (4, 2, 3, 3), (4,), (4,), (4,), (5, 36), (5,))
    arrays = [rng.standard_normal(shape) for shape in shapes]
    labels = np.array([1, 4, 0])

    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = penalised_loss(torch.nn.functional, torch.autograd.grad, torch.tensor(labels), *theirs)
    expected.backward()
    ours = [xpnn.tensor(backend.array(array), requires_grad=True) for array in arrays]
    loss = penalised_loss(F, xpnn.grad, backend.array(labels), *ours)
    loss.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    names = ("x", "w", "b", "gamma", "beta", "weight", "bias")
    for name, our, their in zip(names, ours, theirs, strict=True):
        np.testing.assert_allclose(
            xpnn.to_numpy(our.grad), their.grad.numpy(), rtol=1e-8, atol=1e-8, err_msg=name
        )


def penalised_loss(
    F: Any, grad: Callable, labels: Any, x: Any, w: Any, b: Any, gamma: Any, beta: Any, weight: Any, bias: Any
) -> Any:
    """Cross entropy plus how far the norm of its gradient for the input is from 1; written for both."""
    y = F.relu(F.batch_norm(F.conv2d(x, w, b, padding=1), None, None, gamma, beta, training=True))
    y = F.max_pool2d(y, 2).reshape((3, 36))
    loss = F.cross_entropy(F.linear(y, weight, bias), labels)
    (gradient,) = grad(loss, [x], create_graph=True)
    norms = (gradient**2).sum((1, 2, 3)) ** 0.5
    return loss + 10 * ((norms - 1) ** 2).mean()


# Wrong input: what was expected, what came, where, what to do


def test_a_wrong_shape_deep_in_a_network_names_the_layer() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3)), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match=r"Conv2d '0\.0' expects 3 .*channels.* got 4 .*\(1, 4, 3, 3\)"):
        model(xpnn.tensor(np.zeros((1, 4, 3, 3), dtype=np.float32)))
    with pytest.raises(ValueError, match=r"Linear '2' expects .*8.*, got .*200"):
        model(xpnn.tensor(np.zeros((1, 3, 7, 7), dtype=np.float32)))


FLOATS = np.zeros((2, 3, 8, 8), dtype=np.float32)
WRONG_INPUTS = {
    "wrong rank": (lambda: nn.Conv2d(3, 4, 3)(FLOATS[0, 0]), r"Conv2d expects .*\(8, 8\)"),
    "large kernel": (lambda: nn.Conv2d(3, 4, 11, padding=1)(FLOATS), r"Conv2d .*11.*10"),
    "large window": (lambda: nn.MaxPool2d(9)(FLOATS), r"MaxPool2d .*9.*8"),
    "labels out of range": (
        lambda: F.cross_entropy(np.zeros((2, 3), dtype=np.float32), np.array([0, 3])),
        r"cross_entropy expects .*3",
    ),
    "integer input": (lambda: nn.Linear(3, 2)(np.zeros((2, 3), dtype=np.int64)), r"Linear .*float.*int64"),
    "unknown backend": (lambda: xpnn.set_backend("nunpy"), r"nunpy.*numpy"),
}


@pytest.mark.parametrize(("call", "message"), WRONG_INPUTS.values(), ids=WRONG_INPUTS)
def test_wrong_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=message):
        call()


def test_mixed_backends_and_devices() -> None:
    pytest.importorskip("array_api_strict")
    layer = nn.Linear(3, 2)
    with xpnn.use_backend("array_api_strict"):
        here = xpnn.asarray([[1.0, 2.0, 3.0]])
    with xpnn.use_backend("array_api_strict", "device1"):
        there = xpnn.asarray([[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match=r"Linear .*numpy.*array_api_strict|Linear .*array_api_strict.*numpy"):
        layer(here)
    with pytest.raises(TypeError, match=r"device1"):
        F.linear(here, there)


def test_a_truncated_data_file(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    whole = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 200]) + np.random.default_rng(0).bytes(200))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"images\.gz"):
        read_idx(path)


def test_a_checkpoint_of_another_model_or_cut_in_half(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model=models.mlp())
    other = models.lenet()
    before = other.state_dict()
    with pytest.raises(xpnn.XpnnError, match=r"(?s)model\.safetensors.*missing.*conv1\.weight"):
        load_checkpoint(path, model=other)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(xpnn.XpnnError, match="cut short"):
        load_checkpoint(path, model=models.mlp())
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(xpnn.to_numpy(value), xpnn.to_numpy(before[name]))


# Memory and threads


def test_memory_stays_flat_over_a_thousand_steps() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = optim.Adam(model.parameters())
    x, y = np.ones((4, 8), dtype=np.float32), np.array([0, 1, 2, 0])

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    def grown() -> int:
        """Bytes that are held after a thousand more steps."""
        before = tracemalloc.get_traced_memory()[0]
        train(1000)
        return tracemalloc.get_traced_memory()[0] - before

    def garbage() -> int:
        """Objects in cycles, after a thousand more steps."""
        train(1000)
        return gc.collect()

    train(100)
    # What other tests left goes in several rounds: each may let go of what the next one finds.
    # It also empties the interpreter's lists of free objects.
    while gc.collect():
        pass
    gc.disable()
    tracemalloc.start()
    try:
        train(2000)  # fills the scratch arrays, and lists of free objects that are up to 2,000 long
        # One Tensor kept a step: 200,000 in each round. What another thread of the process keeps comes once.
        assert any(grown() < 20_000 for _ in range(3))
        cycles = "a step leaves cycles behind, which hold arrays until they are collected"
        assert any(garbage() == 0 for _ in range(3)), cycles
    finally:
        tracemalloc.stop()
        gc.enable()


def test_two_threads_with_two_backends() -> None:
    """Each gets what it gets alone."""
    pytest.importorskip("array_api_strict")
    results: dict[str, list[float]] = {}

    def train(backend: str, key: str) -> None:
        with xpnn.use_backend(backend), random_numbers.use_stream(random_numbers.RandomStream(0)):
            optimizer = optim.Adam(networks[key].parameters(), lr=0.01)
            x, y = xpnn.asarray(np.eye(8, dtype=np.float32)), xpnn.asarray(np.arange(8) % 3)
            losses = []
            for _ in range(30):
                optimizer.zero_grad()
                loss = F.cross_entropy(networks[key](x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            results[key] = losses

    networks = {}
    for backend in ("numpy", "array_api_strict"):
        for key in (f"{backend} alone", f"{backend} together"):
            xpnn.manual_seed(0)
            with xpnn.use_backend(backend):
                networks[key] = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))
        train(backend, f"{backend} alone")
    threads = [
        threading.Thread(target=train, args=(backend, f"{backend} together"))
        for backend in ("numpy", "array_api_strict")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for backend in ("numpy", "array_api_strict"):
        assert results[f"{backend} together"] == results[f"{backend} alone"]


@pytest.mark.parametrize(
    ("library", "dtype"), [("numpy", "float16"), ("torch", "float16"), ("torch", "bfloat16")]
)
def test_half_precision_trains_as_float32_does(library: str, dtype: str) -> None:
    """With the norms, the loss, clipping and the optimizer's moments in float32."""
    pytest.importorskip(library)

    def losses(dtype: str) -> list[float]:
        xpnn.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
        optimizer = optim.AdamW(model.to(dtype=dtype).parameters(), lr=1e-2)
        images = xpnn.asarray(np.random.default_rng(0).standard_normal((8, 1, 8, 8)), dtype=dtype)
        labels, found = xpnn.asarray(np.arange(8) % 3), []
        for _ in range(25):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            found.append(loss.item())
        return found

    with xpnn.use_backend(library):
        np.testing.assert_allclose(losses(dtype), losses("float32"), atol=0.03)
