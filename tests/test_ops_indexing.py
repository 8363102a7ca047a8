"""Reading and writing at an index: NumPy's meaning on every library, and derivatives of all orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from targets import Target

from xpnn.autograd import Tensor, grad, ops
from xpnn.backend import ShapeError, XpnnError
from xpnn.testing import assert_close, gradcheck, gradgradcheck

X = np.random.default_rng(0).standard_normal((3, 4, 2))
MASK = X > 0.3

BASIC = {
    "integer": 1,
    "negative": (-1, 2),
    "all integers": (1, -2, 0),
    "slice": slice(1, None),
    "ellipsis": (..., 1),
    "new axis": (None, slice(0, 2), None, 1),
    "step": (slice(None, None, 2), slice(-2, None)),
    "backwards": slice(None, None, -1),
    "backwards behind an ellipsis": (0, ..., slice(2, None, -2)),
    "backwards on two axes": (slice(2, 0, -1), None, slice(None, None, -3)),
    "empty": (slice(2, 1), slice(0, 3, -1)),
    "whole": (),
}
GATHER = {
    "integer array": np.array([2, 0, -1, 2]),
    "matrix of integers": np.array([[0, 1], [2, 0]]),
    "list": [1, 1],
    "second axis": (slice(None), np.array([3, -4, 3])),
    "last axis": (..., np.array([1, 0, 1])),
    "single integer array": np.array(2),
    "integer arrays on all axes": (np.array([0, 2, 0]), np.array([1, -1, 1]), np.array([0, 1, 0])),
    "broadcast integer arrays": (np.array([[0], [2]]), np.array([1, 3]), np.array(1)),
}
# What the standard leaves open.
MIXED = {
    "two integer arrays": (np.array([0, 2, 0]), np.array([1, -1, 1])),
    "array and slice": (slice(1, None), np.array([0, 0, 3])),
    "array and integer": (np.array([0, 0, 2]), slice(None), 1),
    "arrays apart": (np.array([0, 0]), slice(None), np.array([1, 1])),
    "mask": MASK,
    "mask of rows": np.array([True, False, True]),
    "mask and slice": (np.array([True, False, True]), slice(1, 3)),
}
READS = {**BASIC, **GATHER, **MIXED}
WRITES = {
    **BASIC,
    "integer array": np.array([2, 0]),
    "integer arrays": (np.array([0, 2]), np.array([1, -1])),
    "array and slice": (slice(1, None), np.array([0, 3])),
    "mask": MASK,
    "mask of rows": np.array([True, False, True]),
}


def moved(index: Any, backend: Target) -> Any:
    """The index with the backend's arrays, every other one of them a Tensor."""
    if isinstance(index, tuple):
        return tuple(moved(part, backend) for part in index)
    return Tensor(backend.array(index)) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("name", READS)
def test_getitem(name: str, backend: Target) -> None:
    """Values as NumPy's; the gradient adds up at the index, the second one reads it again."""
    x = Tensor(backend.array(X), requires_grad=True)
    y = x[moved(READS[name], backend)]
    expected = X[READS[name]]
    assert y.shape == expected.shape
    assert_close(backend.numpy(y.detach()), expected)

    seed = np.random.default_rng(1).standard_normal(expected.shape)
    g = Tensor(backend.array(seed), requires_grad=True)
    (gx,) = grad(y, x, g, create_graph=True)
    at_index = np.zeros_like(X)
    np.add.at(at_index, READS[name], seed)
    assert_close(backend.numpy(gx.detach()), at_index)

    (gg,) = grad(gx, g, Tensor(backend.array(X)))
    assert_close(backend.numpy(gg), expected)


@pytest.mark.parametrize("name", WRITES)
def test_setitem(name: str, backend: Target) -> None:
    """A new array with the value at the index; gradients for the array and for the value."""
    index = WRITES[name]
    selected = X[index].shape
    values = np.random.default_rng(2).standard_normal(selected[-1:])
    x = Tensor(backend.array(X), requires_grad=True)
    v = Tensor(backend.array(values), requires_grad=True)
    y = ops.setitem(x, v, moved(index, backend))

    expected = X.copy()
    expected[index] = values
    assert_close(backend.numpy(y.detach()), expected)
    assert_close(backend.numpy(x.detach()), X)

    seed = np.random.default_rng(3).standard_normal(X.shape)
    gx, gv = grad(y, (x, v), Tensor(backend.array(seed)))
    elsewhere = seed.copy()
    elsewhere[index] = 0
    assert_close(backend.numpy(gx), elsewhere)
    rows = tuple(range(len(selected) - values.ndim))
    assert_close(backend.numpy(gv), seed[index].sum(axis=rows))


