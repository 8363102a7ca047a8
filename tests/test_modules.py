"""Every public module: against PyTorch's of the same name, copied, moved, and on every backend.

What is said of a module is a line in tests/cases (see `Layer`).
"""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases.layer import Layer, all_layers
from targets import CHOSEN, Target

import xpnn
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import device_of
from xpnn.nn.utils.stateless import functional_call
from xpnn.testing import gradcheck

LAYERS = list(all_layers())
MADE = list({repr((row.name, row.arguments)): row for row in reversed(LAYERS)}.values())[::-1]
FIRST = list({row.name: row for row in reversed(LAYERS)}.values())

# What holds other modules, or none: tests/test_nn_module.py, test_torch_idioms.py and test_distributed.py.
CONTAINERS = {
    "DataParallel",
    "DistributedDataParallel",
    "Module",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Sequential",
}

# What others are made of, and which compute nothing.
BASES = {"RNNBase", "RNNCellBase"}

# A mask that depends on no number, and so has no gradient: tests/test_nn_attention.py.
WITHOUT_GRADIENT = {"ALiBi"}

# JAX compiles every operation for every shape, and strict checks every call: of each module the first line
# must do for them; for strict, unless `--slow` is given.
SAMPLED = ("jax", "strict", "read_only")

# What PyTorch prints and xpnn does not, and why.
PRINTED_BY_TORCH = {
    "NonDynamicallyQuantizable(?=Linear)": "a class that only its quantisation needs",
}

each_line = pytest.mark.parametrize("row", LAYERS, ids=str)
each_module = pytest.mark.parametrize("row", MADE, ids=str)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        everything = metafunc.config.getoption("--slow")
        runs = [
            pytest.param(row, target, id=f"{target}-{row}")
            for target in metafunc.config.stash[CHOSEN]
            for row in (
                FIRST if target.name in SAMPLED and not (everything and target.name != "jax") else LAYERS
            )
        ]
        metafunc.parametrize(("row", "backend"), runs, indirect=["backend"])


def test_every_module_has_a_line() -> None:
    classes = {name: value for name, value in vars(nn).items() if inspect.isclass(value)}
    public = {name for name, value in classes.items() if issubclass(value, nn.Module)}
    missing = public - CONTAINERS - BASES - WITHOUT_GRADIENT - {row.name for row in LAYERS}
    assert not missing, f"write a line in tests/cases for {', '.join(sorted(missing))}"


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@each_line
def test_is_that_of_torch(row: Layer) -> None:
    """State, results, buffers, and the gradients of inputs and parameters, in training and in evaluation.

    Of a module that PyTorch has not, the gradients, by finite differences; its function's Case has the rest.
    """
    if not known_to_torch(row):
        check_gradients(row.make(nn, xpnn.asarray).double().eval(), row.arrays())
        return
    mine, theirs = pair(row)
    modes = (False,) if "training" in row.differs else (True, True, False)  # twice: buffers have a past
    for seed, mode in enumerate(modes):
        mine.train(mode), theirs.train(mode)
        results = run(row, mine, Tensor, seed)
        expected = run(row, theirs, torch_tensor, seed)
        for name, arrays in results.items():
            if "gradient" in row.differs and name.startswith("gradient"):
                continue
            assert len(arrays) == len(expected[name]), name
            for one, other in zip(arrays, expected[name], strict=True):
                assert one.dtype == other.dtype, name
                np.testing.assert_allclose(one, other, rtol=row.rtol, atol=1e-10, err_msg=name)
    if "gradient" in row.differs:
        gradcheck(mine, row.arrays())


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@each_module
def test_prints_as_in_torch(row: Layer) -> None:
    """Of a module that PyTorch has not, its name and each of its arguments."""
    if not known_to_torch(row):
        text = repr(row.make(nn, xpnn.asarray))
        assert text.startswith(f"{row.name}(")
        assert all(str(value) in text for value in row.arguments.values()), text
        return
    mine, theirs = pair(row)
    assert printed(mine) == row.differs.get("repr", printed(theirs))


@each_module
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies(row: Layer, duplicate: Callable[[Any], Any]) -> None:
    """Copies compute and print the same, stay in evaluation, and share nothing."""
    module = row.make(nn, xpnn.asarray).double().eval()
    other = duplicate(module)
    assert repr(other) == repr(module)
    assert not any(part.training for part in other.modules())
    for name, arrays in run(row, module, Tensor).items():
        for one, again in zip(arrays, run(row, other, Tensor)[name], strict=True):
            np.testing.assert_array_equal(one, again, err_msg=name)
    shared = {id(p) for p in module.parameters()} & {id(p) for p in other.parameters()}
    assert not shared


