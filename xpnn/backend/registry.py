"""Which array libraries there are, and which one new arrays are made with.

Computation dispatches on the arrays that it is given; the *current* backend only decides where new
arrays are made. `set_backend` sets the default of the whole process, `use_backend` overrides it for a
block of one thread.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

import array_api_compat
import numpy as np

from xpnn.backend.devices import device as device_type
from xpnn.backend.errors import ArgumentError, BackendError, XpnnError, nearest
from xpnn.backend.scope import remove_last, scoped

Array = Any  # an array of any library that speaks the Array API standard


class AnyArray(Protocol):
    """For type checkers: what a Tensor and the arrays of all libraries have."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def dtype(self) -> Any:
        """The element type, as the library names it."""

    def __getitem__(self, index: Any) -> Any: ...


ArrayT = TypeVar("ArrayT", bound=AnyArray)  # what goes in comes out: a Tensor, or an array of a library


class Copier(Protocol):
    """Copies arrays from the host to a device beside its other work, for one pass over some data."""

    def start(self, host: np.ndarray) -> Array:
        """Begin a copy, in any thread; what it returns must not be used before `arrive`."""

    def arrive(self, array: Array) -> None:
        """Let the work that this thread gives the device from now on wait for the copy into an array."""

    def close(self) -> None:
        """Wait for all copies that were begun."""


class Compiler(NamedTuple):
    """A library's just-in-time compiler.

    Attributes:
        compile: takes a pure function of arrays in nested lists and dicts and returns its compiled form,
            which destroys the arrays of the first argument, to write its results there.
        refusals: what it raises when the function asks for a value that is not known while tracing.
        on_request: whether it compiles only what asks for it, by `mode="reduce-overhead"`, for fixed numbers
            among the arguments, and gives up where it refuses.
    """

    compile: Callable[[Callable[..., Any]], Callable[..., Any]]
    refusals: tuple[type[Exception], ...]
    on_request: bool = False


