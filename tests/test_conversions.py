"""What enters a Tensor and what leaves it: arrays, lists, numbers. No gradient is lost in silence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.backend import DTypeError, GradientError, RankError, ShapeError, dtype_name, find_backend, move
from xpnn.data import DataLoader, TensorDataset


def recorded(backend: Target, dtype: str = "float32") -> tuple[xpnn.Tensor, xpnn.Tensor]:
    """A leaf, and a Tensor that was computed from it."""
    leaf = xpnn.Tensor(backend.array(np.asarray([1.0, 2.0], dtype)), requires_grad=True)
    return leaf, leaf * 3.0


# Gradients


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t.to("float64"),
        lambda t: xpnn.xp.asarray(t, dtype=xpnn.xp.float64),
        lambda t: xpnn.xp.astype(t, xpnn.xp.float64),
        lambda t: xpnn.xp.asarray([t, t], dtype=xpnn.xp.float64)[0],
        lambda t: xpnn.xp.asarray([[t[0], t[1]], [t[0], t[1]]], dtype=xpnn.xp.float64)[1],
        lambda t: xpnn.xp.asarray([t[0], 7.0, t[1]])[::2],
        lambda t: xpnn.xp.asarray(t, copy=True),
        lambda t: t.clone(),
    ],
)
def test_conversions_that_keep_the_graph(convert: Callable, backend: Target) -> None:
    leaf, t = recorded(backend)
    convert(t).sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0]
    assert dtype_name(leaf.grad.dtype) == "float32"


@pytest.mark.parametrize("which", [0, 1], ids=["leaf", "result"])
@pytest.mark.parametrize(
    "convert",
    [
        xpnn.asarray,
        lambda t: xpnn.asarray(t, dtype="float64"),
        lambda t: xpnn.asarray([t, t]),
        lambda t: xpnn.asarray([[t[0]], [t[1]]]),
        xpnn.tensor,
        lambda t: xpnn.tensor([t[0], 1.0]),
        xpnn.Tensor,
        lambda t: t.numpy(),
        np.asarray,
        lambda t: TensorDataset(t),
        lambda t: next(iter(DataLoader([(t, 1)], batch_size=1))),
    ],
)
def test_conversions_that_would_lose_a_gradient_are_refused(
    convert: Callable, which: int, backend: Target
) -> None:
    with pytest.raises(GradientError, match=r"detach\(\)"):
        convert(recorded(backend)[which])


def test_another_library_cannot_take_a_gradient_over() -> None:
    strict = find_backend("array_api_strict")
    t = xpnn.Tensor(move(np.ones(2), strict), requires_grad=True)
    for convert in (xpnn.xp.asarray, lambda t: t.to("numpy")):
        with pytest.raises(GradientError, match=r"detach\(\)"):
            convert(t)


def test_the_hint_for_two_element_types_keeps_the_graph() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    h = first(xpnn.tensor([[1.0, 2.0]])) * np.ones(2)
    with pytest.raises(DTypeError, match=r"input\.to\('float32'\)"):
        second(h)
    second(h.to("float32")).sum().backward()
    assert first.weight.grad is not None


def test_a_parameter_takes_the_values_of_a_recorded_tensor(backend: Target) -> None:
    weight = nn.Parameter(recorded(backend)[1])
    assert weight.is_leaf
    assert weight.tolist() == [3.0, 6.0]


def test_a_torch_tensor_on_pytorchs_tape_is_refused() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    mine = xpnn.Tensor(torch.ones(2))
    for use in (
        xpnn.Tensor,
        xpnn.tensor,
        xpnn.asarray,
        lambda x: xpnn.asarray([x, x]),
        lambda x: xpnn.Tensor(x * 2),
        lambda x: setattr(mine, "data", x),
        lambda x: mine + x,
        lambda x: xpnn.functional.linear(mine, x[None]),
        lambda x: TensorDataset(x),
    ):
        with pytest.raises(GradientError, match=r"detach\(\)"):
            use(x)
    assert xpnn.Tensor(x.detach()).tolist() == [1.0, 1.0]


# Element types that no library of arrays shares


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int64", "uint32", "complex64"])
def test_the_other_byte_order_is_converted(dtype: str, backend: Target) -> None:
    if dtype == "float16" and backend.name == "strict":
        pytest.skip("the standard has no float16")
    values = np.asarray([[1, 2], [3, 4]], np.dtype(dtype).newbyteorder())
    for array in (
        xpnn.asarray(values),
        xpnn.tensor(values).array,
        xpnn.Tensor(xpnn.Tensor(values).to(backend.backend).array).array,
        xpnn.xp.asarray(values).array,
        next(iter(DataLoader(TensorDataset(values), batch_size=2)))[0],
    ):
        array = getattr(array, "array", array)
        assert dtype_name(array.dtype) == dtype
        host = backend.numpy(array)
        assert host.dtype.isnative
        assert host.tolist() == values.tolist()


def test_layers_take_the_other_byte_order(backend: Target) -> None:
    layer, x = nn.Linear(2, 3), np.asarray([[1.0, 2.0]], "float32")
    swapped = x.astype(x.dtype.newbyteorder())
    expected = backend.numpy(layer(xpnn.asarray(x)).array)
    assert np.array_equal(backend.numpy(layer(xpnn.asarray(swapped)).array), expected)
    state = {name: backend.numpy(t.array) for name, t in layer.state_dict().items()}
    layer.load_state_dict({name: a.astype(a.dtype.newbyteorder()) for name, a in state.items()})
    assert np.array_equal(backend.numpy(layer(xpnn.asarray(x)).array), expected)


def test_a_raw_array_of_the_other_byte_order_is_named() -> None:
    x, w = np.ones((1, 2), np.dtype("float32").newbyteorder()), np.ones((3, 2), "float32")
    with pytest.raises(DTypeError, match="byte order"):
        xpnn.functional.linear(x, w)


@pytest.mark.parametrize(
    "values",
    [
        np.asarray([1, "a"], object),
        np.asarray([1, 2], object),
        np.zeros(2, [("a", "f4")]),
        np.asarray(["a"]),
        np.asarray(["2020-01-01"], "M8[D]"),
        np.ones(2, np.longdouble),
        np.ma.array([1.0, 2.0], mask=[False, True]),
    ],
    ids=["objects", "numbers as objects", "structure", "text", "dates", "longdouble", "masked"],
)
def test_what_are_no_plain_numbers_is_refused(values: np.ndarray, backend: Target) -> None:
    for enter in (xpnn.asarray, xpnn.tensor, xpnn.Tensor, xpnn.xp.asarray):
        with pytest.raises(DTypeError, match="expect"):
            enter(values)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_becomes_an_array() -> None:
    x = xpnn.Tensor(np.matrix([[1.0, 2.0], [3.0, 4.0]]))
    assert (x * x).tolist() == [[1.0, 4.0], [9.0, 16.0]]


# Complex numbers


def test_complex_scalars(backend: Target) -> None:
    values = np.asarray([1j, 2 + 1j], "complex64")
    c = xpnn.Tensor(backend.array(values))
    for scalar in (1j, np.complex64(1j), 2 - 1j):
        for operation in OPERATORS:
            result = operation(c, scalar)
            assert dtype_name(result.dtype) == "complex64"
            np.testing.assert_allclose(backend.numpy(result), operation(values, complex(scalar)), rtol=1e-5)
        assert (c == scalar).tolist() == (values == scalar).tolist()
        assert (scalar != c).tolist() == (values != scalar).tolist()
    assert 1j in c
    assert 3j not in c


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_complex_scalars_beside_real_tensors(dtype: str, backend: Target) -> None:
    values = np.asarray([0, 1]).astype(dtype)
    x = xpnn.Tensor(backend.array(values))
    assert dtype_name((x + 1j).dtype) == dtype_name((1j * x).dtype) == "complex64"
    assert (x + 1j).tolist() == [1j, 1 + 1j]
    assert (x == 1j).tolist() == [False, False]
    assert (x == 1 + 0j).tolist() == [False, True]


def test_a_gradient_comes_back_through_complex_numbers(backend: Target) -> None:
    x, y = recorded(backend)
    (y * 1j).imag.sum().backward()
    assert x.grad.dtype == x.dtype


OPERATORS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: b - a,
    lambda a, b: a * b,
    lambda a, b: b / (a + 3),
    lambda a, b: (a + 3) ** b,
]


# Comparisons, and what Python asks of values


@pytest.mark.parametrize("other", [[1.0, 3.0], (1.0, 3.0), np.asarray([1.0, 3.0], "float32")])
def test_lists_are_compared_element_by_element(other: Any, backend: Target) -> None:
    x = xpnn.tensor([1.0, 2.0])
    other = backend.array(other) if isinstance(other, np.ndarray) else other
    assert (x == other).tolist() == [True, False]
    assert (x != other).tolist() == [False, True]
    assert (x < other).tolist() == [False, True]


def test_lists_are_compared_in_the_tensors_own_element_type(backend: Target) -> None:
    for dtype in ("float32", "float64"):
        assert (xpnn.tensor([0.1, 0.2], dtype=dtype) == [0.1, 0.2]).tolist() == [True, True]


@pytest.mark.parametrize("other", [None, "a", {}, object(), ["a"]])
def test_what_is_no_number_is_unequal(other: Any) -> None:
    """As in PyTorch; that this is one answer for the whole Tensor is what Python does with NotImplemented."""
    x = xpnn.tensor([1.0, 2.0])
    assert (x == other) is False
    assert (x != other) is True
    with pytest.raises(TypeError):
        x < other  # noqa: B015 - the question is what is tested
    with pytest.raises(DTypeError, match="number"):
        other in x  # noqa: B015


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 3)])
def test_python_scalars_of_many_elements(shape: tuple[int, ...], backend: Target) -> None:
    x = xpnn.Tensor(backend.array(np.ones(shape, "int64")))
    for kind in (bool, int, float, complex):
        with pytest.raises(ShapeError, match=r"one element, got the shape"):
            kind(x)


def test_python_scalars_of_one_element(backend: Target) -> None:
    for shape in ((), (1,), (1, 1)):
        x = xpnn.Tensor(backend.array(np.full(shape, 3)))
        assert bool(x) is True
        assert (int(x), float(x), complex(x), range(9)[x]) == (3, 3.0, 3 + 0j, 3)


def test_numpy_gets_no_copy_where_none_is_wanted() -> None:
    x = xpnn.tensor([1.0, 2.0])
    assert np.asarray(x, copy=False).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(x, dtype="float64", copy=False)


def test_attributes_can_be_asked_for(backend: Target) -> None:
    for shape in ((), (2,), (2, 2), (2, 0, 2)):
        for dtype in ("float32", "int64", "bool", "complex64"):
            x = xpnn.Tensor(backend.array(np.zeros(shape, dtype)))
            assert dict(inspect.getmembers(x))["shape"] == shape
            assert hasattr(x, "T") == (len(shape) == 2)
            assert hasattr(x, "mT") == (len(shape) >= 2)
            assert not hasattr(x, "no_such_thing")
    inspect.getmembers(recorded(backend)[1])
    with pytest.raises(RankError, match="matrices"):
        _ = xpnn.tensor([1.0]).T


def test_pytorchs_ways_to_convert(backend: Target) -> None:
    x = xpnn.tensor([1.0, -2.0], requires_grad=True)
    other = xpnn.tensor([1], dtype="int16")
    assert dtype_name(x.to(other).dtype) == "int16"
    assert x.to(x) is x
    assert x.to("float32", copy=True) is not x
    assert x.to(xpnn.float32, False, True) is not x
    assert x.to(xpnn.float32, non_blocking=True) is x
    assert x.type() == ("xpnn.cuda.FloatTensor" if x.is_cuda else "xpnn.FloatTensor")
    for kind in (xpnn.LongTensor, "torch.LongTensor", "int64", xpnn.int64):
        assert x.type(kind).tolist() == [1, -2]
    for method, name in [
        ("short", "int16"),
        ("char", "int8"),
        ("cfloat", "complex64"),
        ("double", "float64"),
    ]:
        assert dtype_name(getattr(x.detach(), method)().dtype) == name
    assert x.abs().byte().tolist() == [1, 2]
    assert (x.is_floating_point(), x.long().is_floating_point(), x.is_complex(), x.is_signed()) == (
        *(True, False, False, True),
    )
    assert (x.is_sparse, x.is_same_size(x * 2)) == (False, True)
    assert x.is_cuda == (x.get_device() >= 0)
    with pytest.raises(GradientError):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1.0, -2.0]
    (x.to("float64", copy=True) * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_where_tensors_are(backend: Target) -> None:
    x = xpnn.Tensor(backend.array(np.ones(2, dtype="float32")))
    assert x.is_cpu is not x.is_cuda
    assert x.pin_memory() is x
    assert x.is_pinned() is False
    assert x.layout is xpnn.strided
    assert x.new(2, 3).shape == x.new((2, 3)).shape == (2, 3)
    assert x.new([2, 3]).tolist() == [2.0, 3.0]
    assert dtype_name(x.new([2, 3]).dtype) == "float32"
    with pytest.raises(GradientError, match="has no gradient of its first argument"):
        xpnn.igamma(xpnn.ones(2, requires_grad=True), x)


def test_defaults_by_older_names() -> None:
    try:
        xpnn.set_default_tensor_type(xpnn.DoubleTensor)
        assert xpnn.ones(1).dtype == xpnn.float64
    finally:
        xpnn.set_default_tensor_type("xpnn.FloatTensor")
    assert xpnn.typename(xpnn.ones(1)) == "xpnn.FloatTensor"
    assert xpnn.typename(xpnn.nn.Linear) == "xpnn.nn.linear.Linear"
    with pytest.raises(DTypeError, match="expects the type of floating-point Tensors of the host"):
        xpnn.set_default_tensor_type("xpnn.cuda.FloatTensor")
    assert xpnn.is_signed(xpnn.ones(1))
    assert not xpnn.is_signed(xpnn.ones(1, dtype=xpnn.uint8))
    assert xpnn.fill(xpnn.ones(2, dtype=xpnn.int64), 3).tolist() == [3, 3]
