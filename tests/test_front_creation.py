"""New Tensors, element types and devices at the top level, against PyTorch's of the same names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import (
    ArgumentError,
    BackendError,
    DTypeError,
    GradientError,
    ShapeError,
    XpnnError,
    dtype_name,
)

torch = pytest.importorskip("torch")

CALLS: list[tuple[str, tuple, dict[str, Any]]] = [
    ("zeros", (2, 3), {}),
    ("zeros", ((2, 0),), {}),
    ("zeros", ([2],), {"dtype": "int32"}),
    ("zeros", (), {"size": (2, 1)}),
    ("zeros", ((),), {}),
    ("ones", (2,), {"dtype": "bool"}),
    ("ones", (2,), {"dtype": "float64", "requires_grad": True}),
    ("full", ((2,), 7), {}),
    ("full", ((2,), True), {}),
    ("full", ((2, 2), 1.5), {}),
    ("full", ((2,), 7.9), {"dtype": "int32"}),
    ("full", ((2,), 1j), {}),
    ("arange", (5,), {}),
    ("arange", (5.0,), {}),
    ("arange", (1, 2, 0.25), {}),
    ("arange", (5, 1, -2), {}),
    ("arange", (0,), {}),
    ("arange", (), {"end": 4}),
    ("arange", (3,), {"dtype": "float64"}),
    ("linspace", (0, 10, 4), {}),
    ("linspace", (0, 10, 4), {"dtype": "int64"}),
    ("linspace", (4.3, 0.0, 5), {"dtype": "int64"}),
    ("logspace", (1.2, 4.3, 4, 3.0), {"dtype": "int64"}),
    ("arange", (2.1, -2.9, -1.0), {"dtype": "int64"}),
    ("full", ((2,), -9), {"dtype": "uint8"}),
    ("linspace", (1, 0, 1), {}),
    ("linspace", (0, 1, 0), {"dtype": "float64"}),
    ("logspace", (0, 2, 3), {}),
    ("logspace", (0, 3, 4, 2.0), {}),
    ("eye", (3,), {}),
    ("eye", (2, 3), {"dtype": "int64"}),
    ("tril_indices", (3, 4, 1), {}),
    ("tril_indices", (3, 0), {}),
    ("triu_indices", (3, 4, -1), {}),
    ("triu_indices", (2, 2), {"dtype": "int32"}),
]


@pytest.mark.parametrize(("name", "args", "options"), CALLS)
def test_creation_is_as_pytorchs(backend: Target, name: str, args: tuple, options: dict) -> None:
    expected_options = {k: getattr(torch, v) if k == "dtype" else v for k, v in options.items()}
    expected = getattr(torch, name)(*args, **expected_options)
    made = getattr(xpnn, name)(*args, **options)
    assert made.shape == tuple(expected.shape)
    assert f"torch.{dtype_name(made.dtype)}" == str(expected.dtype)
    assert made.requires_grad == expected.requires_grad
    np.testing.assert_allclose(xpnn.to_numpy(made), expected.detach().numpy(), rtol=1e-6)


def test_like_and_new_keep_type_and_device(backend: Target) -> None:
    x = xpnn.ones(2, 3, dtype="float64")
    others = [
        xpnn.zeros_like(x), xpnn.ones_like(x), xpnn.full_like(x, 3), xpnn.empty_like(x),
        x.new_zeros(2), x.new_ones((2, 1)), x.new_full((2,), 1), x.new_empty(0), x.new_tensor([1, 2]),
    ]  # fmt: skip
    shapes = [(2, 3)] * 4 + [(2,), (2, 1), (2,), (0,), (2,)]
    for other, shape in zip(others, shapes, strict=True):  # also where another backend is the current one
        assert other.shape == shape
        assert dtype_name(other.dtype) == "float64"
        assert other.device == x.device
        assert xpnn.backend.backend_of(other.array) is xpnn.backend.backend_of(x.array)
    assert others[2].tolist() == [[3.0] * 3] * 2
    assert dtype_name(xpnn.zeros_like(x, dtype=xpnn.int64).dtype) == "int64"


def test_bad_arguments_are_refused() -> None:
    out = xpnn.zeros(2)
    with pytest.raises(ShapeError, match="sizes of 0 or more"):
        xpnn.zeros(-1)
    with pytest.raises(DTypeError, match="whole numbers"):
        xpnn.ones(2.5)
    with pytest.raises(ArgumentError, match="got none"):
        xpnn.zeros()
    with pytest.raises(ArgumentError, match="does not write into `out`"):
        xpnn.zeros(2, out=out)
    with pytest.raises(XpnnError, match="unexpected keyword argument 'dtpye'"):
        xpnn.zeros(2, dtpye="float32")
    with pytest.raises(ArgumentError, match="a step that leads"):
        xpnn.arange(1, 5, -1)
    with pytest.raises(ShapeError):
        xpnn.linspace(0, 1, -2)
    for spaced in (xpnn.linspace, xpnn.logspace):
        with pytest.raises(ShapeError, match="expects end as a number or a Tensor of no axes"):
            spaced(0, xpnn.ones(1), 2)
    with pytest.raises(GradientError, match="floating-point"):
        xpnn.zeros(2, dtype="int64", requires_grad=True)
    with pytest.raises(DTypeError, match=r"xpnn.tensor\(...\)"):
        xpnn.from_numpy([1.0])


def test_as_tensor_keeps_tensors_and_the_tape() -> None:
    x = xpnn.ones(2, requires_grad=True)
    assert xpnn.as_tensor(x) is x
    (xpnn.as_tensor(x, dtype="float64") * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]
    values = np.arange(3.0)
    shared = xpnn.from_numpy(values)
    values[0] = 7
    assert shared.tolist() == [7.0, 1.0, 2.0]
    shared[0] = 5.0
    assert values[0] == 7


def test_legacy_constructor_takes_sizes() -> None:
    assert xpnn.Tensor(3).shape == (3,)
    assert xpnn.Tensor(2, 3).shape == (2, 3)
    assert xpnn.Tensor().shape == (0,)
    assert xpnn.Tensor(np.int64(3)).shape == (3,)
    assert xpnn.Tensor([1.0], True).requires_grad


@pytest.mark.parametrize(
    "data",
    [[1, 2], (1, 2), [], [True, False], [[1, 2], [3, 4]], [1.5], range(3), [np.float64(1.0), 2]],
    ids=str,
)
def test_legacy_constructor_makes_lists_of_numbers_floating(data: Any) -> None:
    ours, theirs = xpnn.Tensor(data), torch.Tensor(data)
    assert dtype_name(ours.dtype) == dtype_name(theirs.dtype)
    assert ours.tolist() == theirs.tolist()


def test_legacy_constructor_takes_the_default_dtype_and_keeps_an_arrays() -> None:
    assert xpnn.Tensor(np.asarray([1, 2], np.int16)).dtype == "int16"
    assert xpnn.Tensor(np.asarray([1.0])).dtype == "float64"
    assert xpnn.Tensor(xpnn.tensor([1, 2])).dtype == "int64"
    assert xpnn.Tensor([1j]).dtype == "complex64"
    xpnn.set_default_dtype("float64")
    try:
        assert xpnn.Tensor([1, 2]).dtype == "float64"
    finally:
        xpnn.set_default_dtype("float32")


def test_shape_is_a_size(backend: Target) -> None:
    x = xpnn.ones(2, 3, 4)
    for sizes in (x.shape, x.size(), x.shape[:], (2,) + x.shape[1:], x.shape[:0] + (2, 3, 4)):  # noqa: RUF005
        assert isinstance(sizes, xpnn.Size)
        assert sizes == (2, 3, 4)
        assert hash(sizes) == hash((2, 3, 4))
        assert repr(sizes) == "(2, 3, 4)"
        assert sizes.numel() == 24
        assert xpnn.Tensor(sizes).shape == xpnn.zeros(sizes).shape == x.view(sizes).shape == sizes
    assert xpnn.Tensor(x.shape[-1:]).shape == (4,)
    assert xpnn.FloatTensor(x.shape).tolist() == xpnn.Tensor(x.shape).tolist()
    assert xpnn.Tensor(xpnn.ones(()).shape).tolist() == 0.0
    assert type(x.shape[0]) is int
    assert (x.shape[1:] * 2, 2 * x.shape[1:]) == ((3, 4, 3, 4), (3, 4, 3, 4))
    assert isinstance(x.shape * 2, xpnn.Size)
    for copied in (copy.deepcopy(x.shape), pickle.loads(pickle.dumps(x.shape))):
        assert isinstance(copied, xpnn.Size)
        assert copied == x.shape
    assert xpnn.Size([xpnn.tensor(2), np.int64(3)]) == (2, 3)
    with pytest.raises(DTypeError, match="whole numbers"):
        xpnn.Size([1.5])
    with pytest.raises(TypeError):
        x.shape + [1]  # noqa: RUF005


# -- element types


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"]
)
def test_element_types_know_what_pytorchs_know(name: str) -> None:
    ours, theirs = getattr(xpnn, name), getattr(torch, name)
    assert (ours.itemsize, ours.is_floating_point, ours.is_complex, ours.is_signed) == (
        theirs.itemsize, theirs.is_floating_point, theirs.is_complex, theirs.is_signed
    )  # fmt: skip
    assert ours == theirs
    assert theirs == ours
    assert ours == np.dtype(name) == ours
    assert str(ours) == f"xpnn.{name}"
    assert pickle.loads(pickle.dumps(ours)) == copy.deepcopy(ours) == ours
    assert hash(ours) == hash(name)
    assert np.zeros(2, dtype=ours).dtype == ours  # type: ignore[call-overload]


def test_aliases_of_element_types() -> None:
    assert (xpnn.float, xpnn.double, xpnn.half) == (xpnn.float32, xpnn.float64, xpnn.float16)
    assert (xpnn.short, xpnn.int, xpnn.long) == (xpnn.int16, xpnn.int32, xpnn.int64)
    assert xpnn.float32 != xpnn.float64
    assert xpnn.float32 != 3
    assert xpnn.bfloat16 != np.dtype("float16")


def test_the_element_type_of_a_tensor(backend: Target) -> None:
    """It is xpnn's own on every backend, as a key, in questions and wherever an element type is taken."""
    names = {xpnn.float32: "single", xpnn.int64: "long", xpnn.bool: "flag"}
    for x, name in ((xpnn.zeros(2), "single"), (xpnn.arange(2), "long"), (xpnn.zeros(2) > 0, "flag")):
        kind = x.dtype
        assert isinstance(kind, xpnn.dtype)
        assert names[kind] == name
        assert kind == x.array.dtype
        assert str(kind).partition(".")[2] == dtype_name(x.array.dtype)
        assert kind.is_floating_point is x.is_floating_point()
        assert kind.itemsize == x.element_size()
        assert pickle.loads(pickle.dumps(kind)) is kind is copy.copy(kind)
        assert x.to(kind) is x
        assert xpnn.zeros(3, dtype=kind).dtype is kind
        assert xpnn.nn.Parameter(xpnn.zeros(2)).dtype is xpnn.float32
    assert xpnn.finfo(xpnn.zeros(1).dtype).bits == 32


