"""Functions that Numba compiles when they are first needed.

    @compiled_function
    def _scale(x: In1, factor: Real, y: Out1) -> None:
        for i in range(x.size):
            y[i] = x[i] * factor

The annotations are the signature, of which there is one version for float32 and one for float64, with arrays
in C order. So nothing is compiled for the many ways in which an array can lie in memory: who calls passes
views that are in C order. The functions run without Python's global lock and know nothing of threads;
`parallel` calls them on the parts of a batch.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from xpnn.backend import COMPILED, kernel, numba_switch, optional_import
from xpnn.kernels.numba.cache import announce, cache_folder, is_sound, kept_in, warn_not_kept

# What the annotations of compiled functions stand for: arrays of so many axes, read or written, and numbers,
# all of the one element type that the version is for; labels and indices; masks.
In1: TypeAlias = np.ndarray
In2: TypeAlias = np.ndarray
In3: TypeAlias = np.ndarray
In4: TypeAlias = np.ndarray
Out1: TypeAlias = np.ndarray
Out2: TypeAlias = np.ndarray
Out3: TypeAlias = np.ndarray
Out4: TypeAlias = np.ndarray
Strided4: TypeAlias = np.ndarray  # read, in any order of memory
OutStrided4: TypeAlias = np.ndarray
Sums2: TypeAlias = np.ndarray  # written, always float64
Labels: TypeAlias = np.ndarray
Places: TypeAlias = np.ndarray  # pairs of offsets
Mask: TypeAlias = np.ndarray
NewMask: TypeAlias = np.ndarray
Real: TypeAlias = Any
Integer: TypeAlias = Any

# Results may differ in their last digits from what the order of operations in the source would give, so that
# sums are made in several lanes. NaN and infinity count as numbers ("nnan" and "ninf" are left out).
_FAST_SUMS = {"reassoc", "contract", "nsz", "arcp"}
_AS_WRITTEN = {"contract"}

_lock = threading.RLock()  # compile one function at a time; a signal's handler may need one, too


class Compiled:
    """A function and its compiled versions."""

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        self.function: Any = function
        self.options = options
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self._dispatcher: Any = None
        self._ready: set[Any] = set()

    def __call__(self, *args: Any) -> Any:
        """Call the version for these arguments, which `prepare` has made ready."""
        return self._dispatcher(*args)

    def prepare(self, dtype: np.dtype) -> None:
        """Compile the version for `dtype`, or read it from the cache.

        Raises: ImportError or one of Numba's errors.
        """
        if dtype in self._ready:
            return
        with _lock:
            if dtype not in self._ready:
                self._compile(dtype)
                self._ready.add(dtype)

    def _compile(self, dtype: np.dtype) -> None:
        numba = optional_import("numba", extra="numba")
        folder = cache_folder(f"{self.__name__}-{dtype}", self._sources())
        if folder is None or not is_sound(folder):
            announce()
        if self._dispatcher is None:
            self._dispatcher = self._twin(numba)
        self._dispatcher.disable_compile(False)
        try:
            with nullcontext() if folder is None else kept_in(folder) as used:
                if used is not None:
                    _keep(numba, self._dispatcher, str(used))
                self._dispatcher.compile(_signature(numba, self.function.__annotations__, dtype))
        except OSError as error:  # the disk is full, or the folder is gone
            warn_not_kept(str(error))
            self._dispatcher = self._twin(numba)
            for version in {*self._ready, dtype}:
                self._dispatcher.compile(_signature(numba, self.function.__annotations__, version))
        self._dispatcher.disable_compile()

    def _twin(self, numba: Any) -> Any:
        """Numba's version of the function, not compiled yet, that calls Numba's versions of others."""
        function = self.function
        names = {name: other._inner(numba) for name, other in self._called()}
        twin = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)
        return numba.njit(nogil=True, error_model="numpy", **self.options)(twin)

    def _inner(self, numba: Any) -> Any:
        """What another compiled function calls: compiled with it, for the types that it passes."""
        if self._dispatcher is None:
            self._dispatcher = self._twin(numba)
        return self._dispatcher

    def _called(self) -> Iterator[tuple[str, Compiled | Emitted]]:
        for name in self.function.__code__.co_names:
            other = self.function.__globals__.get(name)
            if isinstance(other, Compiled | Emitted):
                yield name, other

    def _sources(self) -> frozenset[str]:
        """The files that its code depends on."""
        own = frozenset({__file__, self.function.__code__.co_filename})
        return own.union(*(other._sources() for _, other in self._called()))


class Emitted:
    """Instructions that compiled functions call like a function, written down for LLVM.

    Args:
        make: is called once Numba is loaded, and returns what `numba.extending.intrinsic` makes.
        sources: further files that the instructions depend on.
    """

    def __init__(self, make: Callable[[], Any], *sources: str) -> None:
        self.make = make
        self.sources = sources
        self.__doc__ = make.__doc__
        self._made: Any = None

    def __call__(self, *args: Any) -> Any:
        """Never: only compiled functions call it, as what `make` returns."""
        raise TypeError("instructions for LLVM are called by compiled functions alone")

    def _inner(self, numba: Any) -> Any:
        if self._made is None:
            self._made = self.make()
        return self._made

    def _sources(self) -> frozenset[str]:
        return frozenset({self.make.__code__.co_filename, *self.sources})


def compiled_function(function: Callable) -> Compiled:
    """Decorate a function that Python calls, with annotated arguments; its result is None or a number."""
    return Compiled(function, {"fastmath": _FAST_SUMS})


def shared(function: Callable) -> Compiled:
    """Decorate a large function that several compiled functions call."""
    return Compiled(function, {"fastmath": _AS_WRITTEN})


def inlined(function: Callable) -> Compiled:
    """Decorate a function that compiled functions call: a part of them, computed as it is written."""
    return Compiled(function, {"fastmath": _AS_WRITTEN, "forceinline": True})


def inlined_loop(function: Callable) -> Compiled:
    """The same for a function with sums in it, which may be made in any order."""
    return Compiled(function, {"fastmath": _FAST_SUMS, "forceinline": True})


def compiled_kernel(
    name: str,
    *functions: Compiled,
    when: Callable[..., bool] | None = None,
    dtypes: tuple[str, ...] = ("float32", "float64"),
) -> Callable:
    """Register a kernel of the NumPy backend, asked while compiled kernels are on.

    Args:
        functions: what the kernel and its backward call. They are compiled before the kernel takes its first
            call; where that fails, plain NumPy takes it.
        when: the kernel's own guard.
        dtypes: the element types that it takes.
    """
    guard = compiled_guard(*functions, when=when, dtypes=dtypes)
    return kernel("numpy", name, when=guard, priority=COMPILED)


def compiled_guard(
    *functions: Compiled,
    when: Callable[..., bool] | None = None,
    dtypes: tuple[str, ...] = ("float32", "float64"),
) -> Callable[..., bool]:
    """A guard that is true while compiled kernels are on, for calls whose functions can run.

    Args: as of `compiled_kernel`.
    """
    taken = frozenset(np.dtype(dtype) for dtype in dtypes)

    def guard(*args: Any, **options: Any) -> bool:
        if not numba_switch.numba_enabled():  # first: it costs the least
            return False
        for arg in args:
            dtype = getattr(arg, "dtype", None)
            if dtype is not None and dtype.kind == "f":
                break
        else:
            return False
        if dtype not in taken:
            return False
        if when is not None and not when(*args, **options):
            return False
        return can_run(functions, dtype)

    return guard


def can_run(functions: tuple[Compiled, ...], dtype: Any) -> bool:
    """Compile what isn't yet; if it fails, compiled kernels are off from now on."""
    try:
        for function in functions:
            function.prepare(dtype)
    except MemoryError:
        raise
    except Exception as error:  # of which Numba has many kinds
        numba_switch.give_up(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
        return False
    return True


def _keep(numba: Any, dispatcher: Any, folder: str) -> None:
    """Have a dispatcher keep its code in `folder`; Numba reads the setting in this moment."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder
    try:
        dispatcher.enable_caching()
    finally:
        numba.config.CACHE_DIR = before


def _signature(numba: Any, annotations: dict[str, str], dtype: np.dtype) -> tuple:
    """Numba's types of a function's arguments, of the version for `dtype`."""
    types = numba.types
    real = numba.from_dtype(dtype)

    def array(element: Any, axes: int, given: bool) -> Any:
        return types.Array(element, axes, "C", readonly=given)

    meanings = {
        "Real": real,
        "Integer": types.intp,
        "Labels": array(types.int64, 1, True),
        "Places": array(types.int64, 2, True),
        "Strided4": types.Array(real, 4, "A", readonly=True),
        "OutStrided4": types.Array(real, 4, "A"),
        "Mask": array(types.boolean, 1, True),
        "NewMask": array(types.boolean, 1, False),
        "Sums2": array(types.float64, 2, False),
        **{f"In{axes}": array(real, axes, True) for axes in (1, 2, 3, 4)},
        **{f"Out{axes}": array(real, axes, False) for axes in (1, 2, 3, 4)},
    }
    return tuple(meanings[kind] for name, kind in annotations.items() if name != "return")


if hasattr(os, "register_at_fork"):  # Numba's own state would be what another thread left half done
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
