"""Mixed precision: what is cast is PyTorch's list, and results are those of float32, rounded."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import amp, nn, optim
from xpnn import functional as F
from xpnn.amp import GradScaler, autocast
from xpnn.autograd import Function, Tensor, checkpoint
from xpnn.backend import ArgumentError, DTypeError

# A library, an element type it has, and the distance from 1 to the next number of that.
HALVES = [
    ("numpy", "float16", 2.0**-10),
    ("torch", "bfloat16", 2.0**-7),
    ("torch", "float16", 2.0**-10),
    ("jax", "bfloat16", 2.0**-7),
]


def network() -> nn.Sequential:
    xpnn.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.ConvTranspose2d(4, 3, 2), nn.Flatten(), nn.Linear(48, 16), nn.LayerNorm(16)),
        *(nn.GELU(), nn.Linear(16, 3)),
    )


def batch() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    return xpnn.asarray(rng.standard_normal((6, 1, 8, 8)), dtype="float32"), xpnn.asarray(np.arange(6) % 3)


def name_of(x: Any) -> str:
    return str(x.dtype).rpartition(".")[2]


@pytest.mark.parametrize(("library", "half", "step"), HALVES)
def test_a_network_is_that_of_float32_rounded(library: str, half: str, step: float) -> None:
    pytest.importorskip(library)
    with xpnn.use_backend(library):
        found = []
        for enabled in (False, True):
            model, (x, y) = network(), batch()
            with autocast("cpu", dtype=half, enabled=enabled):
                scores = model(x)
                loss = F.cross_entropy(scores, y)
            loss.backward()
            assert name_of(scores) == (half if enabled else "float32")
            assert name_of(loss) == "float32"
            assert {name_of(t) for p in model.parameters() for t in (p, p.grad)} == {"float32"}
            assert {name_of(b) for b in model.buffers() if b.ndim} == {"float32"}
            values = [scores.detach().to("float32"), loss.detach()]
            found.append([v.numpy() for v in (*values, *(p.grad for p in model.parameters()))])
        for exact, rounded in zip(*found):
            assert 0 < np.abs(rounded - exact).max() < 32 * step * np.abs(exact).max()


CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "linear": (lambda t: t.nn.functional.linear, lambda: F.linear, [(2, 3), (4, 3), (4,)]),
    "conv1d": (lambda t: t.nn.functional.conv1d, lambda: F.conv1d, [(2, 3, 5), (4, 3, 2), (4,)]),
    "transposed": (
        lambda t: t.nn.functional.conv_transpose2d,
        lambda: F.conv_transpose2d,
        [(2, 3, 4, 4), (3, 2, 2, 2), (2,)],
    ),
    "matmul": (lambda t: t.matmul, lambda: xpnn.matmul, [(2, 3), (3, 4)]),
    "@": (lambda t: lambda x, y: x @ y, lambda: lambda x, y: x @ y, [(2, 3), (3, 4)]),
    "bmm": (lambda t: t.bmm, lambda: xpnn.bmm, [(2, 3, 2), (2, 2, 3)]),
    "addmm": (lambda t: t.addmm, lambda: xpnn.addmm, [(2, 4), (2, 3), (3, 4)]),
    "einsum": (
        lambda t: lambda x, y: t.einsum("ij,jk->ik", x, y),
        lambda: lambda x, y: xpnn.einsum("ij,jk->ik", x, y),
        [(2, 3), (3, 4)],
    ),
    "attention": (
        lambda t: t.nn.functional.scaled_dot_product_attention,
        lambda: F.scaled_dot_product_attention,
        [(1, 2, 3, 4)] * 3,
    ),
    "mse_loss": (lambda t: t.nn.functional.mse_loss, lambda: F.mse_loss, [(2, 3), (2, 3)]),
    "huber_loss": (lambda t: t.nn.functional.huber_loss, lambda: F.huber_loss, [(2, 3), (2, 3)]),
    "layer_norm": (
        lambda t: lambda x: t.nn.functional.layer_norm(x, (3,)),
        lambda: lambda x: F.layer_norm(x, (3,)),
        [(2, 3)],
    ),
    "relu": (lambda t: t.relu, lambda: xpnn.relu, [(2, 3)]),
    "prod": (lambda t: t.prod, lambda: xpnn.prod, [(2, 3)]),
    "cat": (lambda t: lambda x, y: t.cat([x, y]), lambda: lambda x, y: xpnn.cat([x, y]), [(2, 3), (1, 3)]),
    "add": (lambda t: t.add, lambda: xpnn.add, [(2, 3), (2, 3)]),
}


@pytest.mark.parametrize("name", CALLS)
def test_element_types_and_values_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, mine, shapes = CALLS[name]
    rng = np.random.default_rng(0)
    arrays = [torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    for low in ([], [0], range(len(arrays))):  # the positions that come in half precision
        given = [x.bfloat16() if i in low else x for i, x in enumerate(arrays)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = theirs(torch)(*given)
        with autocast("cpu", dtype="bfloat16"):
            found = mine()(*map(Tensor, given)).array
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found.float(), expected.float(), rtol=2**-6, atol=2**-6)


TYPED: dict[str, list[Any]] = {
    "avg_pool3d": [(1, 2, 4, 4, 4), 2],
    "max_pool2d": [(1, 2, 4, 4), 2],
    "max_pool3d": [(1, 2, 4, 4, 4), 2],
    "adaptive_avg_pool2d": [(1, 2, 4, 4), 2],
    "adaptive_avg_pool3d": [(1, 2, 4, 4, 4), 2],
    "adaptive_max_pool3d": [(1, 2, 4, 4, 4), 2],
    "fractional_max_pool2d": [(1, 2, 4, 4), 2, 2],
    "fractional_max_pool3d": [(1, 2, 4, 4, 4), 2, 2],
    "lp_pool3d": [(1, 2, 4, 4, 4), 2.0, 2],
    "local_response_norm": [(1, 4, 3, 3), 2],
    "cosine_embedding_loss": [(2, 3), (2, 3), (2,)],
    "triplet_margin_loss": [(2, 3), (2, 3), (2, 3)],
    "l1_loss": [(2, 3), (2, 3)],
    "softmax": [(2, 3), 1],
    "mv": [(2, 3), (3,)],
    "dot": [(3,), (3,)],
    "vdot": [(3,), (3,)],
    "addmv": [(2,), (2, 3), (3,)],
    "addr": [(2, 3), (2,), (3,)],
    "outer": [(2,), (3,)],
    "trace": [(3, 3)],
    "cdist": [(2, 3), (2, 3)],
    "linalg.matrix_exp": [(3, 3)],
    "linalg.inv": [(3, 3)],
    "linalg.svdvals": [(3, 3)],
}


@pytest.mark.parametrize("low", [False, True])
def test_the_lists_are_pytorchs(low: bool) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.Generator().manual_seed(0)
    for name, described in TYPED.items():
        given = [torch.rand(*a, generator=numbers) + 0.5 if isinstance(a, tuple) else a for a in described]
        given = [a.bfloat16() if low and isinstance(a, torch.Tensor) else a for a in given]
        found = []
        for library, scope in ((torch, torch.autocast), (xpnn, autocast)):
            where = library.nn.functional if hasattr(library.nn.functional, name) else library
            args = [Tensor(a) if library is xpnn and isinstance(a, torch.Tensor) else a for a in given]
            with scope("cpu", dtype=library.bfloat16):
                found.append(name_of(functools.reduce(getattr, name.split("."), where)(*args)))
        assert found[0] == found[1], name


@pytest.mark.parametrize("low", [False, True])
def test_cells_have_the_types_of_pytorchs(low: bool) -> None:
    torch = pytest.importorskip("torch")
    x = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    x = x.bfloat16() if low else x
    for kind in ("RNNCell", "LSTMCell", "GRUCell"):
        theirs = getattr(torch.nn, kind)(3, 4)
        with xpnn.use_backend("torch"):
            mine = getattr(nn, kind)(3, 4)
        mine.load_state_dict({name: Tensor(value) for name, value in theirs.state_dict().items()})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = theirs(x)
        with autocast("cpu", dtype="bfloat16"):
            found = mine(Tensor(x))
        pairs = zip(expected, found) if kind == "LSTMCell" else [(expected, found)]
        for a, b in pairs:
            assert name_of(a) == name_of(b), kind
            torch.testing.assert_close(b.array.float(), a.float(), rtol=2**-5, atol=2**-5)


def test_float64_and_integers_are_left_alone() -> None:
    x, w = np.ones((2, 3)), np.ones((4, 3))
    with autocast("cpu", dtype="float16"):
        assert F.linear(x, w).dtype == np.float64
        assert (Tensor(np.ones((2, 2), np.int64)) @ Tensor(np.ones((2, 2), np.int64))).dtype == np.int64
        with pytest.raises(DTypeError, match="of one element type"):
            F.linear(x, w.astype(np.float32))


def test_gpus_have_a_list_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays of NumPy stand in for those of a GPU."""
    monkeypatch.setattr("xpnn.autograd.casting._kind_of_device", lambda x: "cuda")
    monkeypatch.setattr(sys.modules["xpnn.amp.autocast"], "_has_gpu", lambda: True)
    x = Tensor(np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3))
    with autocast("cuda"):
        assert xpnn.is_autocast_enabled()
        y = F.linear(x, x)
        assert y.dtype == "float16"
        for function in (xpnn.exp, xpnn.sum, xpnn.norm, lambda t: F.softmax(t, 1), lambda t: t**2):
            assert function(y).dtype == "float32"
        assert F.layer_norm(y, 2).dtype == F.cosine_similarity(y, y).dtype == "float32"
        assert F.gelu(y).dtype == y.mean().dtype == (y + y).dtype == "float16"
    with autocast("cpu", dtype="float16"):
        assert F.linear(x, x).dtype == "float32"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind: type) -> None:
    x = xpnn.asarray(np.random.default_rng(0).standard_normal((5, 2, 3)), dtype="float32")
    layer = kind(3, 4, num_layers=2, bidirectional=True)
    exact, _ = layer(x)
    with autocast("cpu", dtype="float16"):
        y, state = layer(x)
        again, _ = layer(x, state)
    assert y.dtype == again.dtype == ("float32" if kind is nn.GRU else "float16")  # as PyTorch has it
    np.testing.assert_allclose(y.detach().numpy(), exact.detach().numpy(), atol=2**-8)
    y.sum().backward()
    assert {name_of(p.grad) for p in layer.parameters()} == {"float32"}


