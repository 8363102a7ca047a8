"""dpnp's arrays: devices by a word, copies through the host, products of arrays that repeat an element."""

from __future__ import annotations

import copy
import functools
import pickle
import types

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
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
