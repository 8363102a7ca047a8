"""Optimizers: PyTorch's numbers, float32 kept, state by name that follows the model, checkpoints."""

from __future__ import annotations

import inspect
import itertools
import math

import numpy as np
import pytest
from halves import half_types, in_float64, in_half

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    CheckpointError,
    DTypeError,
    backend_of,
    dtype_name,
    namespace,
    reference_only,
)
from xpnn.io import load_checkpoint, save_checkpoint

SHAPES = {"weight": (3, 4), "bias": (3,), "scale": ()}
SGD_OPTIONS = [
    {"lr": 0.1},
    {"lr": 0.1, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1},
]
ADAM_OPTIONS = [
    {"lr": 0.1},
    {"lr": 0.1, "betas": (0.0, 0.5)},
    {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3},
    {"lr": 0.1, "weight_decay": 0.2},
    {"lr": 0.1, "amsgrad": True},
    {"lr": 0.1, "maximize": True, "weight_decay": 0.1, "amsgrad": True},
]
OF_PYTORCH = [
    *(("SGD", options) for options in SGD_OPTIONS),
    *(("Adam", options) for options in ADAM_OPTIONS),
    *(("AdamW", options) for options in ADAM_OPTIONS),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True, "foreach": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.2, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "weight_decay": 0.1, "maximize": True, "eps": 1e-3}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-2, 0.3), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 5, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.1, "momentum_decay": 0.3, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.5), "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-2, 0.1), "d": 2.0, "weight_decay": 0.1}),
    ("Muon", {}),
    ("Muon", {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}),
    ("SparseAdam", {}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-3, "maximize": True}),
]
OF_PAPERS = [
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}),
    ("Lion", {"lr": 0.1, "betas": (0.5, 0.8), "maximize": True}),
    ("LAMB", {}),
    ("LAMB", {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("LARS", {"lr": 0.1, "trust_coefficient": 0.1}),
    ("LARS", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "trust_coefficient": 0.5, "nesterov": True}),
    ("LARS", {"lr": 0.1, "momentum": 0.5, "dampening": 0.2, "maximize": True, "trust_coefficient": None}),
]
CASES = OF_PYTORCH + OF_PAPERS


def test_each_optimizer_has_a_case():
    kinds = {
        name
        for name, kind in vars(optim).items()
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    }
    missing = kinds - {"Optimizer", "LBFGS"} - {name for name, _ in CASES}  # LBFGS has tests of its own
    assert not missing, f"write a row in OF_PYTORCH, or in OF_PAPERS, for {', '.join(sorted(missing))}"
    missing = {name for name, _ in OF_PAPERS} - set(BY_HAND)
    assert not missing, f"write a step in NumPy, as `lion` is, into BY_HAND for {', '.join(sorted(missing))}"


def values(seed, shape):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def shapes(optimizer):
    """Those of the parameters that an optimizer takes: all, or matrices."""
    return {name: shape for name, shape in SHAPES.items() if optimizer != "Muon" or len(shape) == 2}


def parameters(backend, dtype="float64", optimizer=""):
    return {
        name: Tensor(xpnn.asarray(backend.array(values(i, shape)), dtype=dtype), requires_grad=True)
        for i, (name, shape) in enumerate(shapes(optimizer).items())
    }


def train(params, optimizer, steps, start=0):
    """Gradients depend on the parameters, so that a difference grows from step to step."""
    for step in range(start, start + steps):
        for i, param in enumerate(params.values()):
            noise = xpnn.asarray(values((step, i), param.shape), dtype=param.dtype)
            param.grad = Tensor(param.array * 0.5 + noise)
        optimizer.step()


def train_torch(torch, params, optimizer, steps):
    for step in range(steps):
        for i, param in enumerate(params):
            param.grad = param.detach() * 0.5 + torch.tensor(values((step, i), tuple(param.shape)))
            if isinstance(optimizer, torch.optim.SparseAdam):  # which takes no others
                param.grad = param.grad.to_sparse()
        optimizer.step()