@each_module
def test_parameters_are_taken_by_name(row: Layer) -> None:
    """A parameter that a subclass adds, in whatever order the others come, changes nothing."""
    module = row.make(nn, xpnn.asarray).double().eval()
    other = copy.deepcopy(module)
    for part in list(other.modules()):
        if not isinstance(part, nn.ModuleList | nn.Sequential):
            owned = dict(part.named_parameters(recurse=False))
            for name in owned:
                delattr(part, name)
            part.added = nn.Parameter(np.ones(7))
            for name in reversed(owned):
                setattr(part, name, owned[name])
    for name, arrays in run(row, module, Tensor).items():
        for one, again in zip(arrays, run(row, other, Tensor)[name]):
            if name in ("output", "gradient of an input"):
                np.testing.assert_array_equal(one, again, err_msg=name)


def test_on_every_backend(row: Layer, backend: Target) -> None:
    """float32 stays float32 on its device; from one seed come NumPy's numbers; `to` brings them back."""

    def made_and_run(as_array: Callable[[Any], Any]) -> tuple[Any, dict[str, list[Any]]]:
        xpnn.manual_seed(0)
        module = row.make(nn, lambda x: as_array(narrow(x)))
        return module, run(row, module, lambda x: Tensor(as_array(narrow(x))), keep=True)

    module, results = made_and_run(backend.array)
    with xpnn.use_backend("numpy"):
        reference, expected = made_and_run(np.asarray)
    device = str(device_of(backend.array(np.zeros(()))))
    for name, tensors in results.items():
        for tensor, other in zip(tensors, expected[name], strict=True):
            assert str(device_of(tensor)) == device
            assert "float64" not in str(tensor.dtype), name
            np.testing.assert_allclose(
                backend.numpy(tensor.detach()), other.detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=name
            )
    module.to("numpy")
    for (name, one), other in zip(module.named_parameters(), reference.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy(), err_msg=name)


def known_to_torch(row: Layer) -> bool:
    return hasattr(pytest.importorskip("torch").nn, row.name)


def check_gradients(module: Any, inputs: tuple[Any, ...]) -> None:
    """Those of the inputs and the parameters, against finite differences."""
    parameters = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}

    def call(*arrays: Any) -> Any:
        values = dict(zip(parameters, arrays[len(inputs) :], strict=True))
        return functional_call(module, values, arrays[: len(inputs)])

    gradcheck(call, (*inputs, *parameters.values()))


def pair(row: Layer) -> tuple[Any, Any]:
    """The module of xpnn and that of PyTorch, in float64, with the same random weights."""
    torch = pytest.importorskip("torch")
    theirs = row.make(torch.nn, torch.tensor).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases too, which often begin as zeros
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    mine = row.make(nn, xpnn.asarray).double()
    state = theirs.state_dict()
    assert {name: tuple(value.shape) for name, value in mine.state_dict().items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    assert list(mine.state_dict()) == list(state)
    mine.load_state_dict({name: value.numpy() for name, value in state.items()})
    return mine, theirs


def printed(module: Any) -> str:
    """The repr, without what only some versions of PyTorch print."""
    text = repr(module)
    for pattern in PRINTED_BY_TORCH:
        text = re.sub(pattern, "", text)
    return text


def run(
    row: Layer, module: Any, as_tensor: Callable[[Any], Any], seed: int = 0, keep: bool = False
) -> dict[str, list[Any]]:
    """What a call gives: outputs, gradients, buffers; as NumPy's arrays, or kept as Tensors."""
    module.zero_grad()
    inputs = nested(row.arrays(seed), as_tensor)
    floats = [x for x in flat(inputs) if "float" in str(x.dtype)]
    for x in floats:
        x.requires_grad = True
    options = {
        name: as_tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in row.options.items()
    }
    # A copy, as PyTorch refuses to write into an input that requires a gradient.
    outputs = flat(module(*nested(inputs, lambda x: x * 1), **options))
    smooth = [y for y in outputs if y.requires_grad]
    rng = np.random.default_rng(1)
    sum(((y * as_tensor(rng.standard_normal(tuple(y.shape)))).sum() for y in smooth), start=0.0).backward()
    found = {
        "output": outputs,
        "gradient of an input": [x.grad for x in floats],
        "gradient of a parameter": [p.grad for p in module.parameters()],
        "buffer": list(module.buffers()),
    }
    if keep:
        return {name: [x for x in tensors if x is not None] for name, tensors in found.items()}
    return {
        name: [x.detach().numpy().copy() for x in tensors if x is not None] for name, tensors in found.items()
    }


def nested(values: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of each array in nested tuples, once of an array that is there several times."""
    results: dict[int, Any] = {}

    def of(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(of(part) for part in value)
        if id(value) not in results:
            results[id(value)] = function(value)
        return results[id(value)]

    return of(values)


def flat(values: Any) -> list[Any]:
    """The arrays of nested tuples, without None."""
    if isinstance(values, tuple):
        return [array for value in values for array in flat(value)]
    return [] if values is None else [values]


def narrow(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def torch_tensor(x: np.ndarray) -> Any:
    import torch

    return torch.tensor(x)