def test_blocks_nest_and_end() -> None:
    layer, x = nn.Linear(2, 2), xpnn.ones(1, 2)

    def kind() -> str:
        return name_of(layer(x))

    half = autocast("cpu", dtype=xpnn.float16)
    assert (half.device_type, half.fast_dtype) == ("cpu", "float16")
    with half:
        assert kind() == "float16"
        assert xpnn.is_autocast_enabled("cpu")
        assert not xpnn.is_autocast_enabled()
        with autocast("cpu", enabled=False):
            assert kind() == "float32"
            with half:
                assert kind() == "float16"
                assert xpnn.get_autocast_dtype("cpu") == xpnn.float16
        others: list[str] = []
        thread = threading.Thread(target=lambda: others.append(kind()))
        thread.start()
        thread.join()
        assert others == ["float32"]
        with pytest.raises(ZeroDivisionError), half:
            1 / 0  # noqa: B018
        assert kind() == "float16"
    assert kind() == "float32"
    assert not xpnn.is_autocast_enabled("cpu")
    assert half(kind)() == "float16"

    @autocast("cpu", dtype="float16")
    def stretches() -> Any:
        yield kind()

    running = stretches()
    assert next(running) == "float16"
    assert kind() == "float32"


def test_what_cannot_be_cast_is_said() -> None:
    layer, x = nn.Linear(2, 2), xpnn.ones(1, 2)
    with pytest.warns(UserWarning, match="numpy has no bfloat16"), autocast("cpu"):
        assert name_of(layer(x)) == "float32"
    with pytest.warns(UserWarning, match="no CUDA GPU"), autocast("cuda"):
        assert name_of(layer(x)) == "float32"
    with pytest.raises(DTypeError, match="device_type as a string"):
        autocast(True)  # type: ignore[arg-type]
    for wrong in ({"device_type": "tpu"}, {"device_type": "cpu", "dtype": "float32"}):
        with pytest.raises(ArgumentError, match="autocast expects"):
            autocast(**wrong)
    assert [amp.is_autocast_available(kind) for kind in ("cpu", "cuda", "tpu")] == [True, True, False]


