"""dpnp's arrays: devices by a word, copies through the host, products of arrays that repeat an element."""

from __future__ import annotations

import copy
import functools
import importlib
import math
import operator
import pickle
import types
import warnings
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import models, nn, optim
from xpnn.backend import ArgumentError, available_backends, backend_of, find_backend, use_backend

STATUS = available_backends()["dpnp"]
pytestmark = pytest.mark.skipif(not STATUS.available, reason=STATUS.detail)


def test_pickles_and_copies_go_through_the_host() -> None:
    with use_backend("dpnp"):
        layer = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        x = xpnn.randn(4, 3)
        expected = xpnn.to_numpy(layer(x))
        for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            assert all(backend_of(value.array).name == "dpnp" for value in other.state_dict().values())
            np.testing.assert_array_equal(xpnn.to_numpy(other(x)), expected)
        array = copy.deepcopy(x.array)
        assert array is not x.array
        array[0, 0] = 7.0
        assert x[0, 0].item() != 7.0


def test_devices() -> None:
    backend = find_backend("dpnp")
    with use_backend("dpnp") as active:
        assert active is backend
        word = xpnn.zeros(2).device
        assert word.type in ("cpu", "gpu", "accelerator")
        assert (xpnn.zeros(2, device=word) + xpnn.ones(2)).tolist() == [1.0, 1.0]
        assert xpnn.zeros(2, device=word.type).device == word
    with pytest.raises(ArgumentError, match="has no device 'cpu:99'"):
        backend.find_device("cpu:99")


@pytest.mark.parametrize("product", ["matmul", "tensordot", "vecdot"])
def test_products_of_what_repeats_an_element(product: str) -> None:
    row = np.arange(3.0, dtype=np.float32)
    options = {"axes": 1} if product == "tensordot" else {}
    with use_backend("dpnp"):
        xp = find_backend("dpnp").xp
        square = xp.broadcast_to(xp.asarray(row), (3, 3))
        found = getattr(xp, product)(square, square, **options)
    host = np.broadcast_to(row, (3, 3))
    np.testing.assert_array_equal(xpnn.to_numpy(found), getattr(np, product)(host, host, **options))


OPERATORS = {  # and the functions behind them
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and_": "bitwise_and",
    "or_": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
NUMBERS = (0, 1, -3, 127, 300, 2**63, 10**400, 0.0, -0.0, 0.1, -2.5, 1e300, math.inf, math.nan, True)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "bool", "complex64"]
)
def test_numbers_of_the_device_change_no_result(dtype: str) -> None:
    """As by dpnp's own functions: bits, types and layouts, warnings and errors."""
    x = find_backend("dpnp").xp.asarray(np.arange(6).reshape(2, 3).astype(dtype)).T

    def outcome(function: Any, *arguments: Any, **options: Any) -> object:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                y = function(*arguments, **options)
            except (TypeError, ValueError, OverflowError) as error:
                return type(error)
        return y.dtype, y.strides, y.asnumpy().tobytes(), [warning.category for warning in warned]

    def in_place(name: str, number: object) -> Any:
        return getattr(operator, f"i{name.rstrip('_')}")(x.copy(order="K"), number)

    dpnp = importlib.import_module("dpnp")
    for number in NUMBERS:
        for name, function in OPERATORS.items():
            own = getattr(dpnp, function)
            y = x.copy(order="K")
            expected = [outcome(own, x, number), outcome(own, number, x), outcome(own, y, number, out=y)]
            for _ in range(2):  # the second number may be one that was kept
                compute = getattr(operator, name)
                found = [outcome(compute, x, number), outcome(compute, number, x)]
                assert [*found, outcome(in_place, name, number)] == expected, (number, name)
        for name, function in COMPARISONS.items():
            own, compute = getattr(dpnp, function), getattr(operator, name)
            for _ in range(2):
                assert outcome(compute, x, number) == outcome(own, x, number), (number, name)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is copied from the host to the device from here on."""
    find_backend("dpnp").xp  # noqa: B018
    kept = importlib.import_module("xpnn.backend.libraries.dpnp")._kept
    kept.cache_clear()
    made: list[Any] = []
    creators = importlib.import_module("dpnp.tensor._ctors")
    copy_to_device = creators._asarray_from_numpy_ndarray

    def counted(values: Any, *arguments: Any, **options: Any) -> Any:
        made.append(values)
        return copy_to_device(values, *arguments, **options)

    monkeypatch.setattr(creators, "_asarray_from_numpy_ndarray", counted)
    return made


def test_a_step_of_training_sends_no_number_twice(copies: list[Any]) -> None:
    with use_backend("dpnp"):
        xpnn.manual_seed(0)
        model = models.resnet20()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        x, labels = xpnn.randn(2, 3, 8, 8), xpnn.tensor([1, 3])
        made = []
        for _ in range(3):
            copies.clear()
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
            made.append(len(copies))
        assert 0 < made[0] <= 74
        assert made[1:] == [0, 0]


def test_dropout_sends_its_counter_alone(copies: list[Any]) -> None:
    with use_backend("dpnp"):
        layer, x = nn.Dropout(0.3), xpnn.ones(4, 5)
        for _ in range(2):
            copies.clear()
            layer(x)
        assert len(copies) <= 1


def trained(backend: str, kind: str, steps: int, calls: list[int]) -> dict[str, np.ndarray]:
    """The parameters and slots after some steps, the second of them with a parameter that has no gradient."""
    with use_backend(backend):
        xpnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Linear(2, 2))
        options = {"weight_decay": 0.1, **({"momentum": 0.9} if kind == "SGD" else {})}
        optimizer = getattr(optim, kind)(model.parameters(), lr=0.1, **options)
        formula = optimizer.update.__func__

        @functools.wraps(formula)
        def counted(self: optim.Optimizer, param: object, *arguments: object) -> object:
            calls.append(1)
            return formula(self, param, *arguments)

        optimizer.update = types.MethodType(counted, optimizer)
        for k in range(steps):
            optimizer.zero_grad()
            model(xpnn.ones(5, 3)).square().sum().backward()
            if k == 1:
                model[3].bias.grad = None
            optimizer.step()
            if k == 2:
                optimizer.load_state_dict(optimizer.state_dict())
        found = {name: xpnn.to_numpy(value.detach()) for name, value in model.named_parameters()}
        for name, slots in optimizer.state_dict()["state"].items():
            found |= {f"{name} {slot}": xpnn.to_numpy(array) for slot, array in slots.items()}
        return found


@pytest.mark.parametrize(("kind", "calls"), [("SGD", 5), ("Adam", 8)])
def test_small_parameters_are_updated_together(kind: str, calls: int) -> None:
    """Adam has to take a parameter by itself that has seen fewer updates."""
    made: list[int] = []
    found, expected = trained("dpnp", kind, 5, made), trained("numpy", kind, 5, [])
    assert len(made) == calls
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=2e-4, atol=1e-6)
