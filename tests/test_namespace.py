"""The namespaces of Tensors: complete, float32 by default, fit for programs that know only the standard."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import array_api_compat
import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.autograd import Tensor, grad, tensor_namespace, xp
from xpnn.backend import IndexOutOfRangeError, dtype_name, get_backend, namespace, use_backend
from xpnn.testing import assert_close, gradcheck, gradgradcheck

FLOATS = ("float32", "float64")


def raw_namespace() -> Any:
    return get_backend().xp


def test_is_complete(backend: Target) -> None:
    """Whatever the standard's reference implementation has, the namespace has."""
    strict = pytest.importorskip("array_api_strict")
    flags = {"ArrayAPIStrictFlags", "Device", "get_array_api_strict_flags", "reset_array_api_strict_flags"}
    flags |= {"set_array_api_strict_flags"}
    names = [name for name in strict.__all__ if name not in flags and not name.startswith("__")]
    own = tensor_namespace(raw_namespace())
    assert [name for name in names if not hasattr(own, name)] == []
    assert [name for name in strict.linalg.__all__ if not hasattr(own.linalg, name)] == []
    assert own.__array_api_version__ >= "2024.12" or own.__array_api_version__ == "2024.12"


def test_current_namespace(backend: Target) -> None:
    """`xpnn.xp` follows the current backend, and is what its Tensors answer."""
    t = xp.ones((2, 2))
    assert isinstance(t, Tensor)
    assert t.__array_namespace__() is namespace(t) is tensor_namespace(raw_namespace())
    assert xp.exp is t.__array_namespace__().exp
    with use_backend("numpy"):
        assert xp.raw_namespace is raw_namespace()
    assert "linalg" in dir(xp)
    assert not hasattr(xp, "no_such_function")
    assert raw_namespace().__name__ in repr(xp)