def test_the_backward_sweep_has_the_types_of_the_forward() -> None:
    found = []
    for inside in (False, True):
        model, (x, y) = network(), batch()
        with autocast("cpu", dtype="float16"):
            hidden = checkpoint(model[:7], x)
            loss = F.cross_entropy(model[7:](hidden), y)
            with autocast("cpu", enabled=False):
                loss = loss + model[6](xpnn.ones(1, 48)).square().sum()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        found.append([p.grad.numpy() for p in model.parameters()])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


def test_training_in_float16_goes_as_in_float32() -> None:
    losses = []
    for enabled in (False, True):
        model, (x, y) = network(), batch()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scaler = GradScaler("cpu", init_scale=2.0**40, enabled=enabled)  # overflows in float16 at first
        skipped = 0
        steps = 0
        while steps - skipped < 12:
            before = scaler.get_scale()
            optimizer.zero_grad()
            with autocast("cpu", dtype="float16", enabled=enabled):
                loss = F.cross_entropy(model(x), y)
            with np.errstate(over="ignore", invalid="ignore"):
                scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            steps, skipped = steps + 1, skipped + (scaler.get_scale() < before)
        losses.append(loss.item())
        assert skipped > 5 or not enabled
    assert losses[0] < 0.2
    assert losses[1] == pytest.approx(losses[0], abs=0.02)