@pytest.mark.parametrize(("name", "arguments"), OF_PYTORCH)
def test_equal_to_pytorch(name, arguments, backend, torch_in_float64, monkeypatch):
    torch = torch_in_float64
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)  # Muon iterates in this type
    params = parameters(backend, optimizer=name)
    train(params, getattr(optim, name)(params.items(), **arguments), 50)
    reference = [torch.tensor(values(i, s), requires_grad=True) for i, s in enumerate(shapes(name).values())]
    train_torch(torch, reference, getattr(torch.optim, name)(reference, **arguments), 50)
    for param, expected in zip(params.values(), reference):
        np.testing.assert_allclose(backend.numpy(param), expected.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", sorted({"LBFGS", *(name for name, _ in OF_PYTORCH)}))
def test_arguments_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    mine, theirs = (inspect.signature(getattr(module, name)).parameters for module in (optim, torch.optim))
    assert [(p.name, p.kind, p.default) for p in mine.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize(("name", "arguments"), OF_PAPERS)
def test_equal_to_the_formulas_of_papers(name, arguments, backend):
    params = parameters(backend)
    optimizer = getattr(optim, name)(params.items(), **arguments)
    train(params, optimizer, 50)
    for i, param in enumerate(params.values()):
        weight, memory = values(i, param.shape), {}
        for step in range(50):
            gradient = weight * 0.5 + values((step, i), param.shape)
            weight = BY_HAND[name](step + 1, weight, gradient, memory, **optimizer.defaults)
        np.testing.assert_allclose(backend.numpy(param), weight, rtol=1e-9, atol=1e-9)


def test_sparse_adam_leaves_rows_that_were_not_looked_up(backend):
    """Rows of a table, in other rows from step to step, as PyTorch's has them by sparse gradients."""
    torch = pytest.importorskip("torch")
    table = values(0, (5, 2)).astype(np.float32)
    mine = Tensor(backend.array(table), requires_grad=True)
    theirs = torch.tensor(table, requires_grad=True)
    optimizers = [library.SparseAdam([p], lr=0.1) for library, p in ((optim, mine), (torch.optim, theirs))]
    for rows in ([0, 3, 3], [1, 3], [0, 1]):
        y = xpnn.nn.functional.embedding(Tensor(backend.array(np.asarray(rows))), mine, sparse=True)
        z = torch.nn.functional.embedding(torch.tensor(rows), theirs, sparse=True)
        for result, optimizer in zip((y, z), optimizers, strict=True):
            optimizer.zero_grad()
            (result * result).sum().backward()
            optimizer.step()
    np.testing.assert_allclose(backend.numpy(mine), theirs.detach().numpy(), rtol=1e-5)
    np.testing.assert_array_equal(backend.numpy(mine)[[2, 4]], table[[2, 4]])


def lion(count, w, g, memory, lr, betas, weight_decay, maximize):
    g, m = -g if maximize else g, memory.get("m", 0.0)
    memory["m"] = betas[1] * m + (1 - betas[1]) * g
    return w - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * w)


def lamb(count, w, g, memory, lr, betas, eps, weight_decay, maximize):
    g = -g if maximize else g
    memory["m"] = betas[0] * memory.get("m", 0.0) + (1 - betas[0]) * g
    memory["v"] = betas[1] * memory.get("v", 0.0) + (1 - betas[1]) * g**2
    mean, square = memory["m"] / (1 - betas[0] ** count), memory["v"] / (1 - betas[1] ** count)
    r = mean / (np.sqrt(square) + eps) + weight_decay * w
    return w - lr * math.sqrt((w**2).sum()) / math.sqrt((r**2).sum()) * r


def lars(
    count,
    w,
    g,
    memory,
    lr,
    momentum,
    dampening,
    weight_decay,
    nesterov,
    trust_coefficient,
    eps,
    maximize,
):
    local = 1.0
    if trust_coefficient is not None:
        length, slope = math.sqrt((w**2).sum()), math.sqrt((g**2).sum())
        local = trust_coefficient * length / (slope + weight_decay * length + eps)
    g = local * ((-g if maximize else g) + weight_decay * w)
    memory["b"] = momentum * memory["b"] + (1 - dampening) * g if memory else g
    return w - lr * (g + momentum * memory["b"] if nesterov else memory["b"])


BY_HAND = {"Lion": lion, "LAMB": lamb, "LARS": lars}


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_a_parameter_of_zeros_moves_by_the_rate_as_it_is(name, backend):
    x = Tensor(backend.array([0.0, 0.0]), requires_grad=True)
    optimizer = getattr(optim, name)([x], lr=0.5, weight_decay=0.1)
    for gradient, expected in (([0.0, 0.0], 0.0), ([1.0, 1.0], -0.5)):
        x.grad = Tensor(backend.array(gradient))
        optimizer.step()
        if name == "LARS" or gradient == [0.0, 0.0]:
            assert backend.numpy(x).tolist() == [expected] * 2
    assert (backend.numpy(x) < 0).all()


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_float32_stays_float32(name, arguments, backend):
    params = parameters(backend, "float32", name)
    optimizer = getattr(optim, name)(params.items(), **arguments)
    optimizer.param_groups[0]["lr"] = xpnn.asarray(np.asarray(0.1), dtype="float64")
    train(params, optimizer, 2)
    arrays = [p.array for p in params.values()]
    arrays += [array for slots in optimizer.state.values() for array in slots.values()]
    for array in arrays:
        assert dtype_name(array.dtype) == "float32"
        assert backend_of(array).name == backend.backend
        assert array.ndim is not None


def test_bias_correction_is_accurate_in_float32():
    one = Tensor(np.zeros(1, np.float32), requires_grad=True)
    optimizer = optim.Adam([one], lr=1.0, betas=(0.9, 0.999), eps=0.0)
    for _ in range(10):
        one.grad = Tensor(np.ones(1, np.float32))
        optimizer.step()
    np.testing.assert_allclose(one.array, -10, rtol=1e-6)  # a constant gradient makes steps of exactly lr


def test_learning_rate_as_an_array():
    for kind in (np.asarray, Tensor, lambda lr: np.float64(lr)):
        x = Tensor(np.ones(2, np.float32), requires_grad=True)
        x.grad = Tensor(np.ones(2, np.float32))
        optim.SGD([x], lr=kind(0.25)).step()
        assert x.tolist() == [0.75, 0.75]
        assert x.dtype == np.float32


def test_parameters_without_gradient_are_left_alone():
    params = [Tensor(np.ones(2), requires_grad=True) for _ in range(2)]
    optimizer = optim.AdamW(params)
    params[1].grad = Tensor(np.ones(2))
    optimizer.step()
    assert params[0].tolist() == [1, 1]
    assert list(optimizer.state) == ["1"]


def test_gradients_are_not_written_to():
    x = Tensor(np.ones((1, 2)), requires_grad=True)
    x.grad = Tensor(np.ones((1, 2)))
    for name, options in CASES:
        getattr(optim, name)([x], **options).step()
    assert x.grad.tolist() == [[1, 1]]


def test_zero_grad():
    x = Tensor(np.ones(2), requires_grad=True)
    optimizer = optim.SGD([x])
    x.grad = Tensor(np.ones(2))
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert x.grad is None


def test_closure_is_recorded_and_its_loss_returned():
    x = Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([x], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with xpnn.no_grad():
        assert optimizer.step(closure).item() == 1
    assert x.tolist() == [0.5]


def test_momentum_switched_on_later():
    x = Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([x], lr=1.0)
    for momentum, expected in ((0.0, 0.0), (0.5, -1.0), (0.5, -2.5)):
        optimizer.param_groups[0]["momentum"] = momentum
        x.grad = Tensor(np.ones(1))
        optimizer.step()
        assert x.tolist() == [expected]


class Adagrad(optim.Optimizer):
    """With a learning rate that decays, so that it has a count, too."""

    def slots(self, group):
        return ("step", "sum")

    def update(self, param, grad, state, options):
        xp = namespace(param)
        total = state["sum"] + grad * grad
        rate = options["lr"] / (1 + (state["step"] - 1) * 0.1)
        return param - rate * grad / (xp.sqrt(total) + 1e-10), {**state, "sum": total}


def test_an_elementwise_formula_is_called_for_many_parameters_at_once(backend):
    calls = []

    class Together(Adagrad):
        @optim.elementwise
        def update(self, *args):
            calls.append(args)
            return super().update(*args)

    shapes = [(30, 40), (3,), (), (200, 150), (0, 2), *[(5, 5)] * 20]
    trained = []
    for kind in (Adagrad, Together):
        arrays = [backend.array(values(i, shape)) for i, shape in enumerate(shapes)]
        params = {str(i): Tensor(array, requires_grad=True) for i, array in enumerate(arrays)}
        optimizer = kind(params.items(), {"lr": 0.1})
        train(params, optimizer, 3)
        params["7"].grad = None
        optimizer.step()
        train(params, optimizer, 2)
        slots = [array for slots in optimizer.state.values() for array in slots.values()]
        trained.append([backend.numpy(x) for x in (*params.values(), *map(Tensor, slots))])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)
        assert other.dtype == one.dtype
    if backend.backend in ("numpy", "torch"):
        assert len(calls) < 6 * 12


# --- groups and names


def test_names_come_from_the_module():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    names = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert optim.SGD(model.parameters()).param_groups[0]["param_names"] == names
    assert optim.SGD(model.named_parameters()).param_groups[0]["param_names"] == names
    assert optim.SGD(list(model.parameters())).param_groups[0]["param_names"] == ["0", "1", "2", "3"]


def test_groups_with_options_of_their_own():
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[1].parameters()}]
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)
    assert [g["param_names"] for g in optimizer.param_groups] == [["weight", "bias"], ["1.weight", "1.bias"]]
    theirs = [torch.tensor(p.array.copy(), requires_grad=True) for p in model.parameters()]
    groups = [{"params": theirs[:2], "lr": 0.5}, {"params": theirs[2:]}]
    params = dict(model.named_parameters())
    train(params, optimizer, 3)
    train_torch(torch, theirs, torch.optim.SGD(groups, lr=0.1, momentum=0.9), 3)
    for param, expected in zip(params.values(), theirs):
        np.testing.assert_allclose(param.array, expected.detach(), rtol=1e-12)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (DTypeError, r"model.parameters\(\)", lambda x: optim.SGD(x)),
        (DTypeError, r"model.parameters\(\)", lambda x: optim.SGD(nn.Linear(1, 1))),
        (DTypeError, "got ndarray", lambda x: optim.SGD([np.ones(2)])),
        (DTypeError, "Either all entries are groups", lambda x: optim.SGD([{"params": [x]}, x])),
        (ArgumentError, "at least one parameter", lambda x: optim.SGD([])),
        (ArgumentError, "twice", lambda x: optim.SGD([{"params": [x]}, {"params": [x]}])),
        (ArgumentError, "two parameters of the name 'w'", lambda x: optim.SGD([("w", x), ("w", x.detach())])),
        (ArgumentError, "not a leaf", lambda x: optim.SGD([x * 2])),
        (
            ArgumentError,
            "Did you mean 'weight_decay'",
            lambda x: optim.SGD([{"params": x, "weigth_decay": 1}]),
        ),
        (ArgumentError, "lr >= 0, got lr=-1", lambda x: optim.SGD([x], lr=-1)),
        (ArgumentError, "lr >= 0, got lr='fast'", lambda x: optim.SGD([x], lr="fast")),
        (ArgumentError, "lr >= 0, got lr=nan", lambda x: optim.Lion([x], lr=math.nan)),
        (ArgumentError, "one number as lr", lambda x: optim.SGD([x], lr=np.ones(2))),
        (ArgumentError, "True or False, got maximize='no'", lambda x: optim.SGD([x], maximize="no")),
        (ArgumentError, "two betas", lambda x: optim.Adam([x], betas=(0.9, math.nan))),
        (ArgumentError, "two betas", lambda x: optim.NAdam([x], betas=0.9)),
        (ArgumentError, r"rho in \[0, 1\]", lambda x: optim.Adadelta([x], rho=2)),
        (ArgumentError, "etas with", lambda x: optim.Rprop([x], etas=(1.2, 0.5))),
        (ArgumentError, "d >= 1", lambda x: optim.Adafactor([x], d=0.5)),
        (ArgumentError, "lambd as a finite number", lambda x: optim.ASGD([x], lambd="x")),
        (ArgumentError, "expects matrices, '0' has", lambda x: optim.Muon([x])),
        (ArgumentError, "differentiable=True cannot", lambda x: optim.RMSprop([x], differentiable=True)),
        (ArgumentError, "at most one of foreach", lambda x: optim.AdamW([x], foreach=True, fused=True)),
        (ArgumentError, "foreach as True, False", lambda x: optim.Adagrad([x], foreach="yes")),
        (ArgumentError, "momentum > 0", lambda x: optim.SGD([x], nesterov=True)),
        (ArgumentError, r"two betas in \[0, 1\)", lambda x: optim.Adam([x], betas=(0.9, 1.0))),
        (ArgumentError, "weight_decay >= 0", lambda x: optim.AdamW([{"params": [x], "weight_decay": -1}])),
    ],
)
def test_bad_arguments(error, message, make):
    with pytest.raises(error, match=message):
        make(Tensor(np.ones(2), requires_grad=True))


