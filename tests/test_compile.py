"""xpnn.compile: a compiled step does what the plain one does, is traced once, and leaves nothing behind."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    BackendError,
    BackendMismatchError,
    DTypeError,
    backend_of,
    is_array,
    random,
    to_numpy,
)
from xpnn.train import compile

SCHEDULES = {
    "none": lambda o: None,
    "cosine": lambda o: optim.CosineAnnealingLR(o, 10),
    "warm-up": lambda o: optim.Warmup(optim.MultiStepLR(o, [3, 5]), 3),
    "one cycle": lambda o: optim.OneCycleLR(o, 0.05, total_steps=30),
    "linear": lambda o: optim.LinearLR(o, 0.3, total_iters=4),
}


@pytest.fixture
def jax():
    """The tests run on JAX; on other libraries `compile` gives the plain step."""
    jax = pytest.importorskip("jax")
    with xpnn.use_backend("jax"):
        yield jax


def small_network():
    return nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 5)
    )


class Training:
    """A model with batch norm and dropout, and its training step; counts how often Python runs it."""

    def __init__(self, optimizer="Adam", schedule="cosine", model=None, **options):
        xpnn.manual_seed(0)
        self.model = model() if model else small_network()
        options = {"lr": 0.02} | options
        self.optimizer = getattr(optim, optimizer)(self.model.parameters(), **options)
        self.schedule = SCHEDULES[schedule](self.optimizer)
        self.calls = 0

    @property
    def objects(self):
        return [part for part in (self.model, self.optimizer, self.schedule) if part is not None]

    def step(self, x, y):
        self.calls += 1
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        optim.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss

    def losses(self, count, step=None, shape=(6,), dtype="float32"):
        losses = []
        for i in range(count):
            rng = np.random.default_rng(i)
            x = xpnn.asarray(rng.standard_normal((8, *shape)).astype(dtype))
            losses.append((step or self.step)(x, xpnn.asarray(rng.integers(0, 5, 8))).item())
        return losses

    def values(self):
        return {name: to_numpy(tensor) for name, tensor in self.model.state_dict().items()}


def assert_holds_no_tracers(jax, training):
    arrays = [t.array for t in (*training.model.parameters(), *training.model.buffers())]
    arrays += [a for slots in training.optimizer.state.values() for a in slots.values()]
    for group in training.optimizer.param_groups:
        arrays += [value for value in group.values() if is_array(value)]
    for array in arrays:
        assert not isinstance(array, jax.core.Tracer)
        to_numpy(array)
    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert isinstance(random.default_stream().counter, int)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "options"),
    [
        ("Adam", "one cycle", {"amsgrad": True}),
        ("AdamW", "warm-up", {"weight_decay": 0.1}),
        ("SGD", "linear", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
        ("SGD", "none", {}),
        ("NAdam", "linear", {"decoupled_weight_decay": True}),
        ("RAdam", "none", {}),
        ("ASGD", "none", {"lambd": 0.1, "t0": 2}),
        ("Adafactor", "none", {}),
    ],
)
def test_compiled_equals_uncompiled(jax, optimizer, schedule, options):
    plain, compiled = (Training(optimizer, schedule, **options) for _ in range(2))
    xpnn.manual_seed(1)
    expected = plain.losses(8)
    count = random.default_stream().counter
    xpnn.manual_seed(1)
    step = compile(compiled.step, *compiled.objects)
    np.testing.assert_allclose(compiled.losses(8, step), expected, rtol=2e-5)
    assert compiled.calls == 1
    assert random.default_stream().counter == count
    expected = plain.values()
    for name, value in compiled.values().items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-5)
    if plain.schedule is not None:
        assert compiled.schedule.state_dict()["last_epoch"] == 8
        np.testing.assert_allclose(compiled.schedule.get_last_lr(), plain.schedule.get_last_lr(), rtol=1e-5)
    assert_holds_no_tracers(jax, compiled)


def test_compiled_and_uncompiled_steps_can_take_turns(jax):
    plain, mixed = Training(schedule="one cycle"), Training(schedule="one cycle")
    xpnn.manual_seed(1)
    expected = plain.losses(6)
    xpnn.manual_seed(1)
    compiled = compile(mixed.step, *mixed.objects)
    turns = iter([compiled, mixed.step, compiled] * 2)
    np.testing.assert_allclose(mixed.losses(6, lambda x, y: next(turns)(x, y)), expected, rtol=2e-5)


def test_compiled_in_float64(jax):
    """In float64 little is left to rounding: the two programs are the same."""
    plain, compiled = (Training(model=lambda: small_network().double()) for _ in range(2))
    xpnn.manual_seed(1)
    expected = plain.losses(4, dtype="float64")
    xpnn.manual_seed(1)
    found = compiled.losses(4, compile(compiled.step, *compiled.objects), dtype="float64")
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_traced_anew_only_where_it_must(jax):
    training = Training()
    step = compile(training.step, *training.objects)
    x, y = xpnn.asarray(np.zeros((8, 6), np.float32)), xpnn.asarray(np.zeros(8, np.int64))
    calls = []
    for change in (
        lambda: None,
        lambda: training.optimizer.param_groups[0].update(lr=0.5),
        lambda: training.model.eval(),
        lambda: training.model.train(),
        lambda: training.model[0].requires_grad_(False),
        lambda: training.optimizer.param_groups[0].update(weight_decay=0.1),
        lambda: xpnn.manual_seed(5),
    ):
        change()
        step(x, y)
        step(x, y)
        calls.append(training.calls)
    assert calls == [1, 1, 2, 2, 3, 4, 5]
    step(x[:4], y[:4])
    assert training.calls == 6


def test_state_survives_on_a_named_device(jax):
    with xpnn.use_backend("jax", device="cpu:0"):
        training = Training()
        training.model.to(device="cpu:0")
        step = compile(training.step, *training.objects)
        training.losses(3, step)
    assert training.calls == 1
    (variant,) = step.variants.values()
    assert variant.run._cache_size() == 1


def test_dropout_differs_from_step_to_step_and_follows_the_seed(jax):
    dropout = nn.Dropout(0.5)
    step = compile(lambda x: dropout(x), dropout)
    x = xpnn.asarray(np.ones(64, np.float32))
    first, second = (to_numpy(step(x)) for _ in range(2))
    assert not np.array_equal(first, second)
    xpnn.manual_seed(0)
    assert np.array_equal(to_numpy(dropout(x)), first)
    assert np.array_equal(to_numpy(step(x)), second)
    xpnn.manual_seed(7)
    assert np.array_equal(to_numpy(step(x)), to_numpy(_after_seed(7, dropout, x)))


def _after_seed(seed, module, x):
    xpnn.manual_seed(seed)
    return module(x)


def test_arguments_and_results_of_any_nesting(backend):
    model = nn.Linear(2, 2)
    seen = []

    def step(batch, *, scale, mode="a", flags=(True, None)):
        seen.append((mode, flags))
        y = model(batch["x"][0]) * scale
        return {"y": y, "rest": [batch["x"][1], mode], "pair": (y.array, None)}

    step = compile(step, model)

    x = backend.array(np.ones((3, 2), np.float32))
    for scale, mode in ((1.0, "a"), (2.0, "a"), (2.0, "b")):
        result = step({"x": (Tensor(x), x)}, scale=scale, mode=mode)
        expected = backend.numpy(model(x)) * scale
        np.testing.assert_allclose(backend.numpy(result["y"]), expected, rtol=1e-6)
        np.testing.assert_allclose(backend.numpy(result["pair"][0]), expected, rtol=1e-6)
        assert isinstance(result["y"], Tensor)
        assert not result["y"].requires_grad
        assert result["rest"][1] == mode
        assert result["pair"][1] is None
        assert backend_of(result["rest"][0]).name == backend.backend
    assert len(seen) == (2 if backend.backend == "jax" else 3)
    assert set(seen) == {("a", (True, None)), ("b", (True, None))}


def test_elsewhere_it_is_the_plain_step(backend):
    plain, compiled = Training(), Training()
    xpnn.manual_seed(1)
    expected = plain.losses(2)
    xpnn.manual_seed(1)
    step = compile(compiled.step, *compiled.objects)
    np.testing.assert_allclose(compiled.losses(2, step), expected, rtol=1e-4)
    assert all(parameter.grad is None for parameter in compiled.model.parameters())
    assert step.__name__ == "step"


def test_a_step_that_reads_a_value(jax):
    training = Training()

    def reads(x, y):
        loss = training.step(x, y)
        return loss if float(loss) < 1e9 else None

    before, state = training.values(), random.state_dict()
    with pytest.raises(BackendError, match=r"The step 'reads' asks for the value(.|\n)*read it outside"):
        training.losses(1, compile(reads, *training.objects))
    assert random.state_dict() == state
    assert training.optimizer.param_groups[0]["lr"] == 0.02
    assert training.schedule.last_epoch == 0
    for name, value in training.values().items():
        assert np.array_equal(value, before[name])
    assert_holds_no_tracers(jax, training)
    training.losses(1)  # and it can still be trained


def test_a_number_that_must_stay_one(jax):
    model = nn.Linear(2, 2)

    def repeated(x, times):
        for _ in range(times):
            x = model(x)
        return x

    x = xpnn.asarray(np.ones((1, 2), np.float32))
    with pytest.raises(BackendError, match=r"functools\.partial"):
        compile(repeated, model)(x, 3)
    result = compile(functools.partial(repeated, times=3), model)(x)
    np.testing.assert_allclose(to_numpy(result), to_numpy(repeated(x, 3)), rtol=1e-6)


def test_an_error_in_the_step_leaves_the_state_alone(jax):
    training = Training()

    def broken(x, y):
        training.step(x, y)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        training.losses(1, compile(broken, *training.objects))
    assert_holds_no_tracers(jax, training)


def test_two_parameters_that_share_one_array(jax):
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight.array = first.weight.array
    optimizer = optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)

    def step(x):
        (first(x) * second(x)).sum().backward()
        optimizer.step()

    x = xpnn.asarray(np.ones((1, 2), np.float32))
    compiled = compile(step, first, second, optimizer)
    assert compiled(x) is None
    compiled(first.weight.array)  # an argument that is part of the state
    to_numpy(first.weight), to_numpy(second.weight)


def test_bad_arguments(jax):
    with pytest.raises(DTypeError, match="expects modules, optimizers and schedules"):
        compile(lambda: None, 3)
    with pytest.raises(DTypeError, match="got set"):
        compile(lambda x: x, nn.Linear(1, 1))({1, 2})
    with pytest.raises(BackendMismatchError, match="'numpy'"):
        compile(lambda x: x, nn.Linear(1, 1))(np.ones(1))
    with pytest.raises(DTypeError, match="a function or a module, got int"):
        compile(3)
    with pytest.raises(ArgumentError, match=r"xpnn\.set_backend"):
        compile(nn.Linear(1, 1), backend="jax")
    with pytest.raises(ArgumentError, match="reduce-overhead"):
        compile(nn.Linear(1, 1), mode="fast")
    with pytest.raises(ArgumentError, match="either mode or options"):
        compile(mode="default", options={"trace.enabled": True})


PYTORCHS = [
    {},
    {"mode": "max-autotune", "fullgraph": True, "dynamic": False},
    {"backend": "inductor"},
    {"backend": lambda graph, inputs: graph, "options": {}},
    {"disable": True},
]


@pytest.mark.parametrize("options", PYTORCHS, ids=lambda options: "-".join(options) or "none")
def test_a_model_alone_trains_as_before(backend, options):
    """PyTorch's form: `model = torch.compile(model)`."""

    def losses(compiled):
        xpnn.manual_seed(0)
        model = small_network()
        keys = list(model.state_dict())
        if compiled:
            model = xpnn.compile(model, **options)
        assert isinstance(model, nn.Module)
        assert list(model.state_dict()) == keys
        optimizer, found = optim.SGD(model.parameters(), lr=0.1), []
        for seed in range(3):
            x = Tensor(backend.array(np.random.default_rng(seed).standard_normal((4, 6)).astype("float32")))
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), Tensor(backend.array(np.ones((4, 5), np.float32))))
            loss.backward()
            assert all(p.grad is not None for p in model.parameters())
            optimizer.step()
            found.append(loss.item())
        return found

    with backend.active():
        assert losses(compiled=True) == losses(compiled=False)