def test_element_types_are_accepted(backend: Target) -> None:
    x = xpnn.zeros(2, dtype=xpnn.float64)
    assert xpnn.float64 == x.dtype
    for other in (x.to(xpnn.int32), xpnn.xp.astype(x, xpnn.int32), xpnn.xp.zeros(2, dtype=xpnn.int32)):
        assert xpnn.int32 == other.dtype
    assert xpnn.float64 == xpnn.tensor([1.0], dtype=xpnn.float64).dtype
    assert xpnn.float64 == xpnn.nn.Linear(2, 2, dtype=xpnn.float64).weight.dtype
    assert xpnn.float64 == xpnn.nn.Linear(2, 2).to(xpnn.float64).weight.dtype


FAMILIES = [
    "bool",
    "uint8",
    "int8",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
]


@pytest.mark.parametrize("one", [*FAMILIES, "complex128"])
def test_promotion_and_casts_are_pytorchs(one: str) -> None:
    for other in [*FAMILIES, "complex128"]:
        theirs = getattr(torch, one), getattr(torch, other)
        assert xpnn.promote_types(one, other) == torch.promote_types(*theirs), other
        assert xpnn.can_cast(one, other) == torch.can_cast(*theirs), other


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_finfo(name: str) -> None:
    ours, theirs = xpnn.finfo(name), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype", "resolution"):
        assert getattr(ours, field) == pytest.approx(getattr(theirs, field)) if field != "dtype" else True
    assert dtype_name(ours.dtype) == dtype_name(theirs.dtype)


