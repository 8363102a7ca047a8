"""The kernels of PyTorch against the references: values, first and second derivatives, over their options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.autograd import Tensor, grad, ops
from xpnn.backend import find_backend, find_kernels, reference_only, to_numpy
from xpnn.functional.activation.gelu import _gelu, _gelu_tanh
from xpnn.functional.attention import scaled_dot_product as attention
from xpnn.functional.linear import _linear
from xpnn.functional.norm import layer
from xpnn.functional.recurrent import recurrence
from xpnn.testing import gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2, "float32": 2e-5, "float64": 1e-12}
DTYPES = list(TOLERANCE)
PRIMITIVES = (
    *("rnn", "gru", "lstm", "attention", "self_attention", "gelu", "gelu_tanh", "softmax", "log_softmax"),
    *("layer_norm", "linear"),
)
RECURRENCES = {"lstm": (recurrence._lstm, 4), "gru": (recurrence._gru, 3), "rnn": (recurrence._rnn, 1)}


@pytest.fixture(autouse=True)
def on_torch() -> Any:
    with xpnn.use_backend("torch"):
        yield


def test_are_registered() -> None:
    assert all(find_kernels(find_backend("torch"), name) for name in PRIMITIVES)


# -- recurrences


def recurrent(kind: str, sizes: tuple[int, int, int, int] = (5, 3, 4, 6), biases: bool = True) -> list[Any]:
    """Arguments of the primitive, for so many steps, sequences, features and units."""
    steps, batch, features, units = sizes
    rng, rows = np.random.default_rng(0), RECURRENCES[kind][1] * units
    shapes: list[Any] = [(steps, batch, features), *[(batch, units)] * (2 if kind == "lstm" else 1)]
    shapes += [(rows, features), (rows, units), *[(rows,) if biases else None] * 2]
    return [None if shape is None else rng.standard_normal(shape) for shape in shapes]


def recur(kind: str, reverse: bool, nonlinearity: str = "tanh") -> Callable:
    """The primitive as a function of its arrays, with all of its results."""
    primitive, options = RECURRENCES[kind][0], {"reverse": reverse}
    if kind == "lstm":
        return lambda *arrays: primitive(*arrays, None, **options)
    if kind == "rnn":
        options["nonlinearity"] = nonlinearity
    return lambda *arrays: (primitive(*arrays, **options),)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", RECURRENCES)
def test_recurrences(kind: str, dtype: str) -> None:
    for reverse, biases, nonlinearity in product((False, True), (False, True), ("tanh", "relu")):
        if kind == "rnn" or nonlinearity == "tanh":
            same(recur(kind, reverse, nonlinearity), recurrent(kind, biases=biases), dtype)


@pytest.mark.parametrize("sizes", [(1, 3, 4, 6), (5, 0, 4, 6), (5, 1, 1, 1)])
@pytest.mark.parametrize("kind", RECURRENCES)
def test_recurrences_of_extreme_sizes(kind: str, sizes: tuple[int, int, int, int]) -> None:
    same(recur(kind, False), recurrent(kind, sizes), "float32")
    same(recur(kind, True), recurrent(kind, sizes), "float64")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wanted", ["states", "cells", "last", "all", "first and last"])
def test_cells_that_are_asked_for(wanted: str, reverse: bool) -> None:
    """The last ones, whose gradient PyTorch takes as it is, and others."""

    def function(*arrays: Any) -> Any:
        states, cells = recur("lstm", reverse)(*arrays)
        last = cells[0 if reverse else -1, ...]
        return {
            "states": (states,),
            "cells": (cells,),
            "last": (last,),
            "all": (states, last, cells),
            "first and last": (cells[0], states, cells[-1, 1:]),
        }[wanted]

    same(function, recurrent("lstm"), "float64")
    same(function, recurrent("lstm"), "float32")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", RECURRENCES)
def test_recurrences_to_second_order(kind: str, reverse: bool) -> None:
    arrays = tuple(map(torch.tensor, recurrent(kind, (2, 2, 2, 1))))
    assert gradcheck(recur(kind, reverse), arrays)
    assert gradgradcheck(recur(kind, reverse), arrays)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}])
@pytest.mark.parametrize("lengths", [None, [3, 5, 1, 4, 5]])
def test_layers(lengths: list[int] | None, options: dict[str, Any]) -> None:
    params = [to_numpy(p.array) for p in xpnn.nn.LSTM(4, 6, **options).parameters()]
    x = np.random.default_rng(0).standard_normal((5, 5, 4))

    def function(x: Any, *params: Any) -> Any:
        return xpnn.functional.lstm(x, None, params, lengths=lengths, **options)

    same(function, [x, *params], "float32")


# -- attention

# Shapes of masks for 2 sequences of 3 heads, 5 queries and 7 keys (of self-attention 5).
MASKS = {"none": None, "row": ("keys",), "shared": (5, "keys"), "batch": (2, 1, 1, "keys"), "column": (5, 1),
         "heads": (3, 5, "keys"), "full": (2, 3, 5, "keys")}  # fmt: skip


def masked(name: str, keys: int) -> np.ndarray | None:
    """A mask with some minus infinities, for the second query nothing else."""
    shape = MASKS[name]
    if shape is None:
        return None
    rng = np.random.default_rng(2)
    mask = rng.standard_normal([keys if size == "keys" else size for size in shape])
    mask[rng.uniform(size=mask.shape) < 0.3] = -np.inf
    if mask.ndim > 1 and mask.shape[-2] > 1:
        mask[..., 1, :] = -np.inf
    return mask


def placed(mask: np.ndarray, x: Any) -> torch.Tensor:
    """The mask in the element type of x, a Tensor or an array of PyTorch's."""
    return torch.tensor(mask).to((x.array if isinstance(x, Tensor) else x).dtype)


