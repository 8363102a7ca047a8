"""State dicts of optimizers: PyTorch's are taken, nonsense is refused and changes nothing."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import CheckpointError

SHAPES = [(3, 2), (2,), (), (4,)]
CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9)}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True}),
    ("Rprop", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 2}),
    ("Adamax", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.1}),
]
each_case = pytest.mark.parametrize(("name", "options"), CASES)


def values(*seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def parameters(make: Any) -> list[Any]:
    return [make(values(i, shape=shape)) for i, shape in enumerate(SHAPES)]


def groups(params: list[Any]) -> list[dict[str, Any]]:
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.03}]


def train(optimizer: Any, params: list[Any], steps: range, make: Any) -> None:
    for step in steps:
        for i, param in enumerate(params):
            if i != 1 or step > 3:  # a parameter without a state at first
                param.grad = make(values(7, step, i, shape=param.shape))
        optimizer.step()


def mine(array: np.ndarray) -> Tensor:
    return Tensor(array, requires_grad=True)


# --- PyTorch's layout


@each_case
def test_a_state_of_pytorch_goes_on_as_there(
    name: str, options: dict[str, Any], backend: Any, torch_in_float64: Any
) -> None:
    torch = torch_in_float64
    theirs = parameters(lambda array: torch.tensor(array, requires_grad=True))
    other = getattr(torch.optim, name)(groups(theirs), **options)
    train(other, theirs, range(3), torch.tensor)
    params = [Tensor(backend.array(p.detach().numpy().copy()), requires_grad=True) for p in theirs]
    optimizer = getattr(optim, name)(
        groups(params), lr=99.0, **{k: v for k, v in options.items() if k != "lr"}
    )
    optimizer.load_state_dict(other.state_dict())
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.03]
    train(other, theirs, range(3, 6), torch.tensor)
    train(optimizer, params, range(3, 6), lambda array: Tensor(backend.array(array)))
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(backend.numpy(param), their.detach().numpy(), rtol=1e-9)


@each_case
def test_pytorch_goes_on_from_a_state_of_ours(
    name: str, options: dict[str, Any], torch_in_float64: Any
) -> None:
    torch = torch_in_float64
    with xpnn.use_backend("torch"):
        params = parameters(lambda array: Tensor(torch.tensor(array), requires_grad=True))
        optimizer = getattr(optim, name)(groups(params), **options)
        train(optimizer, params, range(3), lambda array: Tensor(torch.tensor(array)))
        theirs = [torch.tensor(p.array.numpy(), requires_grad=True) for p in params]
        other = getattr(torch.optim, name)(groups(theirs))
        other.load_state_dict(optimizer.state_dict())
        train(optimizer, params, range(3, 6), lambda array: Tensor(torch.tensor(array)))
    train(other, theirs, range(3, 6), torch.tensor)
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(param.array.numpy(), their.detach().numpy(), rtol=1e-9)


def test_a_file_of_pytorch(tmp_path: Any) -> None:
    """A model and its optimizer, as torch.load gives them; names are by position."""
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(3, 2)
    other = torch.optim.AdamW(theirs.parameters(), lr=0.25)
    theirs(torch.ones(1, 3)).sum().backward()
    other.step()
    torch.save(other.state_dict(), tmp_path / "optimizer.pt")
    model = nn.Linear(3, 2)
    optimizer = optim.AdamW(model.parameters())
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt"))
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.state["weight"]["exp_avg"].shape == (2, 3)
    assert optimizer.state["bias"]["step"] == 1
    assert "foreach" not in optimizer.param_groups[0]


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("lacks the option 'betas'", lambda torch, p: torch.optim.SGD(p)),
        ("the option 'alpha', which this optimizer has not", lambda torch, p: torch.optim.RMSprop(p)),
        (
            "has decoupled_weight_decay=True, by which optimizers differ",
            lambda torch, p: torch.optim.AdamW(p),
        ),
        ("group 0 lacks '1'", lambda torch, p: torch.optim.Adam(p[:1])),
        ("group 0 has 'parameter 2', which", lambda torch, p: torch.optim.Adam([*p, p[0].detach()])),
        ("2 parameter groups, this optimizer 1", lambda torch, p: torch.optim.Adam(groups(p))),
        (
            r"exp_avg of '0' has the shape \(2,\), expected \(3, 2\)",
            lambda torch, p: torch.optim.Adam(p[::-1]),
        ),
    ],
)
def test_a_state_of_pytorch_that_does_not_fit(message: str, make: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.ones(shape, requires_grad=True) for shape in SHAPES[:2]]
    other = make(torch, theirs)
    for param in theirs:
        param.grad = torch.ones(param.shape)
    other.step()
    optimizer = optim.Adam([mine(np.ones(shape)) for shape in SHAPES[:2]])
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=message):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.state_dict() == before


# --- nonsense


NONSENSE = ["x", None, math.nan, math.inf, -1.0, True, [], {}, [1.0], (0.5, math.nan)]


def trained(name: str, options: dict[str, Any]) -> Any:
    params = parameters(mine)
    optimizer = getattr(optim, name)(groups(params), **options)
    train(optimizer, params, range(3), Tensor)
    return optimizer


def places(tree: Any, path: tuple[Any, ...] = ()) -> Any:
    """The paths to all dicts, lists and values in a nesting."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = dict(tree) if isinstance(tree, dict) else list(tree)
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


