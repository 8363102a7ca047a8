"""The kernels of PyTorch against the references: values, first and second derivatives, over their options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.autograd import Tensor, grad
from xpnn.backend import find_backend, find_kernels, reference_only, to_numpy
from xpnn.functional import recurrence
from xpnn.testing import gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2, "float32": 2e-5, "float64": 1e-12}
DTYPES = list(TOLERANCE)
PRIMITIVES = ("rnn", "gru", "lstm")
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
    """Whether the promise of all cells is kept, or the last ones are taken as they are."""

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
    params = [to_numpy(p.data) for p in xpnn.nn.LSTM(4, 6, **options).parameters()]
    x = np.random.default_rng(0).standard_normal((5, 5, 4))

    def function(x: Any, *params: Any) -> Any:
        return xpnn.functional.lstm(x, None, params, lengths=lengths, **options)

    same(function, [x, *params], "float32")


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
    return [y.data for y in (*outputs, *gradients)]