def attend(mask: np.ndarray | None, both: bool = False, **options: Any) -> Callable:
    """The primitive as a function of q, k and v; with its second result, the logarithm, too if `both`."""

    def function(q: Any, k: Any, v: Any, learned: Any = None) -> Any:
        added = learned if mask is None else placed(mask, q)
        return attention._attention(q, k, v, added, None, **options)[: 2 if both else 1]

    return function


def attend_to_itself(mask: np.ndarray | None, **options: Any) -> Callable:
    def function(x: Any, learned: Any = None) -> Any:
        added = learned if mask is None else placed(mask, x)
        return attention._self_attention(x, added, None, heads=3, **options)[:1]

    return function


def heads(values: int = 4, size: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = ((5, 4), (7, 4), (7, values))
    return [size * rng.standard_normal((2, 3, *shape)) for shape in sizes]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask: str, dtype: str, causal: bool) -> None:
    options = {"causal": causal, "scale": 0.7, "dropout": 0.0}
    same(attend(masked(mask, 7), **options), heads(), dtype)
    for batch_first in (False, True):
        function = attend_to_itself(masked(mask, 5), batch_first=batch_first, **options)
        x = np.random.default_rng(0).standard_normal((2, 5, 12 * 3) if batch_first else (5, 2, 12 * 3))
        same(function, [x], dtype)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_of_a_mask_and_of_the_logarithm(mask: str, causal: bool) -> None:
    options = {"causal": causal, "scale": 0.7, "dropout": 0.0}
    same(attend(masked(mask, 7), both=True, **options), heads(), "float64")
    if mask != "none":
        same(attend(None, **options), [*heads(), masked(mask, 7)], "float64")
        x = np.random.default_rng(0).standard_normal((2, 5, 36))
        same(attend_to_itself(None, batch_first=True, **options), [x, masked(mask, 5)], "float64")


def test_attention_that_the_routine_does_not_take() -> None:
    """Values of another size, fewer axes, broadcasting; scores that are large; no query, no key."""
    options = {"causal": True, "scale": 0.7, "dropout": 0.0}
    q, k, v = heads()
    for arrays in (heads(values=3), [q[0], k[0], v[0]], [q, k[:1], v[:1]], heads(size=30.0)):
        same(attend(None, **options), arrays, "float64")
    for arrays in ([q[:, :, :0], k, v], [q, k[:, :, :0], v[:, :, :0]], [a[:0] for a in (q, k, v)]):
        same(attend(None, **options), arrays, "float32")


def test_layout_of_heads() -> None:
    """Arrays that lie backwards or with gaps."""
    options = {"causal": False, "scale": 0.7, "dropout": 0.0}
    turned = lambda *arrays: attend(None, **options)(*[x.mT for x in arrays])
    same(turned, [np.swapaxes(a, 2, 3) for a in heads()], "float32")


@pytest.mark.parametrize("mask", ["none", "shared"])
def test_attention_to_second_order(mask: str) -> None:
    options = {"causal": mask == "none", "scale": 0.7, "dropout": 0.0}
    q, k, v = (torch.tensor(a[:1, :2, :3, :2]) for a in heads())
    rows = None if mask == "none" else masked("shared", 3)[:3]
    for both in (False, True):
        assert gradcheck(attend(rows, both, **options), (q, k, v))
        assert gradgradcheck(attend(rows, both, **options), (q, k, v))
    x = torch.tensor(np.random.default_rng(0).standard_normal((1, 3, 9)))
    function = attend_to_itself(rows, batch_first=True, **options)
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


# -- layers