@pytest.mark.parametrize("name", ["uint8", "int8", "int32", "int64"])
def test_iinfo(name: str) -> None:
    ours, theirs = xpnn.iinfo(name), torch.iinfo(getattr(torch, name))
    assert (ours.bits, ours.min, ours.max, ours.dtype) == (theirs.bits, theirs.min, theirs.max, theirs.dtype)
    with pytest.raises(DTypeError, match="iinfo"):
        xpnn.finfo(name)


def test_default_dtype_is_honoured(backend: Target) -> None:
    try:
        xpnn.set_default_dtype(xpnn.float64)
        layer = xpnn.nn.Linear(2, 2)
        made = [xpnn.zeros(2), xpnn.tensor(1.0), xpnn.arange(0, 1, 0.5), xpnn.xp.ones(2), layer.weight]
        made += [xpnn.full((1,), 2.0), layer(xpnn.ones(1, 2)), xpnn.eye(2), xpnn.nn.BatchNorm1d(2).weight]
        assert [dtype_name(x.dtype) for x in made] == ["float64"] * len(made)
        assert dtype_name(xpnn.tensor([1j]).dtype) == "complex128"
        with pytest.raises(DTypeError, match="floating-point"):
            xpnn.set_default_dtype("int64")
    finally:
        xpnn.set_default_dtype("float32")
    assert dtype_name(xpnn.zeros(1).dtype) == "float32"