CREATIONS = {
    "zeros": lambda xp: xp.zeros((2, 3)),
    "ones": lambda xp: xp.ones(3),
    "empty": lambda xp: xp.empty((2,)),
    "eye": lambda xp: xp.eye(2, 3, k=1),
    "linspace": lambda xp: xp.linspace(0, 1, 5),
    "arange": lambda xp: xp.arange(0.0, 2.0, 0.5),
    "full": lambda xp: xp.full((2,), 1.5),
    "asarray": lambda xp: xp.asarray([[1.0, 2.0]]),
    "nested": lambda xp: xp.asarray([xp.ones(2), xp.zeros(2)]),
    "zeros_like": lambda xp: xp.zeros_like(xp.ones(2)),
    "full_like": lambda xp: xp.full_like(xp.ones(2), 3),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_creation(name: str, backend: Target) -> None:
    """New arrays are Tensors of float32 on the current device."""
    t = CREATIONS[name](xp)
    assert isinstance(t, Tensor)
    assert dtype_name(t.dtype) == "float32"
    assert t.device == xp.zeros(1).device
    assert not t.requires_grad


def test_creation_of_other_types(backend: Target) -> None:
    assert dtype_name(xp.zeros(2, dtype=xp.float64).dtype) == "float64"
    assert "int" in dtype_name(xp.arange(3).dtype)
    assert "int" in dtype_name(xp.full((2,), 7).dtype)
    assert dtype_name(xp.full((2,), True).dtype) == "bool"
    assert "int" in dtype_name(xp.asarray([1, 2]).dtype)
    assert dtype_name(xp.asarray(np.ones(2)).dtype) == "float64"
    assert xp.arange(5, 0, -2).tolist() == [5, 3, 1]


def test_asarray_stays_on_the_tape(backend: Target) -> None:
    x = Tensor(backend.array(np.array([1.0, 2.0])), requires_grad=True)
    narrow = xp.asarray(x, dtype=xp.float32)
    rows = xp.asarray([x, [3.0, 4.0], narrow], dtype=xp.float64)
    assert rows.shape == (3, 2)
    (g,) = grad(xp.sum(rows) + xp.sum(xp.asarray(x, copy=True)), x)
    assert g.tolist() == [3.0, 3.0]
    assert xp.asarray(x) is x


def test_types_and_questions(backend: Target) -> None:
    """Element types are those of `xpnn`, and equal to the library's; questions about them take Tensors."""
    t = xp.ones(2)
    assert xp.float32 == raw_namespace().float32
    for one, other in itertools.product(
        (t.dtype, xp.float32, xpnn.float32, xp.result_type(t, 1.0)), repeat=2
    ):
        assert one == other
        assert hash(one) == hash(other)
    assert xp.isdtype(t.dtype, "real floating")
    assert not xp.isdtype(t.dtype, "integral")
    assert xp.astype(xp.ones(2, dtype="int64"), t.dtype).dtype == t.dtype
    assert dtype_name(xp.result_type(t, xp.float64)) == "float64"
    assert xp.can_cast(t, xp.float64)
    assert xp.finfo(t).bits == xp.finfo(xp.float32).bits == 32
    assert xp.iinfo(xp.int32).bits == 32
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == xp.float32
    assert "float64" in info.dtypes()
    assert xp.pi == pytest.approx(np.pi)
    assert xp.newaxis is None


def test_functions_without_gradient(backend: Target) -> None:
    """Integers and booleans come out as Tensors off the tape."""
    x = xp.asarray([3.0, 1.0, 2.0])
    x.requires_grad = True
    results = {
        "argmax": (xp.argmax(x), 0),
        "argsort": (xp.argsort(x), [1, 2, 0]),
        "searchsorted": (xp.searchsorted(xp.sort(x), xp.asarray([1.5])), [1]),
        "count_nonzero": (xp.count_nonzero(x), 3),
        "all": (xp.all(x > 1), False),
        "any": (xp.any(x > 1), True),
        "isfinite": (xp.isfinite(x), [True] * 3),
        "less": (xp.less(x, 2.5), [False, True, True]),
        "matrix_rank": (xp.linalg.matrix_rank(xp.eye(2)), 2),
    }
    for name, (t, expected) in results.items():
        assert isinstance(t, Tensor), name
        assert not t.requires_grad, name
        assert t.tolist() == expected, name
    if backend.name != "strict":  # their shapes depend on values
        (positions,) = xp.nonzero(x > 1)
        assert positions.tolist() == [0, 2]
        assert xp.unique_counts(x.detach()).values.tolist() == [1.0, 2.0, 3.0]


def test_raw_arrays_stay_raw(backend: Target) -> None:
    raw = backend.array(np.ones((2, 2)))
    own = tensor_namespace(raw_namespace())
    for result in (
        own.exp(raw),
        own.argmax(raw),
        own.linalg.matrix_norm(raw),
        own.isnan(raw),
    ):
        assert not isinstance(result, Tensor)


def test_dlpack(backend: Target) -> None:
    if backend.name in ("strict", "read_only", "cupy_like"):
        pytest.skip("does not export such arrays")
    t = xp.from_dlpack(xp.arange(3.0))
    assert isinstance(t, Tensor)
    assert t.tolist() == [0.0, 1.0, 2.0]


# -- programs written by someone who knows only the standard


def conjugate_gradient(a: Any, b: Any, steps: int) -> Any:
    xp = array_api_compat.array_namespace(a, b)
    x, r = xp.zeros_like(b), b
    p, rr = r, xp.vecdot(r, r)
    for _ in range(steps):
        ap = a @ p
        alpha = rr / xp.vecdot(p, ap)
        x, r = x + alpha * p, r - alpha * ap
        rr, before = xp.vecdot(r, r), rr
        p = r + (rr / before) * p
    return x


def logsumexp(x: Any, axis: int) -> Any:
    xp = array_api_compat.array_namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    shifted = xp.where(xp.isfinite(top), x - top, x)
    total = xp.sum(xp.exp(shifted), axis=axis, keepdims=True)
    return xp.squeeze(xp.log(total) + top, axis=axis)


def distances(x: Any, y: Any) -> Any:
    xp = array_api_compat.array_namespace(x, y)
    return xp.sqrt(xp.sum(xp.square(x[:, None, :] - y[None, :, :]), axis=-1))


def test_foreign_programs(backend: Target) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 3))
    a, b, c = a @ a.T + 3 * np.eye(3), rng.standard_normal(3), rng.standard_normal((2, 3))
    tensors = [Tensor(backend.array(v), requires_grad=True) for v in (a, b, c)]
    solution = conjugate_gradient(tensors[0], tensors[1], 3)
    assert_close(backend.numpy(solution.detach()), np.linalg.solve(a, b), rtol=1e-6, atol=1e-8)
    (gb,) = grad(xp.sum(solution), tensors[1])
    assert_close(backend.numpy(gb), np.linalg.solve(a.T, np.ones(3)), rtol=1e-5, atol=1e-7)
    assert_close(
        backend.numpy(logsumexp(tensors[2], 1).detach()), np.log(np.exp(c).sum(axis=1)), check_dtype=False
    )
    assert distances(tensors[2], tensors[0]).shape == (2, 3)


def test_foreign_programs_have_two_derivatives() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    for function, inputs in [(lambda x: logsumexp(x, 1), x), (distances, (x, x + 1.0))]:
        gradcheck(function, inputs)
        gradgradcheck(function, inputs, fast_mode=True)


def test_module_attribute() -> None:
    assert xpnn.xp is xp


# The standard, to the letter


def test_signatures_are_the_standards(backend: Target) -> None:
    """Each argument of each function is taken by the name and in the place that array-api-strict has it."""
    strict = pytest.importorskip("array_api_strict")
    xp = xpnn.tensor([1.0]).__array_namespace__()
    differ = {}
    for theirs, mine in ((strict, xp), (strict.linalg, xp.linalg), (strict.fft, xp.fft)):
        for name in theirs.__all__:
            function = getattr(theirs, name)
            if not inspect.isfunction(function) or "flags" in name.lower():
                continue
            try:
                own = inspect.signature(getattr(mine, name))
            except ValueError:  # a function in C, which has none to show
                continue
            missing = not_taken(own, inspect.signature(function))
            # libraries' own functions of truth values take their operands by position alone
            if missing and not (backend.backend == "jax" and missing == ["x1", "x2"]):
                differ[name] = missing
    assert not differ
    method = inspect.signature(xpnn.Tensor.__dlpack__)
    assert {"stream", "max_version", "dl_device", "copy"} <= method.parameters.keys()


