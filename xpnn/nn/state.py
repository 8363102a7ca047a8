"""What `Module.state_dict`, `load_state_dict` and `to` do: state out, state in, and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from xpnn.autograd import Tensor
from xpnn.backend import (
    Array,
    Backend,
    CheckpointError,
    DTypeError,
    backend_of,
    dtype_name,
    find_backend,
    get_backend,
    get_device,
    is_array,
    is_floating,
    move,
    registered_backends,
    to_numpy,
)
from xpnn.nn.parameter import Buffer, Parameter, Uninitialized, copy_like, held_array, raw_array

__all__ = ["IncompatibleKeys"]

Module = Any  # the class in `module.py`, which is built from these functions

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_LISTED = 8  # entries of one kind that an error names, before it only counts the rest


class IncompatibleKeys(NamedTuple):
    """The names that a state dict lacked, and those that it had too many."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Target(NamedTuple):
    """Where `Module.to` moves to; None leaves what there is."""

    backend: Backend | None
    device: Any
    dtype: str | None


def state_of(module: Module, prefix: str) -> dict[str, Tensor]:
    """Detached copies of the parameters and persistent buffers by dotted name."""
    return {prefix + name: _copied(tensor) for name, tensor in _persistent(module)}


def _copied(tensor: Tensor) -> Tensor:
    if isinstance(tensor, Uninitialized):
        return tensor.like(tensor)
    return Tensor(copy_like(tensor.array, tensor.array))


def check_state(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Compare every entry of `state` with the module, and raise with a list of all that does not fit."""
    if not isinstance(state, Mapping):
        raise DTypeError(
            f"expects a state dict of arrays by name, got {type(state).__name__}",
            subject=type(module).__name__,
        )
    own = dict(_persistent(module))
    # Statistics written before PyTorch 0.4.1 lack the count of batches; it only matters for momentum=None.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    problems = _listed("missing", missing) + _listed("unexpected", unexpected) if strict else []
    problems += _listed("mismatched", [text for name in own if (text := _mismatch(name, own[name], state))])
    if problems:
        raise CheckpointError(
            "\n    ".join(["cannot load this state dict, nothing was changed:", *problems]),
            subject=type(module).__name__,
        )
    return IncompatibleKeys(missing, unexpected)


def load_state(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Check every entry of `state` against the module, then take over all of them or none."""
    incompatible = check_state(module, state, strict)
    # Copies first: what fails for want of memory, or is interrupted, has changed nothing either.
    copies = [
        (tensor, copy_like(raw_array(state[name]), held_array(tensor)))
        for name, tensor in _persistent(module)
        if name in state and not isinstance(state[name], Uninitialized)
    ]
    for tensor, copy in copies:
        tensor.put(copy)
    return incompatible


def parse_target(args: tuple, backend: Any, device: Any, dtype: Any) -> Target:
    """Tell the positional arguments of `Module.to` apart: a backend's name, an element type, a device."""
    names = {known.name for known in registered_backends()}
    for arg in args:
        if isinstance(arg, str) and arg in names:
            backend = arg
        elif _is_dtype(arg):
            dtype = arg
        else:
            device = arg
    if dtype is not None:
        dtype = dtype_name(dtype)
        if dtype not in _FLOATS:
            raise DTypeError(f"expects a floating-point dtype, got {dtype}", subject="Module.to")
    if backend is None:
        return Target(None, device, dtype)
    found = find_backend(str(backend))
    found.check()
    if device is None and found is get_backend():
        return Target(found, get_device(), dtype)
    return Target(found, found.find_device(device), dtype)


def relocate(tensor: Tensor, target: Target) -> None:
    """Move a Tensor and its gradient, leaving the objects what they are."""
    tensor.data = _moved(held_array(tensor), target)
    if tensor.grad is not None:
        relocate(tensor.grad, target)


def _moved(array: Array, target: Target) -> Array:
    backend = target.backend or backend_of(array)
    device = target.device
    if target.backend is None and device is not None:
        device = backend.find_device(device)
    return move(array, backend, device, target.dtype if is_floating(array) else None)


def _is_dtype(arg: Any) -> bool:
    if isinstance(arg, str):
        return arg in _FLOATS
    try:
        return arg is not None and bool(dtype_name(arg))
    except DTypeError:
        return False


def _persistent(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers in the order of PyTorch's state dicts: module by module."""
    for path, part in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        yield from part.named_parameters(prefix=path, recurse=False, remove_duplicate=False)
        for name, buffer in vars(part).items():
            if isinstance(buffer, Buffer) and buffer.persistent:
                yield prefix + name, buffer


def _mismatch(name: str, own: Parameter | Buffer | Tensor, state: Mapping[str, Any]) -> str:
    """What is wrong with the entry for `own`; empty if it fits or is not there."""
    if name not in state:
        return ""
    value = state[name]
    if not is_array(value):
        return f"'{name}' expects an array, got {type(value).__name__}"
    if isinstance(value, Uninitialized):
        return "" if isinstance(own, Uninitialized) else f"'{name}' is not initialised in the state dict"
    if isinstance(own, Uninitialized):
        return ""
    if tuple(value.shape) != own.shape:
        return f"'{name}' expects the shape {own.shape}, got {tuple(value.shape)}"
    if _kind(own) < _kind(value) and not (_kind(value) == 1 and _are_whole(value)):
        return f"'{name}' expects {dtype_name(own.dtype)}, got {dtype_name(value.dtype)}"
    return ""


def _kind(array: Array | Tensor) -> int:
    """0 for integers and booleans, 1 for floats, 2 for complex numbers: a kind holds those below it."""
    name = dtype_name(array.dtype)
    return 2 if name.startswith("complex") else int("float" in name)


def _are_whole(floats: Array | Tensor) -> bool:
    """Whether integers lose nothing of them: counters come as floats where all of a state was made floats."""
    values = to_numpy(floats)
    return bool(((abs(values) < 2**63) & (values.round() == values)).all())


def _listed(kind: str, entries: list[str]) -> list[str]:
    """A line of a report; long lists are cut."""
    if not entries:
        return []
    rest = f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else ""
    return [f"{kind} ({len(entries)}): {', '.join(entries[:_LISTED])}{rest}"]
