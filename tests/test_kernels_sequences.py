"""The kernels of recurrences and of attention against their references, over random shapes and layouts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import BACKENDS, assert_same, examples, on, run

from xpnn.backend import (
    find_backend,
    find_kernels,
    get_num_threads,
    reference_only,
    set_num_threads,
    to_numpy,
)
from xpnn.functional.attention import scaled_dot_product as attention
from xpnn.functional.recurrent import recurrence
from xpnn.kernels.numpy import attention as attention_kernels
from xpnn.kernels.numpy import parallel
from xpnn.kernels.numpy import recurrent as recurrence_kernels
from xpnn.testing import gradcheck, gradgradcheck

RECURRENCES = {"lstm": recurrence._lstm, "gru": recurrence._gru, "rnn": recurrence._rnn}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads, even for the smallest arrays."""
    before, worthwhile = get_num_threads(), parallel.WORTHWHILE
    set_num_threads(count)
    parallel.WORTHWHILE = 0
    try:
        yield
    finally:
        parallel.WORTHWHILE = worthwhile
        set_num_threads(before)


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
        "threads": draw(st.integers(1, 4)),
    }


@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] != "torch"])
@pytest.mark.parametrize("primitive", RECURRENCES)
def test_are_registered(name: str, primitive: str) -> None:
    assert find_kernels(find_backend(name), RECURRENCES[primitive].name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("primitive", RECURRENCES)
@examples(60)
@given(sequences(), st.integers(1, 20))
def test_recurrence_on_numpy(primitive: str, reverse: bool, batch: Any, rows: int) -> None:
    """With blocks of any number of steps, and parts of the batch on one thread or several."""
    with threads(batch["threads"]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence_kernels, "_ROWS", rows)
        patch.setattr(recurrence_kernels, "_ELEMENTS", rows)
        patch.setattr(recurrence_kernels, "_WIDE_SEQUENCES", 1)
        patch.setattr(recurrence_kernels, "_OVERLAPPED", 0)
        patch.setattr(recurrence_kernels, "_WIDE", 0 if batch["seed"] < 3 else math.inf)
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


MASKS = ["none", "causal", "row", "shared", "batch", "full", "causal and shared"]


@examples(200)
@given(
    sequences(),
    st.integers(1, 6),
    st.sampled_from(MASKS),
    st.booleans(),
    st.integers(1, 2000),
    st.integers(1, 3),
    st.sampled_from([1.0, 40.0]),
)
def test_attention_on_numpy(
    monkeypatch: pytest.MonkeyPatch,
    batch: Any,
    keys: int,
    mask: str,
    drops: bool,
    tile: int,
    leading: int,
    size: float,
) -> None:
    """With tiles of any size, weights kept or not, masks of any shape, scores small and large."""
    rng = np.random.default_rng(batch["seed"])
    queries, before = batch["steps"], (batch["batch"], batch["features"])[3 - leading :]
    sizes = ((queries, batch["units"]), (keys, batch["units"]), (keys, 3))
    q, k, v = (rng.standard_normal((*before, *shape)).astype(batch["dtype"]) for shape in sizes)
    if batch["lies"] == "batch first" and leading == 3:  # as heads that were split lie
        q, k, v = (np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (q, k, v))
    if batch["lies"] == "backwards":
        q, k, v = (x[..., ::-1, ::-1] for x in (q, k, v))
    added, keep = masks(rng, batch["dtype"], (*before, queries, keys), mask, drops)
    options = {"causal": mask.startswith("causal"), "scale": 0.7 * size, "dropout": 0.3 if drops else 0.0}
    check_attention(monkeypatch, attention._attention, [q, k, v, added, keep], options, batch, tile, rng)


@examples(200)
@given(
    sequences(),
    st.sampled_from(MASKS),
    st.booleans(),
    st.integers(1, 2000),
    st.booleans(),
    st.sampled_from([1.0, 40.0]),
)
def test_self_attention_on_numpy(
    monkeypatch: pytest.MonkeyPatch,
    batch: Any,
    mask: str,
    drops: bool,
    tile: int,
    batch_first: bool,
    size: float,
) -> None:
    rng = np.random.default_rng(batch["seed"])
    heads, steps, count = batch["units"], batch["steps"], batch["batch"]
    x = laid(rng, {**batch, "features": 3 * heads * batch["features"]})
    shape = (x.shape[0], heads, x.shape[1], x.shape[1]) if batch_first else (count, heads, steps, steps)
    added, keep = masks(rng, batch["dtype"], shape, mask, drops)
    options = {"causal": mask.startswith("causal"), "scale": 0.7 * size, "dropout": 0.3 if drops else 0.0}
    options |= {"heads": heads, "batch_first": batch_first}
    check_attention(monkeypatch, attention._self_attention, [x, added, keep], options, batch, tile, rng)


def masks(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], mask: str, drops: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What is added to scores of a shape, with rows of minus infinity, and which weights are kept."""
    ones = (1,) * (len(shape) - 3)
    shapes = {
        "row": shape[-1:],
        "shared": shape[-2:],
        "causal and shared": shape[-2:],
        "batch": (*shape[: len(shape) - 2 - len(ones)], *ones, 1, shape[-1]),
        "full": shape,
    }
    added = None
    if mask in shapes:
        added = rng.standard_normal(shapes[mask]).astype(dtype) * int(rng.integers(0, 2))
        added[rng.uniform(size=added.shape) < 0.4] = -np.inf
    return added, rng.uniform(size=shape) < 0.7 if drops else None


def check_attention(
    monkeypatch: pytest.MonkeyPatch,
    primitive: Any,
    arrays: list,
    options: dict[str, Any],
    batch: Any,
    tile: int,
    rng: np.random.Generator,
) -> None:
    monkeypatch.setattr(attention_kernels, "_TILE_BYTES", tile)
    monkeypatch.setattr(attention_kernels, "_TILE_QUERIES", 2)
    monkeypatch.setattr(attention_kernels, "_CAUSAL_QUERIES", 2)
    monkeypatch.setattr(attention_kernels, "_MANY_QUERIES", 3)
    with threads(batch["threads"]):
        compare(primitive, "numpy", arrays, options, batch["above"], rng)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_attention_takes_empty_batches(steps: int) -> None:
    x = np.ones((0, 2, steps, 3), dtype="float32")
    options = {"causal": True, "scale": 1.0, "dropout": 0.0}
    rng = np.random.default_rng(0)
    compare(attention._attention, "numpy", [x, x, x, None, None], options, (True, True), rng)
    x, options = np.ones((0, steps, 12), dtype="float32"), {**options, "heads": 2, "batch_first": True}
    compare(attention._self_attention, "numpy", [x, None, None], options, (True, True), rng)


@pytest.mark.parametrize("batch_first", [False, True])
def test_self_attention_to_second_order(batch_first: bool) -> None:
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((2, 2, 12)), rng.standard_normal((2, 2))
    keep = rng.uniform(size=(2, 2, 2, 2)) < 0.7
    options = {"heads": 2, "batch_first": batch_first, "causal": False, "scale": 0.7, "dropout": 0.3}

    def function(x: Any, mask: Any) -> Any:
        return attention._self_attention(x, mask, keep, **options)

    assert gradcheck(function, (x, mask))
    assert gradgradcheck(function, (x, mask))


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