# -- devices


def test_devices() -> None:
    gpu = xpnn.device("cuda:1")
    assert (gpu.type, gpu.index) == ("cuda", 1)
    assert gpu == xpnn.device("cuda", 1) == xpnn.device(1) == torch.device("cuda:1")
    assert gpu == "cuda:1"
    assert repr(gpu) == repr(torch.device("cuda:1"))
    assert str(gpu) == str(torch.device("cuda:1"))
    assert xpnn.device("cuda") != gpu
    assert pickle.loads(pickle.dumps(gpu)) == gpu
    for wrong in ("", "cuda:", "cuda:x", "a b"):
        with pytest.raises(ArgumentError, match="'cuda:0'"):
            xpnn.device(wrong)


def test_devices_of_tensors(backend: Target) -> None:
    x = xpnn.ones(2)
    for device in (x.device, xpnn.device(x.device), x.device.word):
        assert xpnn.zeros(2, device=device).device == x.device
        assert x.to(device).device == x.device
    if backend.backend != "cupy_like":
        assert xpnn.zeros(2, device="cpu").device.type == "cpu"
    assert xpnn.xp.zeros(2, device=x.device).device == x.device
    if backend.backend == "numpy":
        with pytest.raises(ArgumentError, match=r"set_backend\('cupy'\)"):
            xpnn.zeros(2, device="cuda")


def test_a_number_is_no_size_to_buffers_and_parameters() -> None:
    assert xpnn.nn.Buffer(5).shape == ()
    assert xpnn.nn.Buffer(5).item() == 5
    with pytest.raises(GradientError, match="floating-point"):
        xpnn.nn.Parameter(3)


def test_frombuffer(backend: Target) -> None:
    numbers = np.arange(4, dtype=np.int16)
    for options in ({}, {"count": 2}, {"offset": 2}, {"offset": 2, "count": 1}):
        expected = torch.frombuffer(bytearray(numbers.tobytes()), dtype=torch.int16, **options)
        with backend.active():
            mine = xpnn.frombuffer(numbers.tobytes(), dtype=xpnn.int16, **options)
        assert mine.tolist() == expected.tolist()
        assert mine.dtype == xpnn.int16
    assert xpnn.frombuffer(np.ones(2), dtype=xpnn.float64, requires_grad=True).requires_grad
    for options in ({"count": 5}, {"count": 0}, {"offset": 1}, {"offset": 8}, {"offset": -1}):
        with pytest.raises(ArgumentError, match="elements of 2 bytes from byte"):
            xpnn.frombuffer(bytearray(8), dtype=xpnn.int16, **options)
        with pytest.raises(ValueError):
            torch.frombuffer(bytearray(8), dtype=torch.int16, **options)
    with pytest.raises(DTypeError, match="expects a buffer, got list"):
        xpnn.frombuffer([1], dtype=xpnn.int16)


def test_frombuffer_of_bfloat16(backend: Target) -> None:
    torch = pytest.importorskip("torch")
    data = bytearray(range(16))
    if backend.name not in ("torch", "jax"):
        with pytest.raises(DTypeError, match="has no bfloat16"):
            xpnn.frombuffer(data, dtype=xpnn.bfloat16)
        return
    expected = torch.frombuffer(data, dtype=torch.bfloat16).float().numpy()
    assert np.array_equal(backend.numpy(xpnn.frombuffer(data, dtype=xpnn.bfloat16).float()), expected)


def test_a_block_on_a_device() -> None:
    with xpnn.device("cpu") as device, device:
        assert xpnn.zeros(1).device == device == "cpu"
    with xpnn.use_backend("array_api_strict"):
        with xpnn.device("device1"):
            assert xpnn.zeros(1).device == xpnn.ones(2).device == "device1"
        assert xpnn.zeros(1).device != "device1"
    with pytest.raises(ArgumentError, match="has no device"), xpnn.device("cuda:7"):
        pass


def test_default_device() -> None:
    assert xpnn.get_default_device() == torch.get_default_device() == xpnn.zeros(1).device
    with xpnn.use_backend("array_api_strict", device="device1"):
        assert xpnn.get_default_device() == xpnn.zeros(1).device == "device1"
        with pytest.raises(BackendError, match="use_backend"):
            xpnn.set_default_device("CPU_DEVICE")
    xpnn.set_backend("array_api_strict")
    try:
        xpnn.set_default_device("device1")
        assert xpnn.zeros(1).device == xpnn.get_default_device() == "device1"
        xpnn.set_default_device(None)
        assert xpnn.zeros(1).device != "device1"
        with pytest.raises(ArgumentError, match="has no device"):
            xpnn.set_default_device("cuda:7")
    finally:
        xpnn.set_backend("numpy")
