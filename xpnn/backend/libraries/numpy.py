"""NumPy: the default, on the CPU, with kernels of its own."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.errors import ArgumentError, DTypeError
from xpnn.backend.registry import Array, Backend, register_backend

_REAL = (
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
_ELEMENT_TYPES = frozenset(map(np.dtype, ("bool", *_REAL, "complex64", "complex128")))


# Elements of a condition from which `where` selects by bits.
_MANY = 8192

# Integers as wide as the floats.
_INTEGERS = {"f": np.int32, "d": np.int64}


def _load() -> ModuleType:
    """The standard's namespace, with a `where` of its own."""
    compat = importlib.import_module("array_api_compat.numpy")
    namespace = ModuleType(compat.__name__, compat.__doc__)
    vars(namespace).update(vars(compat), where=_where)
    return namespace


def _where(condition: Array, x1: Any, x2: Any, /) -> Array:
    """`np.where`, of many floats by their bits: it mispredicts a branch at every other element of a mask."""
    x = x1 if type(x1) is np.ndarray else x2
    kind = x.dtype.char if type(x) is np.ndarray else ""
    if (
        kind not in _INTEGERS
        or type(condition) is not np.ndarray
        or condition.size < _MANY
        or condition.dtype.char != "?"
        or not (_fits(x1, kind) and _fits(x2, kind))
    ):
        return np.where(condition, x1, x2)
    integer = _INTEGERS[kind]
    first, second = (np.asarray(x, dtype=kind).view(integer) for x in (x1, x2))
    chosen = condition.astype(integer)
    np.negative(chosen, out=chosen)  # all bits set where the condition holds
    bits = np.bitwise_xor(first, second)
    bits = np.bitwise_and(bits, chosen, out=bits if bits.shape == chosen.shape else None)
    return np.bitwise_xor(bits, second, out=bits).view(kind)  # as large as the three of them


def _fits(x: Any, kind: str) -> bool:
    """Whether an operand is an array of that type of floats, or a number that takes it."""
    return x.dtype.char == kind if type(x) is np.ndarray else type(x) in (int, float)


def _parse_device(device: Any) -> Any:
    if device not in (None, "cpu"):
        raise ArgumentError(
            f"backend 'numpy' has no device {device!r:.60}, it computes on 'cpu'",
            hint="On a GPU compute xpnn.set_backend('cupy') and xpnn.set_backend('torch') "
            "(--backend on the command line)",
        )
    return device


def _admit(array: Array) -> Array:
    """A plain array, of numbers of a size that the standard knows, in the byte order of this machine."""
    if type(array) is np.ndarray and array.dtype in _ELEMENT_TYPES:
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise DTypeError(
            "expects plain numbers, got a masked array, whose mask would be lost",
            hint="Fill the gaps first: array.filled(0)",
        )
    array = np.asarray(array)  # np.matrix, whose * is another one, and other subclasses
    native = array.dtype.newbyteorder("=")
    if native in _ELEMENT_TYPES or native.name == "bfloat16":
        return array.astype(native, copy=False)
    raise DTypeError(
        f"expects numbers, got an array of {array.dtype}",
        hint="Convert it first: array.astype('float64')" if array.dtype.kind in "fcO" else "",
    )


def _owns_memory(array: Array) -> bool:
    flags = array.flags
    return flags.owndata and flags.writeable


def _ones_like(array: Array) -> Array:
    """For a single number, as a loss is, `np.array` takes a fraction of the time of `ones_like`."""
    return np.ones_like(array) if array.shape else np.array(1, dtype=array.dtype)


def _index_add(values: Array, indices: Array, count: int) -> Array:
    """Sort the rows by target, then one `reduceat`: `np.add.at` is several times slower on rows."""
    out = np.zeros((count, *values.shape[1:]), dtype=values.dtype)
    if indices.size == 0:
        return out
    if values.ndim == 1:
        np.add.at(out, indices, values)
        return out
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if starts.size == indices.size:  # no index twice: nothing is to be added up
        out[indices] = values
        return out
    out[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _complex_of(real: Array, imag: Array, dtype: Any) -> Array:
    out = np.empty(real.shape, dtype=dtype)
    out.real, out.imag = real, imag
    return out


def _uniform(shape: tuple[int, ...], like: Array, seed: int, counter: int) -> Array:
    return np.random.Generator(np.random.SFC64([seed, counter])).random(shape, dtype=np.float32)


register_backend(
    Backend(
        "numpy",
        packages=("numpy",),
        load=_load,
        install="pip install numpy",
        to_numpy=np.asarray,
        device_of=lambda array: "cpu",
        parse_device=_parse_device,
        kernels="xpnn.kernels.numpy",
        numba_kernels="xpnn.kernels.numba",
        as_array=np.asarray,
        admit=_admit,
        owns_memory=_owns_memory,
        ones_like=_ones_like,
        index_add=_index_add,
        complex_of=_complex_of,
        uniform=_uniform,
    )
)
