"""L-BFGS: PyTorch's course to the digit, with and without a line search, and its states."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import optim
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError
from xpnn.io import load_checkpoint, save_checkpoint

SHAPES = [(2, 3), (3,)]
OPTIONS: list[dict[str, Any]] = [
    {"max_iter": 6},
    {"line_search_fn": "strong_wolfe"},
    {"lr": 0.1, "max_iter": 5, "history_size": 3, "tolerance_grad": 1e-3},
    {"lr": 0.5, "max_iter": 4, "history_size": 2, "max_eval": 7, "line_search_fn": "strong_wolfe"},
]


def values(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def rosenbrock(params: list[Any]) -> Any:
    rows = [params[0][0], params[0][1], params[1]]
    return sum((0.5 * (b - a**2) ** 2 + (1 - a) ** 2).sum() for a, b in itertools.pairwise(rows))


def train(optimizer: Any, params: list[Any], steps: int) -> list[float]:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = rosenbrock(params)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]


def of_torch(torch: Any) -> list[Any]:
    return [torch.tensor(values(i, shape), requires_grad=True) for i, shape in enumerate(SHAPES)]


def of_xpnn(backend: Any, dtype: str = "float64") -> list[Tensor]:
    arrays = [xpnn.asarray(backend.array(values(i, shape)), dtype=dtype) for i, shape in enumerate(SHAPES)]
    return [Tensor(array, requires_grad=True) for array in arrays]


@pytest.mark.parametrize("options", OPTIONS)
def test_equal_to_pytorch(options: dict[str, Any], backend: Any) -> None:
    torch = pytest.importorskip("torch")
    params, theirs = of_xpnn(backend), of_torch(torch)
    optimizer, other = optim.LBFGS(params, **options), torch.optim.LBFGS(theirs, **options)
    losses, expected = train(optimizer, params, 8), train(other, theirs, 8)
    np.testing.assert_allclose(losses, expected, rtol=1e-9, atol=1e-12)
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(backend.numpy(param), their.detach().numpy(), rtol=1e-9, atol=1e-9)
    for count in ("func_evals", "n_iter"):
        assert optimizer.state["0"][count] == other.state[theirs[0]][count]


@pytest.mark.parametrize("options", OPTIONS[1:3])
def test_a_state_of_pytorch_goes_on_as_there(options: dict[str, Any], backend: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = of_torch(torch)
    other = torch.optim.LBFGS(theirs, **(options | {"max_iter": 3}))
    train(other, theirs, 2)
    params = [Tensor(backend.array(p.detach().numpy().copy()), requires_grad=True) for p in theirs]
    optimizer = optim.LBFGS(params)
    optimizer.load_state_dict(other.state_dict())
    train(other, theirs, 2)
    train(optimizer, params, 2)
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(backend.numpy(param), their.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_checkpoints_go_from_numpy_to_any_backend(backend: Any, tmp_path: Any) -> None:
    with xpnn.use_backend("numpy"):
        params = [Tensor(values(i, shape), requires_grad=True) for i, shape in enumerate(SHAPES)]
        optimizer = optim.LBFGS(params, max_iter=3, line_search_fn="strong_wolfe")
        train(optimizer, params, 2)
        save_checkpoint(tmp_path / "x", optimizer=optimizer)
    copies = [Tensor(backend.array(p.array.copy()), requires_grad=True) for p in params]
    resumed = optim.LBFGS(copies)
    load_checkpoint(tmp_path / "x", optimizer=resumed)
    train(resumed, copies, 2)
    with xpnn.use_backend("numpy"):
        train(optimizer, params, 2)
    for param, other in zip(params, copies):
        np.testing.assert_allclose(backend.numpy(other), param.array, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_types_are_kept(dtype: str) -> None:
    params = [Tensor(values(i, shape).astype(dtype), requires_grad=True) for i, shape in enumerate(SHAPES)]
    optimizer = optim.LBFGS(params, line_search_fn="strong_wolfe")
    losses = train(optimizer, params, 3)
    assert losses[-1] < 0.05 * losses[0]
    assert {param.dtype.name for param in params} == {dtype}
    assert optimizer.state["0"]["d"].dtype == np.float32


def test_at_a_minimum_nothing_is_kept_or_moved() -> None:
    params = [Tensor(np.ones(shape), requires_grad=True) for shape in SHAPES]
    optimizer = optim.LBFGS(params)
    assert train(optimizer, params, 1) == [0.0]
    assert optimizer.state["0"]["n_iter"] == 0
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def test_bad_arguments() -> None:
    x = Tensor(np.ones(2), requires_grad=True)
    for wrong in ({"lr": -1}, {"max_iter": "x"}, {"line_search_fn": "wolfe"}, {"history_size": 0}):
        with pytest.raises(ArgumentError):
            optim.LBFGS([x], **wrong)
    with pytest.raises(ArgumentError, match="one group"):
        optim.LBFGS([{"params": [x]}, {"params": [x.detach()]}])
    with pytest.raises(ArgumentError, match="expects a closure that computes"):
        optim.LBFGS([x]).step()
    with pytest.raises(ArgumentError, match="returns the loss"):
        optim.LBFGS([x]).step(lambda: None)


def test_nonsense_in_a_state_changes_nothing() -> None:
    params = [Tensor(values(i, shape), requires_grad=True) for i, shape in enumerate(SHAPES)]
    optimizer = optim.LBFGS(params, max_iter=3)
    train(optimizer, params, 2)
    state = optimizer.state_dict()
    slots = state["state"]["0"]
    wrong: list[Any] = [state | {"state": {"1": slots}}, state | {"state": {"0": 3}}, state | {"state": []}]
    for slot in slots:
        for value in ("x", None, math.nan, [], {}, np.ones(5)):
            wrong.append(state | {"state": {"0": slots | {slot: value}}})
    for bad in wrong:
        with pytest.raises(CheckpointError):
            optimizer.load_state_dict(bad)
    np.testing.assert_array_equal(optimizer.state_dict()["state"]["0"]["d"], slots["d"])
    optimizer.load_state_dict(state)
