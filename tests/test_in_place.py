"""`inplace=True`, and functions whose names end in an underscore: the Tensor gets the result, on the tape."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from targets import Target

import xpnn.functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad, no_grad
from xpnn.backend import ArgumentError, DTypeError, GradientError, manual_seed, to_numpy

ARGUMENTS = {"threshold": (0.1, 2.0), "rrelu": (0.1, 0.3, True), "stochastic_depth": (0.5, "row")}
X = np.asarray([[-1.5, -0.25, 0.75], [2.0, -0.5, 4.0]])

TAKES_INPLACE = {
    name
    for name, function in vars(F).items()
    if inspect.isfunction(function) and "inplace" in inspect.signature(function).parameters
}
TWINS = {name for name in vars(F) if name.endswith("_") and not name.startswith("_")}
IMAGES = {"dropout2d": (1, 2, 1, 3), "dropout3d": (1, 2, 1, 1, 3)}


def test_all_of_torch_are_there() -> None:
    torch = pytest.importorskip("torch")
    theirs = {
        name
        for name in dir(torch.nn.functional)
        if name.endswith("_") and not name.startswith("_") and hasattr(torch.nn.functional, name[:-1])
    }
    assert theirs <= TWINS


@pytest.mark.parametrize("name", sorted(TAKES_INPLACE | TWINS))
def test_in_place(name: str, backend: Target) -> None:
    """What another handle, a view and the tape see is what PyTorch's memory would show."""
    options = {} if name.endswith("_") else {"inplace": True}
    base = name.rstrip("_")
    if "dropout" in name:
        options["training"] = True
    leaf = Tensor(backend.array(X.reshape(IMAGES.get(name, X.shape))), requires_grad=True)
    arguments = ARGUMENTS.get(base, ())
    manual_seed(0)
    expected = getattr(F, base)(leaf, *arguments, **{k: v for k, v in options.items() if k != "inplace"})
    (gradient,) = grad([expected.sum()], [leaf])
    x = leaf * 1
    view = x[0]
    manual_seed(0)
    y = getattr(F, name)(x, *arguments, **options)
    assert y is x
    np.testing.assert_array_equal(to_numpy(x.detach()), to_numpy(expected.detach()))
    np.testing.assert_array_equal(to_numpy(view.detach()), to_numpy(expected.detach())[0])
    np.testing.assert_array_equal(to_numpy(grad([x.sum()], [leaf])[0]), to_numpy(gradient))


@pytest.mark.parametrize("name", sorted(TAKES_INPLACE | TWINS))
def test_in_place_refusals(name: str) -> None:
    """A leaf that requires a gradient, a switch that is none, and a raw array for an underscore."""
    options = {} if name.endswith("_") else {"inplace": True}
    if "dropout" in name:
        options["training"] = True
    arguments, shape = ARGUMENTS.get(name.rstrip("_"), ()), IMAGES.get(name, X.shape)
    function, leaf = getattr(F, name), Tensor(X.reshape(shape), requires_grad=True)
    with pytest.raises(GradientError, match="leaf that requires a gradient"):
        function(leaf, *arguments, **options)
    with no_grad():
        assert function(leaf, *arguments, **options) is leaf
    if name.endswith("_"):
        with pytest.raises(DTypeError, match="expects a Tensor to write into, got ndarray"):
            function(X, *arguments)
    else:
        raw = X.reshape(shape).copy()
        function(raw, *arguments, **options)
        np.testing.assert_array_equal(raw, X.reshape(shape))
        with pytest.raises(ArgumentError, match=f"{name} expects inplace as True or False"):
            function(Tensor(raw), *arguments, **{**options, "inplace": "False"})


def test_module_in_place() -> None:
    a = Tensor(np.asarray([-1.0, 2.0]))
    assert (a + nn.ReLU(True)(a)).tolist() == [0.0, 4.0]
    for module in (
        nn.LeakyReLU(0.5, True),
        nn.Dropout(1.0, True),
        nn.Mish(inplace=True),
        nn.Threshold(0.1, 3, True),
    ):
        x = Tensor(np.asarray([-1.0, 2.0]))
        assert module(x) is x


@pytest.mark.parametrize(("axes", "dim"), [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_chooses_as_pytorch(name: str, axes: int, dim: int) -> None:
    """And warns, naming the line of the caller, also when there were hooks."""
    x = np.random.default_rng(0).standard_normal((2,) * axes)
    module = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "softmin": nn.Softmin}[name]()
    module.register_forward_hook(print).remove()
    nn.modules.module.register_module_forward_hook(print).remove()
    for call in (getattr(F, name), module):
        with pytest.warns(UserWarning, match=f"{name} chose dim={dim}") as caught:
            y = call(Tensor(x))
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(y.numpy(), to_numpy(getattr(F, name)(x, dim)))
    with warnings.catch_warnings(action="ignore"):
        assert getattr(F, name)(np.ones((2,) * axes, int), dtype="float32").dtype == np.float32