def not_taken(own: inspect.Signature, standard: inspect.Signature) -> list[str]:
    kinds = inspect.Parameter
    given = list(own.parameters.values())
    by_place = [p for p in given if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    by_name = {p.name for p in given if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    rest = any(p.kind is kinds.VAR_POSITIONAL for p in given)
    missing = []
    for place, p in enumerate(standard.parameters.values()):
        at = by_place[place] if place < len(by_place) else None
        if p.kind is kinds.VAR_POSITIONAL:
            taken = rest
        elif p.kind is kinds.KEYWORD_ONLY:
            taken = p.name in by_name
        elif p.kind is kinds.POSITIONAL_ONLY:
            taken = at is not None
        else:
            taken = at is not None and at.name == p.name and p.name in by_name
        if not taken:
            missing.append(p.name)
    return missing


def test_versions_of_the_standard() -> None:
    x = xpnn.tensor([1.0])
    assert x.__array_namespace__(api_version="2024.12") is x.__array_namespace__()
    for version in ("2099.12", "newest", 2024):
        with pytest.raises(ValueError, match="api_version"):
            x.__array_namespace__(api_version=version)


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8", "float32", "complex64"])
def test_asarray_copies_every_type(dtype: str, backend: Target) -> None:
    x = xpnn.Tensor(backend.array(np.asarray([1, 0]).astype(dtype)))
    copied = xpnn.xp.asarray(x, copy=True)
    assert copied is not x
    assert copied.tolist() == x.tolist()
    assert copied.dtype == x.dtype


def test_frequencies_are_tensors(backend: Target) -> None:
    for name, expected in (("fftfreq", [0, 0.25, -0.5, -0.25]), ("rfftfreq", [0, 0.25, 0.5])):
        frequencies = getattr(xpnn.xp.fft, name)(4)
        assert isinstance(frequencies, xpnn.Tensor)
        assert dtype_name(frequencies.dtype) == "float32"
        assert frequencies.tolist() == expected


def test_questions_about_types_by_name(backend: Target) -> None:
    xp = xpnn.xp
    assert xp.can_cast(from_=xp.float32, to=xp.float64)
    assert not xp.can_cast(from_=xpnn.tensor([1.0]), to=xp.int32)
    assert xp.finfo(type=xp.float32).bits == xp.finfo(xpnn.tensor([1.0])).bits == 32
    assert xp.iinfo(type=xp.int16).max == 32767


def test_complex_numbers_are_complex64(backend: Target) -> None:
    xp = xpnn.xp
    for made in (xp.asarray([1j]), xp.asarray(1j), xp.full((2,), 1j), xpnn.tensor([1 + 2j])):
        assert dtype_name(made.dtype) == "complex64"
    assert dtype_name(xp.asarray([1j], dtype=xp.complex128).dtype) == "complex128"


def test_element_types_are_no_kinds(backend: Target) -> None:
    """`isdtype` takes strings for kinds, so that an element type must be none."""
    assert not isinstance(xp.float32, str)
    assert not xp.isdtype(xp.bool, xp.uint8)
    assert xp.isdtype(xp.float32, (xp.uint8, xp.float32))
    assert xp.isdtype(xp.float32, (xp.uint8, "real floating"))
    for older in (xpnn.float32, xpnn.FloatTensor):
        assert xp.sum(xp.ones(2, dtype=xp.int64), dtype=older).dtype == xpnn.float32
        assert xp.astype(xp.ones(2, dtype=xp.int64), older).dtype == "float32"
        assert xp.zeros(2, dtype=older).to(older).dtype == xp.float32
        assert np.zeros(2, dtype=older).dtype == np.float32
    assert xpnn.float64 is not None
    assert xpnn.float64 != None  # noqa: E711 - which NumPy's float64 equals


def test_a_mask_of_no_elements(backend: Target) -> None:
    """The standard lets the axes of a mask be as long as the array's, or of no elements."""
    x = xp.ones((1, 2, 3))
    assert x[xp.zeros((0,), dtype=xp.bool)].shape == (0, 2, 3)
    assert x[xp.zeros((1, 0), dtype=xp.bool)].shape == (0, 3)
    with pytest.raises(IndexOutOfRangeError, match=r"a mask of shape \(1,\), got \(2,\)"):
        x[xp.zeros((2,), dtype=xp.bool)]


def test_the_sign_of_complex_zeros(backend: Target) -> None:
    zeros = xp.asarray([complex(a, b) for a in (0.0, -0.0) for b in (0.0, -0.0)])
    found = xpnn.to_numpy(xp.sign(zeros))
    assert not found.any()
    assert not np.signbit([found.real, found.imag]).any()
