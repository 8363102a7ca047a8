"""The registry of kernels: faster versions of single primitives, each for one backend.

The reference version of a primitive stays in `functional/`; a kernel has the same name (without the
leading underscore), the same signature, and may have a guard:

    @kernel("numpy", "max_pool2d", when=lambda x, *, kernel_size, **_: kernel_size == (2, 2))
    def max_pool2d(x, *, kernel_size, stride, padding):
        ...
        return y, saved

A kernel that keeps the reference's `saved` overrides the forward alone; otherwise it brings its own
backward, with `@max_pool2d.backward`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.backend.compiled import numba_installed
from xpnn.backend.registry import Backend


class Kernel:
    """One version of one primitive for one backend."""

    __slots__ = ("backend", "backward_function", "defers", "forward", "name", "when")

    def __init__(
        self, backend: str, name: str, forward: Callable, when: Callable[..., bool] | None, defers: bool
    ) -> None:
        self.backend = backend
        self.name = name
        self.forward = forward
        self.when = when
        self.defers = defers
        self.backward_function: Callable | None = None

    def backward(self, function: Callable) -> Callable:
        """Decorate the kernel's own backward."""
        self.backward_function = function
        return function

    def __repr__(self) -> str:
        return f"<kernel {self.name} for {self.backend}>"


_kernels: dict[tuple[str, str], list[Kernel]] = {}
_loaded: set[str] = set()
_disabled = False


def kernel(
    backend: str, name: str, when: Callable[..., bool] | None = None, defers: bool = False
) -> Callable[[Callable], Kernel]:
    """Decorate a forward to register it for `backend` under the primitive's `name`.

    Args:
        when: is called as the forward would be, and says whether the kernel takes this call. Of several
            kernels of one name the one registered last is asked first.
        defers: whether it may return a promise in place of an array (see `Deferred`). Kernels that do are
            asked before those that don't.
    """

    def register(forward: Callable) -> Kernel:
        entry = Kernel(backend, name, forward, when, defers)
        others = _kernels.setdefault((backend, name), [])
        others.insert(0 if defers else sum(other.defers for other in others), entry)
        return entry

    return register


def find_kernels(backend: Backend, name: str) -> list[Kernel]:
    """The kernels of a primitive for a backend; the backend's kernel modules are imported first.

    Those that Numba compiles are imported last, so that they are asked first.

    The list is the registry's own: a kernel registered later appears in it.
    """
    if backend.name not in _loaded:
        if backend.kernels is not None:
            importlib.import_module(backend.kernels)
        if backend.compiled_kernels is not None and numba_installed():
            importlib.import_module(backend.compiled_kernels)
        _loaded.add(backend.name)
    return _kernels.setdefault((backend.name, name), [])


def choose_kernel(backend: Backend, name: str, *args: Any, **options: Any) -> Kernel:
    """The kernel that would compute a call of the primitive; for kernels that promise it.

    Raises: LookupError if none takes the call.
    """
    for entry in find_kernels(backend, name):
        if not entry.defers and (entry.when is None or entry.when(*args, **options)):
            return entry
    raise LookupError(f"no kernel {name} for {backend.name} takes this call")


def registered_kernels() -> list[Kernel]:
    """All kernels registered so far."""
    return [entry for entries in _kernels.values() for entry in entries]


def kernels_enabled() -> bool:
    """Whether kernels are used (see `reference_only`)."""
    return not _disabled


@contextmanager
def reference_only() -> Iterator[None]:
    """Run the reference version of every primitive inside of the block: the oracle of kernel tests."""
    global _disabled
    before, _disabled = _disabled, True
    try:
        yield
    finally:
        _disabled = before
