"""From a source in CUDA C++ to a launch: which types it is compiled for, and its arguments.

Sources lie in `cuda/`, a file a concept. Each is compiled for one type of elements and one of indices at a
time, by NVRTC through `cupy.RawModule`, at its first use. The library is that of the arrays, so that
whatever has CuPy's `RawModule` can take its place.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel, saves_as_reference

FOLDER = Path(__file__).parent / "cuda"
OPTIONS = ("-std=c++17",)

# Elements from which indices have 64 bits. Threads go on past the last element by up to the whole grid,
# MOST_BLOCKS * MOST_THREADS, about a million: an index of 32 bits must not overflow there.
WIDE = 2**31 - 2**22

WARP = 32
MOST_THREADS = 256  # of a block
MOST_BLOCKS = 132 * 32  # of a grid whose threads go on until all is done

# The address of an array that is left out: of None, CuPy makes one that is not 0.
_NOWHERE = np.uint64(0)

# The types of elements by NumPy's letters, and those that are computed in. "E" is bfloat16, of ml_dtypes.
_TYPES = {
    "f": ("float", "float"),
    "d": ("double", "double"),
    "e": ("Half", "float"),
    "E": ("BFloat16", "float"),
}


def cuda_kernel(
    name: str,
    when: Callable[..., bool],
    forward: Callable[..., tuple],
    backward: Callable[..., tuple],
    alike: bool = False,
) -> None:
    """Register a kernel for all types of elements.

    Args:
        alike: whether it keeps what the reference keeps. In half precision that makes no second derivatives,
            which would be computed in half precision; they are replayed.
    """

    def in_half(x: Array, *others: Any, **options: Any) -> bool:
        return getattr(x, "itemsize", 0) == 2 and when(x, *others, **options)

    def in_full(x: Array, *others: Any, **options: Any) -> bool:
        return getattr(x, "itemsize", 0) != 2 and when(x, *others, **options)

    forward_like = functools.wraps(forward)(lambda *arrays, **options: forward(*arrays, **options))
    kernel("cupy", name, when=in_half, half=in_half)(forward_like).backward(backward)
    marked = functools.wraps(backward)(lambda *given, **options: backward(*given, **options))
    kernel("cupy", name, when=in_full)(forward).backward(saves_as_reference(marked) if alike else backward)


def takes(*arrays: Array | None) -> bool:
    """Guard: whether all arrays have elements of one type that the sources know, and are not empty."""
    given = [array for array in arrays if array is not None]
    return (
        len({array.dtype for array in given}) == 1
        and given[0].dtype.char in _TYPES
        and all(array.size for array in given)
        and compiles_cuda(given[0])
    )


def compiles_cuda(x: Array) -> bool:
    """Whether the library of an array compiles CUDA C++: CuPy for ROCm has warps of 64, and no PTX."""
    cuda = getattr(library_of(x), "cuda", None)
    return cuda is None or not cuda.runtime.is_hip


def computed_in(char: str) -> np.dtype:
    """The type that is computed in, for elements of the type of that letter."""
    return np.dtype("d" if char == "d" else "f")


@functools.cache
def read_source(name: str) -> str:
    """The text of a file in `cuda/`."""
    return (FOLDER / name).read_text(encoding="utf-8")


def filled(template: str, places: dict[str, str]) -> str:
    """A source with texts in its places."""
    for place, text in places.items():
        template = template.replace(place, text)
    return template


def complete(source: str, char: str, wide: bool) -> str:
    """The source as it is compiled for elements of a type, with indices of 64 bits if `wide`."""
    element, inside = _TYPES[char]
    definitions = {"XP_T": element, "XP_A": inside, "XP_I": "long long" if wide else "int"}
    lines = [f"#define {name} {value}" for name, value in definitions.items()]
    return "\n".join([*lines, read_source("common.cuh"), source])


def launch(
    source: str, name: str, like: Array, grid: int, block: int, args: tuple, size: int | None = None
) -> None:
    """Launch a kernel on the device of `like`, compiled for its elements.

    Args:
        source: a text, or the name of a file in `cuda/`.
        grid, block: the numbers of blocks and of threads of each.
        args: arrays; None for one that is left out; int for an index, float for a number of the type that is
            computed in; NumPy's scalars as they are.
        size: the largest number that an index reaches, if that is not the number of elements of `like`.
    """
    wide = max(like.size if size is None else size, grid * block) >= WIDE
    library = type(like).__module__.partition(".")[0]
    function = _function(library, source, name, like.dtype.char, wide)
    index, real = (np.int64 if wide else np.int32), computed_in(like.dtype.char).type
    numbers: dict[type, Callable[[Any], Any]] = {int: index, float: real, type(None): lambda _: _NOWHERE}
    given = tuple(numbers[type(arg)](arg) if type(arg) in numbers else arg for arg in args)
    if library == "cupy" and like.device.id != sys.modules["cupy"].cuda.runtime.getDevice():
        with like.device:
            function((grid,), (block,), given)
    else:
        function((grid,), (block,), given)


@functools.cache
def _function(library: str, source: str, name: str, char: str, wide: bool) -> Callable[..., None]:
    return _module(library, source, char, wide).get_function(name)


@functools.cache
def _module(library: str, source: str, char: str, wide: bool) -> Any:
    text = read_source(source) if source.endswith(".cu") else source
    return sys.modules[library].RawModule(code=complete(text, char, wide), options=OPTIONS)


def library_of(x: Array) -> Any:
    """The library of an array: CuPy, or what takes its place."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def blocks_for(elements: int, per_thread: int = 1) -> int:
    """The blocks of `MOST_THREADS` threads for so many elements."""
    return max(min(-(-elements // (MOST_THREADS * per_thread)), MOST_BLOCKS), 1)


def threads_for(row: int) -> int:
    """The threads of a block that takes a row of so many elements: whole warps."""
    return min(-(-max(row, 1) // WARP) * WARP, MOST_THREADS)


def in_rows(x: Array | None) -> Any:
    """The array, row by row in memory; None for one that is left out."""
    return x if x is None or x.flags.c_contiguous else library_of(x).ascontiguousarray(x)


def order_of(x: Array) -> tuple[int, ...] | None:
    """The axes from the slowest to the fastest, if elements fill a piece of memory; else None."""
    axes = sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), -x.shape[axis]))
    step = x.itemsize
    for axis in reversed(axes):
        if x.shape[axis] != 1 and x.strides[axis] != step:
            return None
        step *= x.shape[axis]
    return tuple(axes)


def lying_alike(*arrays: Array) -> list[Array]:
    """The arrays of one shape, each over memory in the same order: that of the first, if it has no gaps."""
    first = arrays[0]
    if order_of(first) is None:
        return [in_rows(array) for array in arrays]
    empty_like = library_of(first).empty_like
    alike = []
    for array in arrays:
        if array.strides != first.strides and not _moves_nothing(array, first):
            copied = empty_like(first, dtype=array.dtype)
            copied[...] = array
            array = copied
        alike.append(array)
    return alike


def _moves_nothing(array: Array, first: Array) -> bool:
    """Whether the strides differ along axes of one element only."""
    return all(n == 1 or a == b for n, a, b in zip(first.shape, array.strides, first.strides))
