"""Lazy modules before their first call, and at it."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.backend import ArgumentError, CheckpointError, DTypeError, ShapeError

LAZY = sorted(name for name in vars(nn) if name.startswith("Lazy"))

# The arguments that have no default, and an input.
GIVEN = {name: (8, 3) if "Conv" in name else (8,) if name == "LazyLinear" else () for name in LAZY}
SHAPES = {"1d": (2, 4, 5), "2d": (2, 4, 5, 5), "3d": (2, 4, 3, 3, 3), "ar": (2, 4)}


def made(name: str) -> Any:
    return getattr(nn, name)(*GIVEN[name])


def input_of(name: str, dtype: str = "float32") -> Any:
    return xpnn.tensor(np.random.default_rng(0).standard_normal(SHAPES[name[-2:]]), dtype=dtype)


@pytest.mark.parametrize("name", LAZY)
def test_begins_as_the_plain_module_of_that_size(name: str) -> None:
    xpnn.manual_seed(3)
    lazy = made(name)
    assert lazy.has_uninitialized_params()
    y = lazy(input_of(name))
    xpnn.manual_seed(3)
    plain = getattr(nn, name.removeprefix("Lazy"))(4, *GIVEN[name], **lazy_defaults(name))
    assert type(lazy) is type(plain)
    assert repr(lazy) == repr(plain)
    np.testing.assert_array_equal(y.detach().numpy(), plain(input_of(name)).detach().numpy())
    assert vars(lazy).keys() == vars(plain).keys()
    for (key, one), other in zip(lazy.state_dict().items(), plain.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=key)
    assert {type(p) for p in lazy.parameters()} == {nn.Parameter}
    assert {type(b) for b in lazy.buffers()} <= {nn.Buffer}


def lazy_defaults(name: str) -> dict[str, Any]:
    return {"affine": True, "track_running_stats": True} if "Instance" in name else {}


@pytest.mark.parametrize("name", LAZY)
def test_signature_and_repr_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(library, name)).parameters.values()]
        for library in (nn, torch.nn)
    )
    assert mine == theirs
    other = getattr(torch.nn, name)(*GIVEN[name])
    assert repr(made(name)) == repr(other)
    assert list(made(name).state_dict()) == list(other.state_dict())


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_wait_for_their_own_first_call(name: str, duplicate: Callable[[Any], Any]) -> None:
    lazy = made(name).double()
    other = duplicate(lazy)
    assert repr(other) == repr(lazy)
    assert other.has_uninitialized_params()
    x = input_of(name, "float64")
    assert other(x).dtype == "float64"
    assert lazy.has_uninitialized_params()
    assert not any(p.grad is not None for p in lazy.parameters())
    assert {id(p) for p in lazy.parameters()}.isdisjoint(id(p) for p in other.parameters())
    again = duplicate(other)
    np.testing.assert_array_equal(again.eval()(x).detach().numpy(), other.eval()(x).detach().numpy())


def test_what_has_no_elements_says_so() -> None:
    layer = nn.LazyLinear(2)
    assert repr(layer.weight) == "<UninitializedParameter>"
    assert layer.weight.dtype == "float32"
    assert layer.weight.requires_grad
    optimizer = xpnn.optim.SGD(layer.parameters(), lr=0.1)
    for use in (
        lambda: layer.weight.shape,
        lambda: layer.weight + 1,
        lambda: layer.weight.numel(),
        lambda: nn.init.zeros_(layer.weight),
        optimizer.step,
    ):
        with pytest.raises(ArgumentError, match=r"no shape and no elements yet\. Call its lazy module once"):
            use()


def test_an_optimizer_made_before_trains() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyBatchNorm1d(), nn.LazyLinear(1))
    optimizer = xpnn.optim.Adam(net.parameters(), lr=0.01)
    parameters = list(net.parameters())
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (net(input_of("ar")) ** 2 - 1).abs().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(one is other for one, other in zip(parameters, net.parameters(), strict=True))


def test_a_frozen_one_stays_frozen() -> None:
    layer = nn.LazyLinear(2).requires_grad_(False)
    layer(input_of("ar"))
    assert not layer.weight.requires_grad


def test_state_dicts() -> None:
    plain = nn.Linear(4, 2)
    lazy = nn.LazyLinear(2)
    lazy.load_state_dict(plain.state_dict())
    assert repr(lazy) == "LazyLinear(in_features=0, out_features=2, bias=True)"
    x = input_of("ar")
    np.testing.assert_array_equal(lazy(x).detach().numpy(), plain(x).detach().numpy())
    assert repr(lazy) == repr(plain)
    empty = nn.LazyLinear(2).state_dict()
    other = nn.LazyLinear(2)
    other.load_state_dict(empty)
    assert other.has_uninitialized_params()
    with pytest.raises(CheckpointError, match="'weight' is not initialised in the state dict"):
        plain.load_state_dict(empty)
    half = nn.LazyLinear(2)
    half.load_state_dict({"weight": plain.weight}, strict=False)
    np.testing.assert_array_equal(half(x).shape, (2, 2))
    np.testing.assert_array_equal(half.weight.detach().numpy(), plain.weight.detach().numpy())


def test_on_every_backend(backend: Any) -> None:
    layer = nn.LazyConv1d(3, 2)
    layer(xpnn.Tensor(backend.array(np.ones((1, 2, 4), "float32"))))
    moved = nn.LazyBatchNorm1d().to("numpy")
    moved(xpnn.Tensor(np.ones((3, 2), "float32")))
    assert type(moved.weight.array) is np.ndarray


def test_materialize() -> None:
    parameter = nn.UninitializedParameter(dtype="float64")
    parameter.materialize((2, 3))
    assert type(parameter) is nn.Parameter
    assert parameter.shape == (2, 3)
    assert parameter.dtype == "float64"
    assert parameter.requires_grad
    buffer = nn.UninitializedBuffer(persistent=False)
    buffer.materialize((2,), dtype="float16")
    assert type(buffer) is nn.Buffer
    assert buffer.dtype == "float16"
    assert not buffer.persistent


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(DTypeError, match="missing a required argument: 'out_features'"):
        nn.LazyLinear()
    with pytest.raises(DTypeError, match="unexpected keyword argument 'in_channels'"):
        nn.LazyConv2d(3, 3, in_channels=2)
    with pytest.raises(ShapeError, match=r"LazyConv2d finds the size of its input on axis -3, got shape"):
        nn.LazyConv2d(3, 3)(xpnn.tensor([1.0, 2.0]))