# --- moving and saving


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_model_moved_after_the_optimizer_was_built(name, backend):
    arguments = {"momentum": 0.9} if name == "SGD" else {}
    xpnn.manual_seed(0)
    with xpnn.use_backend("numpy"):
        stays, moves = nn.Linear(3, 2), nn.Linear(3, 2)
        moves.load_state_dict(stays.state_dict())
        optimizers = [getattr(optim, name)(m.parameters(), lr=0.1, **arguments) for m in (stays, moves)]
        train(dict(stays.named_parameters()), optimizers[0], 2)
        train(dict(moves.named_parameters()), optimizers[1], 1)
    moves.to(backend.backend, device=backend.device)
    train(dict(moves.named_parameters()), optimizers[1], 1, start=1)
    np.testing.assert_allclose(backend.numpy(moves.weight), stays.weight.array, rtol=1e-6)
    moves.double()
    train(dict(moves.named_parameters()), optimizers[1], 1, start=2)
    for array in optimizers[1].state["weight"].values():
        assert dtype_name(array.dtype) == "float64"
        assert backend_of(array).name == backend.backend


@pytest.mark.parametrize(("name", "arguments"), [CASES[3], CASES[10]])
def test_state_goes_from_numpy_to_any_backend(name, arguments, backend):
    with xpnn.use_backend("numpy"):
        params = {n: Tensor(values(i, s), requires_grad=True) for i, (n, s) in enumerate(SHAPES.items())}
        optimizer = getattr(optim, name)(params.items(), **arguments)
        train(params, optimizer, 3)
        state = optimizer.state_dict()
    copies = {n: Tensor(backend.array(p.array), requires_grad=True) for n, p in params.items()}
    resumed = getattr(optim, name)(copies.items(), **(arguments | {"lr": 99.0}))
    resumed.load_state_dict(state)
    train(copies, resumed, 3, start=3)
    with xpnn.use_backend("numpy"):
        train(params, optimizer, 3, start=3)
    for param, copy in zip(params.values(), copies.values()):
        np.testing.assert_allclose(backend.numpy(copy), param.array, rtol=1e-12)


