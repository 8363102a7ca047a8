"""`lockstep`: planted differences between two libraries are found where they arise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, BackendError, DTypeError
from xpnn.testing import Lockstep, lockstep

STRICT = "array_api_strict"


def faulty(array: Any) -> bool:
    return type(array).__module__.startswith(STRICT)


@primitive
def _cube(x, *, fault):
    y = x * x * x
    if fault == "forward" and faulty(x):
        y = y * 1.001
    if fault == "nan" and faulty(x):
        y = y * float("nan")
    return y, (x,)


@_cube.backward
def _cube_backward(gy, saved, needs, *, fault):
    (x,) = saved
    return ((3.01 if fault == "backward" and faulty(x) else 3) * gy * x * x,)


class Cube(nn.Module):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def forward(self, input):
        x = _cube(input, fault=self.fault)
        return F.relu(x) if self.fault == "another" and faulty(x.array) else x


def training(fault: str) -> Callable[[], Any]:
    def step() -> Any:
        model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), Cube(fault)), nn.Linear(4, 2))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(xpnn.randn(8, 3)).square().mean()
            loss.backward()
            optimizer.step()
        return {"loss": loss, "weights": [*model.state_dict().values()]}

    return step


def run(fault: str) -> Lockstep:
    return lockstep(training(fault), "numpy", (STRICT, "device1"))


def test_two_libraries_go_in_step() -> None:
    found = run("")
    assert found.first is None
    assert found.compared > 30
    assert found.alone == 0
    assert found.greatest < 1e-4
    assert str(found).startswith(
        f"numpy and {STRICT} go in step: {found.compared} operations were compared; "
    )


@pytest.mark.parametrize(("fault", "direction"), [("forward", "forward"), ("backward", "backward")])
def test_the_first_difference_is_where_it_arises(fault: str, direction: str) -> None:
    first = run(fault).first
    assert first is not None
    assert first.primitive.endswith("_cube") or first.primitive.endswith("cube")
    assert (first.direction, first.module, first.shape) == (direction, "Cube '1.1'", (8, 4))
    assert first.dtype == "float32"
    assert 1e-4 < first.error < 1e-2
    assert first.before < 1e-5
    one, other = first.values
    assert other == pytest.approx(one * (1.001 if fault == "forward" else 3.01 / 3), rel=1e-4)
    assert f"the {direction} of {first.primitive} in Cube '1.1'" in str(run(fault))


def test_what_is_nan_on_one_side_only() -> None:
    first = run("nan").first
    assert first is not None
    assert first.error == np.inf
    assert np.isnan(first.values[1])


def test_a_gradient_that_one_side_lacks() -> None:
    def step() -> Any:
        x = xpnn.ones(2, requires_grad=xpnn.get_backend().name != "numpy")
        y = xpnn.ones(2, requires_grad=True)
        (x * y).sum().backward()
        return {"y": y.grad, "neither": None, "x": x.grad}

    for one, other, values, said in (
        ("numpy", STRICT, (None, (2,)), "only the second has one"),
        (STRICT, "numpy", ((2,), None), "only the first has one"),
    ):
        first = lockstep(step, one, other).first
        assert first is not None
        assert (first.primitive, first.direction, first.output) == ("multiply", "backward", 0)
        assert (first.values, first.shape, first.dtype) == (values, (2,), "float32")
        assert first.error == np.inf
        assert said in str(first)


def test_a_result_that_one_side_lacks() -> None:
    def step() -> Any:
        return {"same": 1.0, "neither": None, "x": None if xpnn.get_backend().name == "numpy" else 2.0}

    first = lockstep(step, "numpy", STRICT).first
    assert first is not None
    assert (first.primitive, first.values) == ("the result['x']", (None, ()))
    assert lockstep(lambda: None, "numpy", STRICT).compared == 0


def test_operations_of_one_side_only_are_passed_over() -> None:
    found = run("another")
    assert found.alone >= 2
    assert found.first is not None  # relu has cut off what was below 0
    assert found.first.module in ("Linear '2'", "Cube '1.1'")


def test_results_of_no_operation() -> None:
    def step() -> Any:
        return [1.0, {"sum": 2.0 if xpnn.get_backend().name == "numpy" else 2.5, "count": 3}]

    first = lockstep(step, "numpy", STRICT).first
    assert first is not None
    assert first.primitive == "the result[1]['sum']"
    assert first.values == (2.0, 2.5)
    assert str(first).startswith("the result[1]['sum'] (operation 1, result 0, (), float32): 2.0 and 2.5, an")


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ([[1, 2], [1, 2]], True),
        ([[1, 2], [1, 3]], False),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], False),
        ([[float("nan"), float("inf")], [float("nan"), float("inf")]], True),
        ([[float("inf")], [-float("inf")]], False),
        ([[1j, 1.0], [1j, 1.0 + 1e-7]], True),
        ([[1j, 1.0], [1j, 1.1]], False),
        ([[], []], True),
    ],
)
def test_kinds_of_results(values: list, same: bool) -> None:
    found = lockstep(lambda: xpnn.tensor(values[xpnn.get_backend().name != "numpy"]), "numpy", STRICT)
    assert (found.first is None) is same
    assert found.compared == same


def test_refusals() -> None:
    with pytest.raises(DTypeError, match="lockstep expects a function of no arguments, got 3"):
        lockstep(3, "numpy", "numpy")
    with pytest.raises(ArgumentError, match="roundings above 0"):
        lockstep(lambda: None, "numpy", "numpy", roundings=0)
    with pytest.raises(BackendError, match="unknown"):
        lockstep(lambda: None, "numpy", "numpyy")
