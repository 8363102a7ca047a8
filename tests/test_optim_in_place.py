"""Optimizers on NumPy work in place: nobody who holds an array sees it change, no memory grows."""

from __future__ import annotations

import copy
import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_optim_groups import (
    LARGE,
    addresses,
    give_gradients,
    make,
    parameters,
    same,
    some_optimizers,
    train,
    values,
)

import xpnn
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.backend import reference_only
from xpnn.backend.update_kernels import GroupStep
from xpnn.kernels.numpy.memory import release_scratch
from xpnn.kernels.numpy.optim import axpy
from xpnn.kernels.numpy.optim.bundles import PIECE_BYTES, Bundles
from xpnn.kernels.numpy.optim.ownership import sole_owner

# --- in place, and nobody sees it


@some_optimizers
def test_is_in_place_when_nobody_looks(name: str, options: dict[str, Any]) -> None:
    params = parameters()
    optimizer = make(name, params, **options)
    train(optimizer, params, 1)
    before = addresses(params, optimizer)
    train(optimizer, params, range(1, 4))
    assert addresses(params, optimizer) == before
    train(optimizer, params, range(4, 6), chosen=lambda i: i % 2 == 0)
    assert addresses(params, optimizer) == before


def holders() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Ways to keep the array of a Tensor: each returns something whose elements can be looked at."""
    yield "array", lambda p: p.array
    yield "view", lambda p: p.array[...]
    yield "view of a view", lambda p: p.array.reshape(-1)[1:][::2]
    yield "transpose", lambda p: p.array.T
    yield "detached", lambda p: p.detach().array
    yield "another tensor", lambda p: Tensor(p.array)
    yield "memoryview", lambda p: memoryview(p.array)
    yield "base", lambda p: p.array if p.array.base is None else p.array.base
    yield "weak reference", lambda p: weakref.ref(p.array)
    yield "generator", lambda p: (array for array in [p.array])


@some_optimizers
@pytest.mark.parametrize(("kind", "hold"), [pytest.param(*h, id=h[0]) for h in holders()])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_who_holds_a_parameter_sees_no_change(
    name: str, options: dict[str, Any], kind: str, hold: Callable[[Any], Any], steps_before: int
) -> None:
    params, others = parameters(), parameters()
    optimizer, other = make(name, params, **options), make(name, others, **options)
    train(optimizer, params, steps_before)
    kept = {i: hold(params[i]) for i in (0, 3, 5, 6)}
    if kind == "weak reference":  # what is kept elsewhere for an array's elements goes by its identity
        before = [params[i].array.copy() for i in kept]
        ids = [id(params[i].array) for i in kept]
        train(optimizer, params, range(steps_before, steps_before + 1))
        for i, identity, copied, ref in zip(kept, ids, before, kept.values()):
            array = ref()
            assert array is None or (id(array) == identity and np.array_equal(array, copied))
            assert array is not params[i].array
        del array
        kept = {}
        steps_before += 1
    elif kind == "generator":
        before = [params[i].array.copy() for i in kept]
        next_arrays = kept
        train(optimizer, params, range(steps_before, steps_before + 3))
        for generator, copied in zip(next_arrays.values(), before):
            assert np.array_equal(next(generator), copied)
        steps_before += 3
    else:
        before = [np.array(raw(x)) for x in kept.values()]
        train(optimizer, params, range(steps_before, steps_before + 3))
        for x, copied in zip(kept.values(), before):
            np.testing.assert_array_equal(np.array(raw(x)), copied)
        steps_before += 3
    train(other, others, steps_before)
    same(params, others)


def raw(held: Any) -> Any:
    return held.array if isinstance(held, Tensor) else held


@some_optimizers
def test_who_holds_the_state_sees_no_change(name: str, options: dict[str, Any]) -> None:
    params, others = parameters(), parameters()
    optimizer, other = make(name, params, **options), make(name, others, **options)
    train(optimizer, params, 2)
    saved = optimizer.state_dict()
    views = [array[...] for slots in optimizer.state.values() for array in slots.values()]
    copies = copy.deepcopy(saved["state"]), [view.copy() for view in views]
    train(optimizer, params, range(2, 5))
    for key, slots in saved["state"].items():
        for slot, array in slots.items():
            np.testing.assert_array_equal(array, copies[0][key][slot])
    for view, copied in zip(views, copies[1]):
        np.testing.assert_array_equal(view, copied)
    train(other, others, 5)
    same(params, others)


@some_optimizers
def test_gradients_that_are_the_parameters_themselves(name: str, options: dict[str, Any]) -> None:
    params, others = parameters(), parameters()
    optimizer, other = make(name, params, **options), make(name, others, **options)
    for _ in range(3):
        for i, (param, reference) in enumerate(zip(params, others)):
            source, theirs = params[i - i % 2], others[i - i % 2]
            alike = source.shape == param.shape
            param.grad = Tensor(source.array if alike else param.array)
            reference.grad = Tensor((theirs if alike else reference).array.copy())
        optimizer.step()
        with reference_only():
            other.step()
    same(params, others, 1e-5)


def test_a_kept_graph_sees_the_parameters_of_its_time() -> None:
    xpnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    x = Tensor(values(0, (3, 4)), requires_grad=True)
    loss = (model(x) ** 2).sum()
    loss.backward(retain_graph=True)
    first = x.grad.array.copy()
    for _ in range(3):
        optimizer.step()
    x.grad = None
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, first)


def test_a_few_held_parameters_do_not_stop_the_others() -> None:
    params = parameters([(100, 100)] * 30)
    optimizer = optim.Adam(params)
    train(optimizer, params, 1)
    before = addresses(params, optimizer)
    kept = params[0].array
    train(optimizer, params, range(1, 3))
    moved = sum(a != b for a, b in zip(before, addresses(params, optimizer)))
    assert 0 < moved <= PIECE_BYTES // (4 * 100 * 100)
    assert kept.base.nbytes <= PIECE_BYTES


# --- memory


@some_optimizers
def test_nothing_grows_and_no_gradient_is_kept(name: str, options: dict[str, Any]) -> None:
    params = parameters([(64, 64)] * 10 + [LARGE])
    optimizer = make(name, params, **options)
    train(optimizer, params, 3)
    gradients: list[Any] = []
    tracemalloc.start()
    try:
        for step in range(30):
            give_gradients(params, step)
            gradients = [weakref.ref(param.grad.array) for param in params]
            optimizer.step()
            optimizer.zero_grad()
            if step == 19:  # Python's lists of free objects have filled up
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert not [ref for ref in gradients if ref() is not None]
    assert grown < 16_000  # a gradient of 64 x 64 that is kept: 16,384


def test_state_is_held_once() -> None:
    params = parameters([(100, 100)] * 20 + [(500, 1000)])
    elements = sum(param.size for param in params)
    give_gradients(params, 0)
    tracemalloc.start()
    try:
        optimizer = optim.Adam(params)
        optimizer.step()
        release_scratch()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    memories = {id(a.base): a.base for s in optimizer.state.values() for a in s.values() if a.ndim}
    assert sum(memory.nbytes for memory in memories.values()) == 2 * 4 * elements
    # Two slots and the parameters, which have moved; what the tracer did not see made is not subtracted.
    assert held < 3.2 * 4 * elements


@some_optimizers
def test_usual_steps_settle_nothing_anew(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that is miscounted costs time, and changes no result."""
    settled: list[Bundles] = []
    settle = Bundles._settle

    def counting(bundles: Bundles, step: GroupStep) -> None:
        settled.append(bundles)
        settle(bundles, step)

    monkeypatch.setattr(Bundles, "_settle", counting)
    params = parameters()
    optimizer = make(name, params, **options)
    train(optimizer, params, 3)
    assert len(settled) == 1
    held = params[0].array
    before = held.copy()
    train(optimizer, params, 2)
    assert len(settled) == 2
    assert np.array_equal(held, before)