@each_case
def test_nonsense_in_every_place_of_a_state(name: str, options: dict[str, Any], tally: Any) -> None:
    optimizer = trained(name, options)
    state = copy.deepcopy(optimizer.state_dict())
    tried = survived = 0
    for path in places(state):
        for value in NONSENSE:
            wrong = replaced(state, path, value)
            if is_legal(path, found(state, path), value):
                continue
            tried += 1
            with pytest.raises(CheckpointError):
                optimizer.load_state_dict(wrong)
            assert same(optimizer.state_dict(), state), path
            survived += 1
    tally("nonsense in an optimizer's state", tried, survived)


def found(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def is_legal(path: tuple[Any, ...], old: Any, value: Any) -> bool:
    both_empty = isinstance(old, dict | list) and old == value
    may_be_negative = path[-1:] and path[-1] in ("dampening", "lambd", "alpha", "t0", "beta2_decay")
    return both_empty or type(old) is type(value) is bool or (may_be_negative and value == -1.0)


def test_arrays_that_were_swapped_or_lost() -> None:
    optimizer = trained("Adam", {})
    state = optimizer.state_dict()
    slots = state["state"]["0"]
    wrong = [
        {"0": slots | {"exp_avg": slots["exp_avg_sq"], "exp_avg_sq": slots["exp_avg"]}},
        {"0": state["state"]["3"], "3": slots},
        {"0": {slot: array for slot, array in slots.items() if slot != "exp_avg"}},
        {"0": slots | {"step": -slots["step"]}},
        {"0": slots | {"step": slots["step"] * np.nan}},
        {"0": slots | {"exp_avg": slots["exp_avg"] > 0}},
        {"0": slots | {"exp_avg": slots["exp_avg"].tolist()}},
    ]
    for change in wrong:
        with pytest.raises(CheckpointError):
            optimizer.load_state_dict(state | {"state": state["state"] | change})
    without = {name: slots for name, slots in state["state"].items() if name != "3"}
    with pytest.raises(CheckpointError, match="lacks the state of parameters that were updated"):
        optimizer.load_state_dict(state | {"state": without})
    optimizer.load_state_dict(state)


def test_a_long_list_of_what_does_not_fit_is_cut() -> None:
    optimizer = optim.SGD([mine(np.ones(1)) for _ in range(200)], momentum=0.9)
    state = optimizer.state_dict() | {"state": {f"x{i}" * 100: {} for i in range(10000)}}
    with pytest.raises(CheckpointError) as error:
        optimizer.load_state_dict(state)
    assert len(str(error.value)) < 2000


def test_what_was_loaded_is_apart_from_what_it_came_from() -> None:
    optimizer, other = trained("Adam", {}), trained("Adam", {})
    state = optimizer.state_dict()
    other.load_state_dict(state)
    state["param_groups"][0]["lr"] = 7.0
    state["state"]["0"]["exp_avg"][...] = 7.0
    assert other.param_groups[0]["lr"] != 7.0
    assert not (other.state["0"]["exp_avg"] == 7.0).any()


def test_options_and_slots_change_together() -> None:
    """An option that was changed in a run comes with the arrays that it needs."""
    with xpnn.use_backend("numpy"):
        optimizer = trained("SGD", {"momentum": 0.9})
        plain = optim.SGD(groups(parameters(mine)))
        plain.load_state_dict(optimizer.state_dict())
    assert plain.param_groups[0]["momentum"] == 0.9
    assert plain.state.keys() == optimizer.state.keys()


def test_a_state_of_pytorch_with_the_bounds_of_a_schedule() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones(2, requires_grad=True)
    other = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(other, max_lr=0.5, total_steps=10)
    optimizer = optim.SGD([mine(np.ones(2))])
    optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02)
    assert "max_lr" not in optimizer.param_groups[0]
