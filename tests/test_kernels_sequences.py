"""The kernels of recurrences and of attention against their references, over random shapes and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import BACKENDS, assert_same, examples, on, run

from xpnn.backend import find_backend, find_kernels, reference_only, to_numpy
from xpnn.functional import attention, recurrence

RECURRENCES = {"lstm": recurrence._lstm, "gru": recurrence._gru, "rnn": recurrence._rnn}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of a batch of sequences, how its arrays lie in memory, and what has a gradient from above."""
    return {
        **{name: draw(st.integers(1, 6)) for name in ("steps", "batch", "features", "units")},
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "lies": draw(st.sampled_from(["straight", "batch first", "backwards", "read only"])),
        "biases": draw(st.booleans()),
        "above": draw(st.sampled_from([(True, True), (True, False), (False, True)])),
        "seed": draw(st.integers(0, 5)),
    }


@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] != "torch"])
@pytest.mark.parametrize("primitive", RECURRENCES)
def test_are_registered(name: str, primitive: str) -> None:
    assert find_kernels(find_backend(name), RECURRENCES[primitive].name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("primitive", RECURRENCES)
@examples(40)
@given(sequences())
def test_recurrence_on_numpy(primitive: str, reverse: bool, batch: Any) -> None:
    check_recurrence("numpy", primitive, reverse, batch)


@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] == "jax"])
@pytest.mark.parametrize("primitive", RECURRENCES)
@examples(3)
@given(sequences(), st.booleans())
def test_recurrence(primitive: str, name: str, batch: Any, reverse: bool) -> None:
    check_recurrence(name, primitive, reverse, batch)


def check_recurrence(name: str, primitive: str, reverse: bool, batch: Any) -> None:
    rng = np.random.default_rng(batch["seed"])
    units, features, rows = batch["units"], batch["features"], GATES[primitive] * batch["units"]
    states = [rng.standard_normal((batch["batch"], units)) for _ in range(2 if primitive == "lstm" else 1)]
    weights = [rng.standard_normal((rows, size)) for size in (features, units)]
    biases = [rng.standard_normal(rows) if batch["biases"] else None for _ in range(2)]
    arrays = [laid(rng, batch), *states, *weights, *biases]
    options: dict[str, Any] = {"reverse": reverse}
    if primitive == "lstm":
        arrays.append(None)
    if primitive == "rnn":
        options["nonlinearity"] = "tanh" if batch["seed"] % 2 else "relu"
    arrays = [a if a is None else a.astype(batch["dtype"], copy=False) for a in arrays]
    compare(RECURRENCES[primitive], name, arrays, options, batch["above"], rng)


def laid(rng: np.random.Generator, batch: Any) -> np.ndarray:
    """An input (T, N, features), in one of several layouts."""
    shape = (batch["steps"], batch["batch"], batch["features"])
    x = rng.standard_normal(shape).astype(batch["dtype"])
    if batch["lies"] == "batch first":
        return np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    if batch["lies"] == "backwards":
        return x[::-1, :, ::-1]
    x.flags.writeable = batch["lies"] != "read only"
    return x


@examples(120)
@given(
    sequences(),
    st.integers(1, 6),
    st.sampled_from(["none", "causal", "row", "shared", "batch", "full"]),
    st.booleans(),
    st.integers(1, 2000),
)
def test_attention_on_numpy(
    monkeypatch: pytest.MonkeyPatch, batch: Any, keys: int, mask: str, drops: bool, chunk: int
) -> None:
    """With pieces of the batch of any size, masks of any shape, rows of them minus infinity throughout."""
    from xpnn.kernels.numpy import attention as kernels

    monkeypatch.setattr(kernels, "_CHUNK_BYTES", chunk)
    rng = np.random.default_rng(batch["seed"])
    heads, queries = batch["features"], batch["steps"]
    leading = (batch["batch"], heads)
    sizes = ((queries, batch["units"]), (keys, batch["units"]), (keys, 3))
    q, k, v = (rng.standard_normal((*leading, *size)).astype(batch["dtype"]) for size in sizes)
    if batch["lies"] == "batch first":  # as heads that were split lie
        q, k, v = (np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (q, k, v))
    shapes = {
        "row": (keys,),
        "shared": (queries, keys),
        "batch": (batch["batch"], 1, 1, keys),
        "full": (*leading, queries, keys),
    }
    added = None
    if mask in shapes:
        added = rng.standard_normal(shapes[mask]).astype(batch["dtype"])
        added[rng.uniform(size=added.shape) < 0.4] = -np.inf
    keep = rng.uniform(size=(*leading, queries, keys)) < 0.7 if drops else None
    options = {"causal": mask == "causal", "scale": 0.7, "dropout": 0.3 if drops else 0.0}
    compare(attention._attention, "numpy", [q, k, v, added, keep], options, batch["above"], rng)


def compare(
    primitive: Any, name: str, arrays: Any, options: Any, above: tuple[bool, bool], rng: np.random.Generator
) -> None:
    """Kernel and reference: same values and gradients, in the same element type; nothing is written to."""
    before = [None if a is None else a.copy() for a in arrays]
    raws = [None if a is None else on(name, a) for a in arrays]
    output, saved, backward = run(primitive, name, raws, options)
    expected, reference_saved = primitive.forward(*raws, **options)
    several = isinstance(output, tuple)
    results, wanted = (output, expected) if several else ((output,), (expected,))
    for y, e in zip(results, wanted, strict=True):
        assert_same(y, e)
    seeds = [on(name, rng.standard_normal(y.shape).astype(to_numpy(y).dtype)) for y in results]
    gy: Any = tuple(s if wants else None for s, wants in zip(seeds, above, strict=False))
    gy = gy if several else seeds[0]
    needs = tuple(a is not None and a.dtype.kind == "f" for a in arrays)
    with reference_only():
        gradients = primitive.backward_function(gy, reference_saved, needs, **options)
    for i, (g, e) in enumerate(zip(backward(gy, saved, needs, **options), gradients, strict=True)):
        if needs[i]:
            assert_same(g, e)
    for a, b in zip(arrays, before, strict=True):
        assert a is None or np.array_equal(a, b), "an input was written to"
