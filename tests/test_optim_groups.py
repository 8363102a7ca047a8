"""Optimizers on NumPy, where whole groups are updated at once: the same numbers, whatever happens between."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import find_backend, reference_only, update_kernels
from xpnn.backend.update_kernels import find_updater, fused_update
from xpnn.kernels.numpy.optim.bundles import PIECE_BYTES, Bundles

LARGE = (PIECE_BYTES // 4 // 60, 83)  # two pieces in float32
SHAPES = [(3, 4), (), (5,), LARGE, (0, 3), (2, 3, 2), (PIECE_BYTES // 10,), (7,), (PIECE_BYTES // 10,)]
LIES = ["straight", "turned", "read only", "strided"]
GRID = [
    *(
        ("SGD", {"lr": 0.1, "momentum": momentum, "dampening": dampening, "nesterov": nesterov, **rest})
        for momentum, dampening, nesterov in (
            (0, 0, False),
            (0.9, 0, False),
            (0.9, 0.3, False),
            (0.9, 0, True),
        )
        for rest in ({}, {"weight_decay": 0.1}, {"maximize": True}, {"weight_decay": 0.1, "maximize": True})
    ),
    *(
        (name, {"lr": 0.05, "amsgrad": amsgrad, **rest})
        for name in ("Adam", "AdamW")
        for amsgrad in (False, True)
        for rest in (
            {},
            {"weight_decay": 0.1},
            {"maximize": True, "betas": (0.0, 0.9)},
            {"weight_decay": 0.1, "maximize": True, "eps": 1e-3, "betas": (0.5, 0.7)},
        )
    ),
]
SOME = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adam", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1}),
]
some_optimizers = pytest.mark.parametrize(("name", "options"), SOME)


def values(seed: Any, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def parameters(shapes: list[tuple[int, ...]] = SHAPES, dtype: str = "float32") -> list[nn.Parameter]:
    return [nn.Parameter(values(i, shape, dtype)) for i, shape in enumerate(shapes)]


def give_gradients(params: list[Any], step: int, chosen: Callable[[int], bool] = lambda i: True) -> None:
    for i, param in enumerate(params):
        noise = values((step, i), param.shape, param.dtype)
        param.grad = Tensor(param.array * param.array.dtype.type(0.5) + noise) if chosen(i) else None


def train(optimizer: optim.Optimizer, params: list[Any], steps: int | range, **how: Any) -> None:
    for step in range(steps) if isinstance(steps, int) else steps:
        give_gradients(params, step, **how)
        optimizer.step()
        optimizer.zero_grad()


def make(name: str, params: Any, **options: Any) -> Any:
    return getattr(optim, name)(params, **options)


def addresses(params: list[Any], optimizer: optim.Optimizer) -> list[int]:
    arrays = [param.array for param in params]
    arrays += [a for slots in optimizer.state.values() for slot, a in slots.items() if slot != "step"]
    return [array.__array_interface__["data"][0] for array in arrays if array.size]


def same(params: list[Any], others: list[Any], tolerance: float = 0.0) -> None:
    for param, other in zip(params, others):
        np.testing.assert_allclose(param.array, other.array, rtol=tolerance, atol=tolerance)


# --- the same numbers


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_are_registered(name: str) -> None:
    assert find_updater(find_backend("numpy")) is Bundles
    assert update_kernels._fused["numpy", name]


@pytest.mark.parametrize(("name", "options"), GRID)
def test_equal_to_pytorch_with_gradients_that_come_and_go(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    params = parameters(dtype="float64")
    theirs = [torch.tensor(param.array.copy(), requires_grad=True) for param in params]
    optimizer, other = make(name, params, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(6):
        give_gradients(params, step, lambda i, step=step: (i + step) % 4 != 0 or step == 3)
        for param, their in zip(params, theirs):
            their.grad = None if param.grad is None else torch.tensor(param.grad.array.copy())
        optimizer.step()
        other.step()
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(param.array, their.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), GRID)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14)])
def test_equal_to_the_reference(name: str, options: dict[str, Any], dtype: str, tolerance: float) -> None:
    params, others = parameters(dtype=dtype), parameters(dtype=dtype)
    optimizer, other = make(name, params, **options), make(name, others, **options)
    for step in range(4):
        give_gradients(params, step)
        for param, reference in zip(params, others):
            reference.grad = Tensor(param.grad.array)
        optimizer.step()
        with reference_only():
            other.step()
        for key in other.state:
            assert optimizer.state[key].keys() == other.state[key].keys()
            for slot, array in other.state[key].items():
                ours = optimizer.state[key][slot]
                assert ours.dtype == array.dtype
                assert ours.shape == array.shape
                np.testing.assert_allclose(ours, array, rtol=tolerance * 10, atol=tolerance)
        same(params, others, tolerance * 10)
        assert all(param.dtype == dtype for param in params)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    case=st.sampled_from(GRID),
    sizes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=8),
    dtypes=st.lists(st.sampled_from(["float32", "float64", "float16"]), min_size=8, max_size=8),
    lies=st.lists(st.sampled_from(LIES), min_size=8, max_size=8),
    present=st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=1, max_size=5),
)
def test_equal_to_the_reference_in_any_mixture(
    case: Any, sizes: Any, dtypes: Any, lies: Any, present: Any
) -> None:
    name, options = case
    arrays = [values(i, tuple(s), dtypes[i]) for i, s in enumerate(sizes)]
    params = [nn.Parameter(lying(a, lies[i])) for i, a in enumerate(arrays)]
    others = [nn.Parameter(a) for a in arrays]
    optimizer, other = make(name, params, **options), make(name, others, **options)
    for step, there in enumerate(present):
        for i, (param, reference) in enumerate(zip(params, others)):
            grad = values((step, i), param.shape, dtypes[i])
            param.grad = Tensor(lying(grad, lies[-1 - i])) if there[i] else None
            reference.grad = Tensor(grad) if there[i] else None
        optimizer.step()
        with reference_only():
            other.step()
    assert optimizer.state.keys() == other.state.keys()
    for param, reference in zip(params, others):
        assert param.dtype == reference.dtype
        tolerance = {"float16": 1e-2, "float32": 2e-5, "float64": 1e-12}[param.dtype.name]
        np.testing.assert_allclose(param.array, reference.array, rtol=tolerance, atol=tolerance)


def lying(array: np.ndarray, how: str) -> np.ndarray:
    """A copy of an array that lies in memory in another way."""
    if how == "turned":
        return np.array(array, order="F", copy=True)
    if how == "strided" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    array = array.copy()
    array.flags.writeable = how != "read only"
    return array


def test_kernels_are_given_what_they_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(update_kernels, "_fused", {})

    @fused_update("numpy", "adam")
    def check(param: Any, grad: Any, state: Any, options: Any) -> None:
        for array in (param, grad, state["exp_avg"], state["exp_avg_sq"]):
            assert array.ndim == 1
            assert array.flags.c_contiguous
            assert array.dtype == param.dtype
            assert array.shape == param.shape
            assert array.nbytes <= PIECE_BYTES
        assert param.flags.writeable
        assert type(state["step"]) is int
        assert {type(options[name]) for name in ("lr", "eps")} == {float}
        seen.append(state["step"])

    params = [nn.Parameter(lying(values(i, shape), how)) for i, shape in enumerate(SHAPES) for how in LIES]
    optimizer = optim.Adam(params, lr=np.asarray(0.1))
    for step in range(2):
        for i, param in enumerate(params):
            param.grad = Tensor(lying(values((step, i), param.shape), LIES[i % 3 - 2]))
        optimizer.step()
    assert set(seen) == {1, 2}


@some_optimizers
def test_threads_make_no_difference(name: str, options: dict[str, Any]) -> None:
    before = xpnn.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            xpnn.set_num_threads(threads)
            params = parameters([*SHAPES, (400, 1000)])
            train(make(name, params, **options), params, 2)
            results.append(params)
    finally:
        xpnn.set_num_threads(before)
    same(results[0], results[1])
    same(results[0], results[2])


# --- what happens between steps


def replace_parameters(params: list[Any], optimizer: Any) -> None:
    for param in params[::2]:
        param.array = param.array + 1


def reload_state(params: list[Any], optimizer: Any) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def forget_state(params: list[Any], optimizer: Any) -> None:
    optimizer.state.clear()


def forget_one_state(params: list[Any], optimizer: Any) -> None:
    optimizer.state.pop("2", None)


def replace_a_slot(params: list[Any], optimizer: Any) -> None:
    for slots in list(optimizer.state.values())[1:3]:
        for slot, array in slots.items():
            slots[slot] = np.asarray(array + 1)


def widen(params: list[Any], optimizer: Any) -> None:
    for param in params[1::2]:
        param.array = param.array.astype(np.float64)


def turn(params: list[Any], optimizer: Any) -> None:
    for param in params:
        param.array = np.array(param.array, order="F", copy=True)


def learn_faster(params: list[Any], optimizer: Any) -> None:
    optimizer.param_groups[0]["lr"] = np.asarray(0.2)
    optimizer.param_groups[0]["weight_decay"] = np.float64(0.1)


def add_parameters(params: list[Any], optimizer: Any) -> None:
    params += [nn.Parameter(values(50 + i, (4, i))) for i in range(3)]
    optimizer.add_param_group({"params": params[-3:], "lr": 0.3})


def drop_a_parameter(params: list[Any], optimizer: Any) -> None:
    group = optimizer.param_groups[0]
    del group["params"][1], group["param_names"][1]


def switch_on(params: list[Any], optimizer: Any) -> None:
    group = optimizer.param_groups[0]
    if "betas" in group:
        group["amsgrad"] = True
    else:
        group["momentum"] = 0.0 if group["momentum"] else 0.5


def use_the_reference(params: list[Any], optimizer: Any) -> None:
    with reference_only():
        train(optimizer, params, range(90, 92))


def initialize(params: list[Any], optimizer: Any) -> None:
    optimizer.initialize_state()


BETWEEN = [
    *(replace_parameters, reload_state, forget_state, forget_one_state, replace_a_slot, widen, turn),
    *(learn_faster, add_parameters, drop_a_parameter, switch_on, use_the_reference, initialize),
]


@some_optimizers
@pytest.mark.parametrize("change", BETWEEN, ids=lambda function: function.__name__)
def test_changes_between_steps(name: str, options: dict[str, Any], change: Callable[..., None]) -> None:
    params, others = parameters(), parameters()
    optimizer, other = make(name, params, **options), make(name, others, **options)
    train(optimizer, params, 2)
    change(params, optimizer)
    train(optimizer, params, range(2, 4))
    with reference_only():
        train(other, others, 2)
        change(others, other)
        train(other, others, range(2, 4))
    assert [p.dtype for p in params] == [p.dtype for p in others]
    same(params, others, 2e-5)
    before = addresses(params, optimizer)
    train(optimizer, params, range(4, 6))
    assert addresses(params, optimizer) == before


def test_two_optimizers_take_turns() -> None:
    params, others = parameters(), parameters()
    both = [(optim.Adam(p, lr=0.1), optim.SGD(p, lr=0.1, momentum=0.9)) for p in (params, others)]
    for step in range(6):
        train(both[0][step % 2], params, range(step, step + 1))
        with reference_only():
            train(both[1][step % 2], others, range(step, step + 1))
    same(params, others, 1e-5)


@some_optimizers
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_train_by_themselves(name: str, options: dict[str, Any], copied: Callable) -> None:
    params = parameters()
    optimizer = make(name, params, **options)
    train(optimizer, params, 2)
    others, other = copied((params, optimizer))
    train(optimizer, params, range(2, 4))
    before = [param.array.copy() for param in params]
    train(other, others, range(2, 4))
    same(params, others)
    same(params, [Tensor(array) for array in before])


def test_an_update_of_ones_own_is_called() -> None:
    class Halving(optim.SGD):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> Any:
            assert param.shape == (3,)
            return param / 2, state

    class Loud(optim.Adam):
        """Changes nothing, and so keeps the kernel."""

    params = [nn.Parameter(np.full(3, 8.0, np.float32)) for _ in range(2)]
    give_gradients(params, 0)
    Halving(params).step()
    assert params[1].tolist() == [4, 4, 4]
    assert Loud(params).update.kernel == "adam"