@pytest.mark.parametrize("cast_inputs", [None, "float32"])
def test_functions_of_ones_own(cast_inputs: str | None) -> None:
    seen = []

    class Product(Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=cast_inputs)
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, gy: Any) -> Any:
            x, w = ctx.saved_tensors
            seen.append(name_of(x.T @ gy))
            return gy @ w.T, x.T @ gy

    x, w = xpnn.ones(2, 3).half(), xpnn.ones(3, 2).requires_grad_()
    with autocast("cpu", dtype="float16"):
        y = Product.apply(x, w)
    y.sum().backward()
    assert name_of(y) == seen[0] == (cast_inputs or "float16")
    assert name_of(w.grad) == "float32"
    assert w.grad.tolist() == [[2.0, 2.0]] * 3


def test_compiled_steps_are_traced_for_their_casts() -> None:
    pytest.importorskip("jax")
    with xpnn.use_backend("jax"):
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.0)

        @xpnn.compile(model, optimizer)
        def step(x: Tensor) -> Tensor:
            y = model(x)
            y.sum().backward()
            optimizer.step()
            return y

        x = xpnn.ones(1, 3)
        names = [name_of(step(x))]
        with autocast("cpu"):
            names += [name_of(step(x)), name_of(step(x))]
        assert [*names, name_of(step(x))] == ["float32", "bfloat16", "bfloat16", "float32"]