@pytest.mark.parametrize("ones", [1, 2])
@pytest.mark.parametrize(
    "index", [0, (0, 1), (1, None), (slice(None), 1), slice(None, 1), (..., -1)], ids=str
)
def test_a_value_may_begin_with_axes_of_one(index: Any, ones: int, backend: Target) -> None:
    """As in PyTorch: `losses[i] = loss` for a loss of shape (1,)."""
    matrix = X.reshape(X.shape[0], -1)
    place = matrix[index].shape
    values = np.random.default_rng(2).standard_normal((*(1,) * ones, *place))
    x = Tensor(backend.array(matrix), requires_grad=True)
    v = Tensor(backend.array(values), requires_grad=True)
    y = ops.setitem(x, v, index)
    expected = matrix.copy()
    expected[index] = values.reshape(place)
    assert_close(backend.numpy(y.detach()), expected)
    (gv,) = grad(y, v, Tensor(backend.array(2 * matrix)))
    assert_close(backend.numpy(gv), 2 * matrix[index].reshape(values.shape))
    with pytest.raises(ShapeError, match=r"at most \d axes for this place, got one of shape \(2, 1"):
        ops.setitem(x, np.ones((2, *values.shape)), index)


@pytest.mark.parametrize("value", [2.0, np.array(-1.5)], ids=["number", "array"])
def test_setitem_at_a_mask(value: Any, backend: Target) -> None:
    """One value at a mask needs no data-dependent shape, so that every library can."""
    expected = np.where(MASK, value, X)
    x = Tensor(backend.array(X), requires_grad=True)
    v = Tensor(backend.array(value), requires_grad=True) if isinstance(value, np.ndarray) else value
    x_again = x * 1.0
    x_again[Tensor(backend.array(MASK))] = v
    assert_close(backend.numpy(x_again.detach()), expected)
    x_again.sum().backward()
    assert_close(backend.numpy(x.grad), (~MASK).astype(float))
    if isinstance(v, Tensor):
        assert v.grad.item() == MASK.sum()


@pytest.mark.parametrize("name", ["new axis", "integer arrays", "mask"])
def test_orders(name: str) -> None:
    """First and second derivatives of reading and writing are those that differences give."""
    read = lambda x: x[WRITES[name]] ** 3
    gradcheck(read, X)
    gradgradcheck(read, X, fast_mode=True)
    write = lambda x, v: ops.setitem(x * x, v * v, WRITES[name]) ** 2
    gradcheck(write, (X, np.array([0.7])))
    gradgradcheck(write, (X, np.array([0.7])), fast_mode=True)


def test_numbers_keep_the_type(backend: Target) -> None:
    x = Tensor(backend.array(np.ones((2, 2), np.float32)))
    x[0, 0] = 3.5
    x[1] = np.float64(2.0)
    assert str(x.dtype).endswith("float32")
    assert x.tolist() == [[3.5, 1.0], [2.0, 2.0]]


def test_take_along_axis_broadcasts(backend: Target) -> None:
    """One row of indices serves all rows, and one row is read by many rows of indices."""
    matrix, positions = X[:, :, 0], np.array([[0, 3], [2, 2], [1, 0]])
    for x, i in [(matrix[:1], positions), (matrix, positions[:1])]:
        t = Tensor(backend.array(x), requires_grad=True)
        y = ops.take_along_axis(t, Tensor(backend.array(i)), axis=1)
        assert_close(backend.numpy(y.detach()), np.take_along_axis(x, i, axis=1))
        (g,) = grad(y.sum(), t)
        assert g.shape == x.shape
        assert g.sum().item() == 6.0


# Where NumPy counts the integers among the arrays, and moves their axes to the front.
PLACED = {
    "integer, slice, array": (0, slice(None), [0, 1]),
    "array, slice, integer": ([0, 2], slice(1, 3), 1),
    "integer, slice, mask": (1, slice(None), np.array([True, False])),
    "number of an array": (np.array(1), slice(None), np.array([0, 1, 1])),
    "true": (True, 0),
    "false": (False,),
}


@pytest.mark.parametrize("name", PLACED)
def test_integers_come_first_as_in_pytorch(name: str, backend: Target) -> None:
    torch = pytest.importorskip("torch")
    theirs = tuple(torch.tensor(p) if isinstance(p, np.ndarray) else p for p in PLACED[name])
    x, expected = Tensor(backend.array(X)), torch.tensor(X)
    assert_close(backend.numpy(x[moved(PLACED[name], backend)]), expected[theirs].numpy())
    x[moved(PLACED[name], backend)], expected[theirs] = 2.0, 2.0
    assert_close(backend.numpy(x), expected.numpy())


@pytest.mark.parametrize("index", [3, (0, -5), [0, 3], (0, 0, 0, 0), np.ones((2, 4), bool), 1.5, "a"])
def test_what_is_no_index(index: Any, backend: Target) -> None:
    with pytest.raises(XpnnError):
        Tensor(backend.array(X))[moved(index, backend)]


def test_a_place_named_twice_keeps_the_last(backend: Target) -> None:
    x = Tensor(backend.array(np.zeros(3)))
    v = Tensor(backend.array(np.array([1.0, 2.0, 3.0])), requires_grad=True)
    y = ops.setitem(x, v, [2, 0, 2])
    assert y.tolist() == [2.0, 0.0, 3.0]
    assert grad(y.sum(), v)[0].tolist() == [0.0, 1.0, 1.0]