SHAPES = [(3, 4, 5), (0, 4), (7,), (2, 0)]
ELEMENTWISE = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softmax first": lambda x: ops.softmax(x, axis=0),
    "softmax last": lambda x: ops.softmax(x, axis=x.ndim - 1),
    "log_softmax first": lambda x: ops.log_softmax(x, axis=0),
    "log_softmax last": lambda x: ops.log_softmax(x, axis=x.ndim - 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations(name: str, dtype: str) -> None:
    for shape in SHAPES:
        x = np.random.default_rng(0).standard_normal(shape)
        same(lambda x: (ELEMENTWISE[name](3 * x),), [x], dtype)
        same(lambda x: (ELEMENTWISE[name](x.T),), [x], dtype) if len(shape) == 2 else None


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_to_second_order(name: str) -> None:
    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 4)))
    assert gradcheck(ELEMENTWISE[name], (x,))
    assert gradgradcheck(ELEMENTWISE[name], (x,))


def normalise(features: int, affine: tuple[bool, bool], outputs: int = 3) -> tuple[Callable, list[Any]]:
    """Layer norm with its statistics, as a function of the arrays that there are."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4)) + 1
    arrays = [x, *(rng.standard_normal(x.shape[-features:]) if given else None for given in affine)]
    return lambda *given: layer._layer_norm(*given, features=features, eps=1e-3)[:outputs], arrays


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [(True, True), (True, False), (False, True), (False, False)])
def test_layer_norm(affine: tuple[bool, bool], dtype: str) -> None:
    for features, outputs in product((1, 2, 3), (1, 3 if dtype in ("float32", "float64") else 1)):
        same(*normalise(features, affine, outputs), dtype)


def test_layer_norm_to_second_order() -> None:
    function, arrays = normalise(1, (True, True))
    inputs = tuple(map(torch.tensor, arrays))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4), (2, 0, 4)])
def test_linear(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(size) for size in (shape, (5, 4), 5))
    for arrays in ([x, w, b], [x, w, None]):
        same(lambda *given: (_linear(*given),), arrays, dtype)


# -- optimizers

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True, "betas": (0.0, 0.9)}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_optimizers(name: str, options: dict[str, Any], dtype: str) -> None:
    """Parameters and state after steps in which one parameter or the other has no gradient."""
    kept = train(name, options, dtype)
    with reference_only():
        expected = train(name, options, dtype)
    for actual, wanted in zip(kept, expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert torch.allclose(actual, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def train(name: str, options: dict[str, Any], dtype: str) -> list[Any]:
    rng = np.random.default_rng(0)
    arrays = [torch.tensor(rng.standard_normal(s)).to(getattr(torch, dtype)) for s in ((3, 4), (4,), ())]
    params = [xpnn.tensor(array, requires_grad=True) for array in arrays]
    optimizer = getattr(xpnn.optim, name)(params, **options)
    before = [array.clone() for array in arrays]
    for step in range(5):
        for i, param in enumerate(params):
            grad = torch.tensor(rng.standard_normal(param.shape)).to(param.array.dtype)
            param.grad = None if step == i + 1 else Tensor(grad)
        optimizer.step()
        if step == 3:
            optimizer.load_state_dict(optimizer.state_dict())
    assert all(map(torch.equal, arrays, before)), "a parameter's array was written to"
    return [p.array for p in params] + [a for slots in optimizer.state.values() for a in slots.values()]


# -- helpers


def same(function: Callable, arrays: Sequence[Any], dtype: str) -> None:
    """Kernels and references: the same results and gradients, of the dtype."""
    results = evaluate(function, arrays, dtype)
    with reference_only():
        expected = evaluate(function, arrays, "float32" if "16" in dtype else dtype, dtype)
    for actual, wanted in zip(results, expected, strict=True):
        assert dtype in str(actual.dtype)
        actual, wanted = (to_numpy(array.to(torch.float64)) for array in (actual, wanted))
        assert actual.shape == wanted.shape
        scale = 1 + np.abs(wanted).max(initial=0.0)
        assert np.abs(actual - wanted).max(initial=0.0) <= TOLERANCE[dtype] * scale


def evaluate(function: Callable, arrays: Sequence[Any], dtype: str, rounded: str = "") -> list[Any]:
    """The results on Tensors, and the gradients of their sum with random weights."""

    def raw(array: Any) -> Any:
        array = torch.tensor(array).to(getattr(torch, rounded or dtype))
        return array.to(getattr(torch, dtype))

    rng = np.random.default_rng(1)
    leaves = [None if a is None else xpnn.tensor(raw(a), requires_grad=True) for a in arrays]
    outputs = function(*leaves)
    weights = [Tensor(raw(rng.standard_normal(y.shape))) for y in outputs]
    given = [leaf for leaf in leaves if leaf is not None]
    gradients = grad(outputs, given, weights)
    return [y.array for y in (*outputs, *gradients)]