@dataclass(frozen=True)
class Gpu:
    """What a library tells of the CUDA GPUs of this machine.

    Attributes:
        count: how many it can compute on. name: what one is called, by its number.
        synchronize: waits until all work is done. empty_cache: gives memory back that is not in use.
        memory_allocated, max_memory_allocated: the bytes that arrays take now, and took at most.
    """

    count: Callable[[], int]
    name: Callable[[int], str]
    synchronize: Callable[[], None] = lambda: None
    empty_cache: Callable[[], None] = lambda: None
    memory_allocated: Callable[[], int] = lambda: 0
    max_memory_allocated: Callable[[], int] = lambda: 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Backend:
    """An array library, and what the Array API standard leaves open about it.

    The first four are needed, all else has a portable form that serves where a field is left out. A library
    that xpnn does not know takes a call:

        register_backend(Backend(
            "mine", packages=("mine",), load=lambda: importlib.import_module("mine"),
            install="pip install mine", to_numpy=lambda array: array.to_host(), several_devices=True,
        ))

    Args:
        name: what `set_backend` is given.
        packages: the packages that must be importable; an array belongs to this backend when its type
            comes from one of them.
        load: imports the library and returns its Array API namespace.
        install: the command that installs it.
        to_numpy: copies one of its arrays to the host. Left out, it is `numpy.asarray`.

        device_of: the device of an array, in the form that creation functions take as `device=`. Left out, it
            is asked as the standard says (`array.device`).
        parse_device: turns a user's word (`"cpu"`, `"cuda:1"`, `0`, `None`) into the library's device.
        device_name: the word of one of the library's devices: "cpu", "cuda:1". Left out, it is its `str()`.
        probe: raises BackendError if the library is there but cannot compute (no GPU); else returns a
            word on the device. Left out, a small array is made.
        gpu: what it tells of GPUs, made when it is asked for. Left out, it computes on none.
        several_devices: whether two of its arrays can live on different devices.
        mutable: whether an array can be written in place; if not, it has JAX's `array.at[index]`.
        as_array: turns a 0-d result into an array, where the library returns scalars instead (NumPy).
        admit: is given each array that a user hands in, and returns what may be computed with: itself, or a
            conversion of it. Raises DTypeError or GradientError for an array that results would be wrong of.
        owns_memory: whether an array may be written into without anybody seeing it through another one.
            Left out, an array is copied first.
        end_of_step: is given the arrays that an optimizer has updated: a lazy library computes them there,
            before its graph of delayed operations grows from step to step.

        ones_like: ones of an array's shape, element type and device.
        index_add: `index_add(values, indices, count)`: zeros (count, ...) with `values[k]` added at
            `indices[k]`. Left out, it is a product with a one-hot matrix.
        complex_of: `complex_of(real, imag, dtype)`: complex numbers of their parts. Left out, a sum with i
            times the second part, in which an infinity becomes NaN.
        erfc: the complementary error function. Left out, a series.
        uniform: `uniform(shape, like, seed, counter)`: float32 numbers in [0, 1) from a generator of the
            library's own, a function of seed and counter, on the device of `like`; for `set_rng("native")`.
        compiler: the library's just-in-time compiler, made when it is asked for.

        nccl: the module that speaks to NCCL as CuPy's `cupy.cuda.nccl` does, for arrays that go from GPU to
            GPU. Left out, arrays of several processes go through host memory.
        copier: `copier(device)` copies arrays from the host beside other work, where a library can do that.

        kernels: the module that registers the library's kernels, imported at its first use.
        numba_kernels: the same for kernels that need Numba, imported where it is installed.
    """

    name: str = field(kw_only=False)
    packages: tuple[str, ...] = field(kw_only=False)
    load: Callable[[], ModuleType] = field(kw_only=False)
    install: str = field(kw_only=False)
    to_numpy: Callable[[Array], Any] = field(default=np.asarray, kw_only=False)
    device_of: Callable[[Array], Any] = array_api_compat.device
    parse_device: Callable[[Any], Any] = lambda device: device
    device_name: Callable[[Any], str] = str
    probe: Callable[[], str] | None = None
    gpu: Callable[[], Gpu] | None = None
    several_devices: bool = False
    mutable: bool = True
    as_array: Callable[[Any], Array] | None = None
    admit: Callable[[Array], Array] = lambda array: array
    owns_memory: Callable[[Array], bool] = lambda array: False
    end_of_step: Callable[[list[Array]], None] | None = None
    ones_like: Callable[[Array], Array] | None = None
    index_add: Callable[[Array, Array, int], Array] | None = None
    complex_of: Callable[[Array, Array, Any], Array] | None = None
    erfc: Callable[[Array], Array] | None = None
    uniform: Callable[[tuple[int, ...], Array, int, int], Array] | None = None
    compiler: Callable[[], Compiler] | None = None
    nccl: str | None = None
    copier: Callable[[Any], Copier] | None = None
    kernels: str | None = None
    numba_kernels: str | None = None

    @cached_property
    def xp(self) -> ModuleType:
        """The Array API namespace; the library is imported the first time that it is asked for."""
        missing = [package for package in self.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise BackendError(
                f"backend '{self.name}' needs the package {' and '.join(missing)}, which is not installed",
                hint=f"Install it with: {self.install}. Available now: {_installed()}",
            )
        try:
            return self.load()
        except ImportError as error:
            raise BackendError(
                f"backend '{self.name}' is installed, but cannot be imported: {error}",
                hint=f"Reinstall it with: {self.install}",
            ) from error

    def find_device(self, device: Any) -> Any:
        """The library's device that a user's word names. Raises: ArgumentError where there is none."""
        if isinstance(device, device_type):
            device = device.word if device.native is None else device.native
        try:
            return self.parse_device(device)
        except XpnnError:
            raise
        except Exception as error:
            raise ArgumentError(f"backend '{self.name}' has no device {device!r:.60}: {error}") from error

    def check(self) -> str:
        """A word on its device. Raises: BackendError if the library cannot compute here (see `probe`)."""
        try:
            return str(self.device_of(self.xp.zeros(1))) if self.probe is None else self.probe()
        except BackendError:
            raise
        except Exception as error:
            raise BackendError(
                f"backend '{self.name}' cannot compute here: {type(error).__name__}: {error}",
                hint="xpnn.set_backend('numpy') computes on the CPU",
            ) from error

    def __str__(self) -> str:
        return self.name


class BackendStatus(NamedTuple):
    """Whether a backend can be used, and its version and device, or the reason why not."""

    available: bool
    detail: str

    def __str__(self) -> str:
        return ("available: " if self.available else "not available: ") + self.detail


class _Local(threading.local):
    """The stack of `use_backend` blocks of one thread."""

    def __init__(self) -> None:
        self.stack: list[tuple[Backend, Any]] = []


_BACKENDS: dict[str, Backend] = {}
_process_default: list[tuple[Backend, Any]] = []
_local = _Local()
_at_registration: list[Callable[[str], None]] = []


def register_backend(backend: Backend) -> None:
    """Make an array library known by `backend.name`; a later registration replaces an earlier one.

    >>> register_backend(Backend("mine", ("numpy",), lambda: __import__("numpy"), "pip install numpy", list))
    >>> "mine" in available_backends()
    True
    >>> _ = _BACKENDS.pop("mine")
    """
    _BACKENDS[backend.name] = backend
    for forget in _at_registration:
        forget(backend.name)
    if _process_default and _process_default[0][0].name == backend.name:
        _process_default[:] = [(backend, None)]


def at_registration(forget: Callable[[str], None]) -> Callable[[str], None]:
    """Decorate what is called with the name of a backend that is registered: to forget the earlier one."""
    _at_registration.append(forget)
    return forget


def set_backend(name: str, device: Any = None) -> None:
    """Make new arrays with the library `name` (on `device`) from now on, in the whole process.

    Args:
        name: `"numpy"`, `"cupy"`, `"torch"`, `"jax"`, `"array_api_strict"`, `"dpnp"`,
            `"mlx"`, or a registered one.
        device: the library's word for a device (`"cuda:1"`, `1`, a device object); None is its default.

    Raises: BackendError if the library is unknown, not installed, or finds no device.

    >>> set_backend("numpy")
    >>> get_backend().name
    'numpy'
    """
    _process_default[:] = [_open(name, device)]


@scoped
def use_backend(name: str, device: Any = None) -> Iterator[Backend]:
    """Make new arrays with the library `name` inside of a `with` block, in this thread only.

    >>> with use_backend("numpy", device="cpu") as backend:
    ...     backend.name
    'numpy'
    """
    stack, entry = _local.stack, _open(name, device)
    stack.append(entry)
    try:
        yield entry[0]
    finally:
        remove_last(stack, entry)


device_type.block_on = staticmethod(lambda word: use_backend(get_backend().name, word))


def set_default_device(device: Any) -> None:
    """Make new arrays on another device of the current library from now on; None is the library's default.

    Raises: BackendError for a device that there is not, and in a `use_backend` block, whose device is fixed.

    >>> set_default_device("cpu")
    """
    if _local.stack:
        raise BackendError(
            "has no effect inside of a use_backend block",
            subject="set_default_device",
            hint="Name the device there: use_backend(name, device)",
        )
    set_backend(get_backend().name, device)


def get_backend() -> Backend:
    """The backend that new arrays are made with. `str()` of it is its name."""
    return _current()[0]


def get_device() -> Any:
    """The device that new arrays are made on; None is the library's own default."""
    return _current()[1]


def find_backend(name: str) -> Backend:
    """The registered backend of that name. Raises: BackendError, with the names that there are."""
    if name not in _BACKENDS:
        known = ", ".join(repr(known) for known in _BACKENDS)
        close = nearest(str(name), _BACKENDS)
        meant = f"Did you mean '{close}'? " if close else ""
        raise BackendError(
            f"backend {name!r} is unknown; there are {known}",
            hint=f"{meant}A library of your own can be added with xpnn.register_backend(...)",
        )
    return _BACKENDS[name]


def registered_backends() -> tuple[Backend, ...]:
    """All registered backends, installed or not."""
    return tuple(_BACKENDS.values())


def available_backends() -> dict[str, BackendStatus]:
    """The registered backends, each with its version and device, or why it cannot be used.

    Libraries are looked up without importing them; only a GPU library is imported, because nothing
    less tells whether a device answers.

    >>> available_backends()["numpy"].available
    True
    """
    return {name: _status(backend) for name, backend in _BACKENDS.items()}


def _current() -> tuple[Backend, Any]:
    if _local.stack:
        return _local.stack[-1]
    if not _process_default:
        _process_default.append(_open("numpy", None))
    return _process_default[0]


def _open(name: str, device: Any) -> tuple[Backend, Any]:
    backend = find_backend(name)
    _ = backend.xp  # import it now: a missing library is reported where it was asked for
    backend.check()
    return backend, backend.find_device(device)


def _status(backend: Backend) -> BackendStatus:
    missing = [package for package in backend.packages if importlib.util.find_spec(package) is None]
    if missing:
        return BackendStatus(False, f"{', '.join(missing)} not installed ({backend.install})")
    try:
        return BackendStatus(True, f"{_version(backend.packages[0])}, {backend.check()}")
    except BackendError as error:
        return BackendStatus(False, str(error))


def _installed() -> str:
    return ", ".join(name for name, status in available_backends().items() if status.available)


def _version(package: str) -> str:
    metadata = importlib.import_module("importlib.metadata")  # which loads e-mail and archives: when asked
    distributions = metadata.packages_distributions().get(package, [package])
    try:
        return f"{package} {metadata.version(distributions[0])}"
    except metadata.PackageNotFoundError:
        return package
