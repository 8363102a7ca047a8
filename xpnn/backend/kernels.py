"""The registry of kernels: faster versions of single primitives, each for one backend.

The reference version of a primitive stays in `functional/`. A kernel is registered under the primitive's name
(see `Primitive.name`) and is called as the reference's forward is:

    @kernel("numpy", "max_pool2d", when=lambda x, *, kernel_size, **_: kernel_size == (2, 2))
    def max_pool2d(x, *, kernel_size, stride, padding):
        ...
        return y, saved

    @max_pool2d.backward
    def max_pool2d_backward(gy, saved, needs, *, kernel_size, stride, padding):
        ...
        return (gx,)

The forward takes arrays and keyword-only options, and returns the output (or a tuple of outputs) and a tuple
of what the backward needs. It obeys the rules of a reference: it writes into no argument, and returns no
memory that another call will use.

`saved` and the backward go together. A kernel without a backward saves what the reference saves, and the
reference's backward follows it. A kernel with its own may save what it likes; second derivatives are then
made by the reference, from the inputs. Where its own backward serves but `saved` is the reference's too, the
mark `saves_as_reference` on it tells the tape so.

Of several kernels the one with the highest priority whose guard takes the call computes it: `choose` decides
that, and nothing else does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from xpnn.backend.kernel_switch import switched_off
from xpnn.backend.numba_switch import numba_installed
from xpnn.backend.registry import Backend, at_registration
from xpnn.backend.scope import scoped

# Kernels that Numba compiles are asked before NumPy's own.
COMPILED = 10


class Kernel:
    """One version of one primitive for one backend."""

    __slots__ = ("backend", "backward_function", "forward", "half", "name", "priority", "when")

    def __init__(
        self,
        backend: str,
        name: str,
        forward: Callable,
        when: Callable[..., bool] | None,
        priority: int,
        half: Callable[..., bool] | None = None,
    ) -> None:
        self.backend = backend
        self.name = name
        self.forward = forward
        self.when = when
        self.priority = priority
        self.half = half
        self.backward_function: Callable | None = None

    def backward(self, function: Callable) -> Callable:
        """Decorate the kernel's own backward."""
        self.backward_function = function
        return function

    def __repr__(self) -> str:
        return f"<kernel {self.name} for {self.backend}>"


_kernels: dict[tuple[str, str], list[Kernel]] = {}
_loaded: set[str] = set()
_disabling: list[None] = []  # one for each `reference_only` block


def kernel(
    backend: str,
    name: str,
    when: Callable[..., bool] | None = None,
    priority: int = 0,
    half: Callable[..., bool] | None = None,
) -> Callable[[Callable], Kernel]:
    """Decorate a forward to register it for `backend` under the primitive's `name`.

    Args:
        when: the guard: is called as the forward would be, and says whether the kernel takes this call.
        priority: kernels with a higher one are asked first; of equal ones, that which was registered last.
        half: a guard for calls in half precision that it takes as they are, summing up in float32. For others
            it is given float32, where the primitive does not take half precision itself.
    """

    def register(forward: Callable) -> Kernel:
        entry = Kernel(backend, name, forward, when, priority, half)
        if switched_off(forward.__module__):
            return entry
        entries = _kernels.setdefault((backend, name), [])
        entries.insert(0, entry)
        entries.sort(key=lambda other: other.priority, reverse=True)
        return entry

    return register


def find_kernels(backend: Backend, name: str) -> list[Kernel]:
    """The kernels of a primitive for a backend; the backend's kernel modules are imported first.

    The list is the registry's own, in the order in which they are asked: a kernel registered later appears in
    it.
    """
    load_kernels(backend)
    return _kernels.setdefault((backend.name, name), [])


def load_kernels(backend: Backend) -> None:
    """Import the backend's kernel modules; those that Numba compiles last, so that they are asked first."""
    if backend.name not in _loaded:
        if backend.kernels is not None:
            importlib.import_module(backend.kernels)
        if backend.numba_kernels is not None and numba_installed():
            importlib.import_module(backend.numba_kernels)
        _loaded.add(backend.name)


@at_registration
def _forget(name: str) -> None:
    _loaded.discard(name)


def choose(kernels: list[Kernel], args: Sequence[Any], options: dict[str, Any]) -> Kernel | None:
    """The kernel of those that `find_kernels` found that computes a call; None leaves it to the reference."""
    for entry in kernels:
        if entry.when is None or entry.when(*args, **options):
            return entry
    return None


def choose_kernel(backend: Backend, name: str, *args: Any, **options: Any) -> Kernel:
    """The kernel that computes a call of the primitive.

    Raises: LookupError if none takes the call.
    """
    entry = choose(find_kernels(backend, name), args, options)
    if entry is None:
        raise LookupError(f"no kernel {name} for {backend.name} takes this call")
    return entry


def saves_as_reference(backward: Callable) -> Callable:
    """Mark a kernel's backward whose forward saves what the reference saves.

    The second derivative then comes from what was saved, and the inputs need not be kept for a replay.
    """
    backward.saves_as_reference = True  # type: ignore[attr-defined]
    return backward


def shares_saved(backward: Callable) -> bool:
    """Whether a backward is marked by `saves_as_reference`."""
    return getattr(backward, "saves_as_reference", False)


def registered_kernels() -> list[Kernel]:
    """All kernels registered so far."""
    return [entry for entries in _kernels.values() for entry in entries]


def kernels_enabled() -> bool:
    """Whether kernels are used (see `reference_only`)."""
    return not _disabling


@scoped
def reference_only() -> Iterator[None]:
    """Run the reference version of every primitive inside of the block: the oracle of kernel tests.

    It holds for the whole process, until the last of the blocks that overlap has ended.
    """
    _disabling.append(None)
    try:
        yield
    finally:
        _disabling.pop()