@pytest.mark.parametrize("options", PYTORCHS, ids=lambda options: "-".join(options) or "none")
def test_a_function_alone_stays_differentiable(backend, options):
    weight = Tensor(backend.array(np.asarray([2.0, 3.0])), requires_grad=True)

    def plain(x, power=2):
        """Weighed powers."""
        return (x**power * weight).sum()

    decorated = xpnn.compile(**options)(plain)
    for function in (xpnn.compile(plain, **options), decorated):
        weight.grad = None
        x = Tensor(backend.array(np.asarray([1.0, 2.0])), requires_grad=True)
        function(x, power=3).backward()
        assert x.grad.tolist() == [6.0, 36.0]
        assert weight.grad.tolist() == [1.0, 8.0]
        assert (function.__name__, function.__doc__) == ("plain", "Weighed powers.")
        weight.data += 1  # what is closed over is read at each call
        assert function(x).item() == plain(x).item()
        weight.data -= 1


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-2)])
def test_resnet20_with_dropout_batch_norm_adam_and_a_schedule(jax, dtype, tolerance):
    """Adam divides gradients by their size, so rounding grows from step to step: float64 is the proof."""

    def model():
        return models.resnet20(num_classes=5, in_channels=2, dropout=0.2).to(dtype=dtype)

    plain, compiled = (Training(model=model, lr=1e-3) for _ in range(2))
    data = {"shape": (2, 16, 16), "dtype": dtype}
    xpnn.manual_seed(1)
    expected = plain.losses(20, **data)
    xpnn.manual_seed(1)
    step = compile(compiled.step, *compiled.objects)
    np.testing.assert_allclose(compiled.losses(20, step, **data), expected, rtol=tolerance)
    assert compiled.calls == 1