def test_state_dict_is_json_ready_but_for_its_arrays():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    optimizer = optim.Adam([("x", x)], lr=0.5)
    optimizer.param_groups[0]["lr"] = np.asarray(0.25, np.float32)
    optimizer.param_groups[0]["betas"] = (np.asarray(0.5, np.float32), 0.999)
    x.grad = Tensor(np.ones(2, np.float32))
    optimizer.step()
    state = optimizer.state_dict()
    assert state["param_groups"][0]["lr"] == 0.25
    assert state["param_groups"][0]["betas"] == (0.5, 0.999)
    assert set(state["state"]["x"]) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["state"]["x"]["step"].shape == ()


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("it was saved by SGD", lambda x: optim.SGD([("x", x)])),
        (
            "it has 2 parameter groups, this optimizer 1",
            lambda x: optim.Adam([{"params": x}, {"params": []}]),
        ),
        ("lacks 'x'; .* has '0', which", lambda x: optim.Adam([x])),
        (r"exp_avg of 'x' has the shape \(3,\), expected \(2,\)", None),
    ],
)
def test_state_that_does_not_fit_changes_nothing(message, make):
    x, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = optim.Adam([("x", x)], lr=0.5)
    if make is None:
        state = optimizer.state_dict() | {"state": {"x": {"exp_avg": np.zeros(3)}}}
    else:
        state = make(other).state_dict()
    with pytest.raises(CheckpointError, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.state == {}


# --- half precision


def halves(backend):
    types = half_types(backend)
    if not types:
        pytest.skip("has no half precision")
    return types


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_half_is_float32_rounded_once_a_step(name, arguments, backend):
    for dtype in halves(backend):
        params, wide = (parameters(backend, dtype, name) for _ in range(2))
        for param in wide.values():
            param.array = param.detach().to("float32").array
        optimizer, other = (getattr(optim, name)(p.items(), **arguments) for p in (params, wide))
        for step in range(20):
            for i, (param, reference) in enumerate(zip(params.values(), wide.values())):
                param.grad = Tensor(xpnn.asarray(values((step, i), param.shape), dtype=dtype))
                reference.grad = param.grad.to("float32")
            with reference_only():
                optimizer.step()
                other.step()
            for param, reference in zip(params.values(), wide.values()):
                assert dtype_name(param.dtype) == dtype
                reference.array = reference.detach().to(dtype).to("float32").array
                assert in_float64(param).tolist() == in_float64(reference).tolist()
        for key, slots in optimizer.state.items():
            for slot, array in slots.items():
                assert dtype_name(array.dtype) == "float32"
                assert in_float64(array).tolist() == in_float64(other.state[key][slot]).tolist()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_half_with_gradients_of_zero_and_tiny_ones(name, backend):
    """eps, and the square of 1e-4, are 0 in float16."""
    options = {"momentum": 0.9} if name == "SGD" else {"weight_decay": 0.0}
    for dtype, gradient in itertools.product(halves(backend), (0.0, 1e-4)):
        (x,) = in_half(backend, dtype, [np.asarray([0.0, 0.5, -0.25])])
        x = Tensor(x, requires_grad=True)
        before = in_float64(x)
        optimizer = getattr(optim, name)([x], lr=0.125 if name != "SGD" else 1250.0, **options)
        x.grad = Tensor(in_half(backend, dtype, [np.full(3, gradient)])[0])
        optimizer.step()
        moved = 0.125 if gradient else 0.0
        np.testing.assert_allclose(in_float64(x), before - moved, rtol=0, atol=1e-3 * moved)


def test_decay_of_half_is_rounded_once(backend):
    """1 - lr decay = 0.9999 is 1 in half precision, and so is the weight again; a float32 moment is not."""
    for dtype in halves(backend):
        (x,) = in_half(backend, dtype, [np.full(2, 1000.0)])
        x = Tensor(x, requires_grad=True)
        x.grad = Tensor(in_half(backend, dtype, [np.zeros(2)])[0])
        optimizer = optim.AdamW([x], lr=0.01, weight_decay=0.5)
        optimizer.step()
        assert in_float64(x).tolist() == ([995.0] * 2 if dtype == "float16" else [996.0] * 2)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_half_resumes_with_the_same_bits(name, backend, tmp_path):
    options = {"momentum": 0.9} if name == "SGD" else {}

    def start(dtype):
        model = nn.Linear(3, 2)
        model.to(dtype)
        return model, getattr(optim, name)(model.parameters(), lr=0.01, **options)

    def steps(model, optimizer, first, last, dtype):
        for step in range(first, last):
            for i, param in enumerate(model.parameters()):
                param.grad = Tensor(xpnn.asarray(values((step, i), param.shape), dtype=dtype))
            optimizer.step()

    for dtype in halves(backend):
        model, optimizer = start(dtype)
        steps(model, optimizer, 0, 3, dtype)
        save_checkpoint(tmp_path / "half.safetensors", model=model, optimizer=optimizer)
        steps(model, optimizer, 3, 6, dtype)
        again, other = start(dtype)
        load_checkpoint(tmp_path / "half.safetensors", model=again, optimizer=other)
        steps(again, other, 3, 6, dtype)
        for param, resumed in zip(model.parameters(), again.parameters()):
            assert dtype_name(resumed.dtype) == dtype
            assert in_float64(param).tolist() == in_float64(resumed).tolist()
        for key, slots in optimizer.state.items():
            for slot, array in slots.items():
                assert in_float64(array).tolist() == in_float64(other.state[key][slot]).tolist()


@pytest.mark.parametrize("norm_type", [1, 2, 3, math.inf])
def test_clip_grad_norm_of_half(norm_type, backend):
    """The square of 300 is no number of float16; the norm is in float32."""
    for dtype in halves(backend):
        params = [Tensor(a, requires_grad=True) for a in in_half(backend, dtype, [np.zeros(1), np.zeros(())])]
        params[0].grad = Tensor(in_half(backend, dtype, [np.full(1, 300.0)])[0])
        norm = optim.clip_grad_norm_(params, 1.0, norm_type)
        assert dtype_name(norm.dtype) == "float32"
        np.testing.assert_allclose(norm.item(), 300, rtol=1e-6)
        assert dtype_name(params[0].grad.dtype) == dtype
        assert params[0].grad.item() == 1
        (many,) = in_half(backend, dtype, [np.full((70_000,), 1.0)])
        params = [Tensor(many, requires_grad=True)]
        params[0].grad = Tensor(many)
        norm = optim.clip_grad_norm_(params, 1e6, norm_type)
        np.testing.assert_allclose(norm.item(), 70_000 ** (1 / norm_type), rtol=1e-5)


def test_clip_grad_value_of_half(backend):
    for dtype in halves(backend):
        (x,) = in_half(backend, dtype, [np.asarray([-3.0, 0.5, 3.0])])
        x = Tensor(x, requires_grad=True)
        for limit, expected in ((1e6, [-3, 0.5, 3]), (1.0, [-1, 0.5, 1])):
            x.grad = Tensor(x.array)
            optim.clip_grad_value_(x, limit)
            assert dtype_name(x.grad.dtype) == dtype
            assert in_float64(x.grad).tolist() == expected


# --- clipping


@pytest.mark.parametrize("norm_type", [1, 2, 3, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(norm_type, max_norm, backend):
    torch = pytest.importorskip("torch")
    params = list(parameters(backend).values())
    theirs = [torch.tensor(values(i, s), requires_grad=True) for i, s in enumerate(SHAPES.values())]
    for i, (param, other) in enumerate(zip(params[:2], theirs)):
        param.grad = Tensor(backend.array(values((i, 5), param.shape)))
        other.grad = torch.tensor(values((i, 5), param.shape))
    norm = optim.clip_grad_norm_(iter(params), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert norm.shape == ()
    np.testing.assert_allclose(norm.item(), expected, rtol=1e-12)
    for param, other in zip(params[:2], theirs):
        np.testing.assert_allclose(backend.numpy(param.grad), other.grad, rtol=1e-12)
    assert params[2].grad is None


@pytest.mark.parametrize("threads", [1, 2])
def test_clip_of_large_arrays_in_any_order(threads):
    before = xpnn.get_num_threads()
    wide = values(3, (70, 40, 6))
    gradients = [
        *(values(0, (500, 700)).astype("float32"), values(1, (300, 500)).T, wide[::2, ::-1], values(2, ())),
        *(wide.transpose(2, 0, 1), np.broadcast_to(values(4, (1, 5)), (4, 5)), np.zeros((0, 3))),
    ]
    expected = math.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients))
    params = [Tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
    try:
        xpnn.set_num_threads(threads)
        for max_norm in (1.0, expected + 1, 0.5):
            for param, gradient in zip(params, gradients):
                param.grad = Tensor(gradient)
            norm = optim.clip_grad_norm_(params, max_norm)
            assert norm.dtype == "float32"
            np.testing.assert_allclose(norm.item(), expected, rtol=2e-7)
            for param, gradient in zip(params, gradients):
                unchanged = max_norm > expected
                assert (param.grad.array is gradient) is unchanged
                scaled = gradient if unchanged else gradient * (max_norm / (expected + 1e-6))
                assert param.grad.dtype == gradient.dtype
                np.testing.assert_allclose(param.grad.array, scaled, rtol=1e-6)
    finally:
        xpnn.set_num_threads(before)


def test_clip_scales_a_shared_gradient_once():
    x, y = (Tensor(np.ones(1), requires_grad=True) for _ in range(2))
    x.grad = y.grad = Tensor(np.full(1, 8.0))
    optim.clip_grad_value_([x, y], 4.0)
    optim.clip_grad_norm_([x, y], math.sqrt(8.0))
    assert round(x.grad.item(), 5) == round(y.grad.item(), 5) == 2


def test_clip_grad_value(backend):
    x = Tensor(backend.array([0.0, 0.0, 0.0]), requires_grad=True)
    x.grad = Tensor(backend.array([-3.0, 0.5, 3.0]))
    optim.clip_grad_value_(x, 1.0)
    assert backend.numpy(x.grad).tolist() == [-1, 0.5, 1]


def test_clip_errors():
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    assert optim.clip_grad_norm_([x], 1.0).item() == 0
    x.grad = Tensor(np.full(1, np.nan, np.float32))
    assert math.isnan(optim.clip_grad_norm_([x], 1.0).item())
    with pytest.raises(AnomalyError, match="gradient norm of nan"):
        optim.clip_grad_norm_([x], 1.0, error_if_nonfinite=True)
    with pytest.raises(ArgumentError, match="norm_type >= 1"):
        optim.clip_grad_norm_([x], 1.0, norm_type=0)
    with pytest.raises(ArgumentError, match="clip_value >= 0"):
        optim.clip_grad_value_([x], -1.0)