# --- who holds an array


def test_sole_owner() -> None:
    arrays = [np.zeros(3), np.zeros(3)]
    assert sole_owner(arrays, holders=0)
    held = arrays[1]
    assert not sole_owner(arrays, holders=0)
    assert sole_owner(arrays, holders=1)
    del held
    watch = weakref.ref(arrays[0])
    assert not sole_owner(arrays, holders=0)
    assert watch() is arrays[0]


def test_sole_owner_without_counted_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.kernels.numpy.optim.ownership._COUNTED", False)
    assert not sole_owner([np.zeros(3)], holders=1)
    params, others = parameters(), parameters()
    train(optim.Adam(params), params, 2)
    monkeypatch.undo()
    train(optim.Adam(others), others, 2)
    same(params, others)


# --- y += a x


@pytest.mark.parametrize("blas", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000, 20_001])
def test_add_scaled(blas: bool, dtype: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not blas:
        monkeypatch.setattr(axpy, "_axpy", lambda kind: None)
    for factor in (-0.3, 0.0, 1.0, 1e-3):
        x, y = values(1, (size,), dtype), values(2, (size + 2,), dtype)
        expected = y[1:-1] + x * np.asarray(factor, dtype)
        x.flags.writeable = False
        ends = y[[0, -1]].copy()
        axpy.add_scaled(y[1:-1], factor, x)
        np.testing.assert_allclose(y[1:-1], expected, rtol=1e-6 if dtype == "float32" else 1e-15, atol=1e-7)
        np.testing.assert_array_equal(y[[0, -1]], ends)


def test_add_scaled_does_not_hide_nan() -> None:
    y = np.zeros(3, np.float32)
    axpy.add_scaled(y, 0.0, np.asarray([1, np.nan, 2], np.float32))
    assert np.isnan(y).tolist() == [False, True, False]


@some_optimizers
def test_without_the_blas(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    params, others = parameters(), parameters()
    train(make(name, params, **options), params, 3)
    monkeypatch.setattr(axpy, "_axpy", lambda kind: None)
    train(make(name, others, **options), others, 3)
    same(params, others, 1e-5)
