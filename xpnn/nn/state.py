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
    device_of,
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
_EXTRA = "_extra_state"
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


def state_of(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Put the parameters and persistent buffers, off the tape, into `destination`, by dotted name.

    They share their elements with the module; with `keep_vars` they are the module's own.
    """
    hooks = module._hooks
    for hook in list(hooks.saving.values()) if hooks else ():
        hook(module, prefix, keep_vars)
    for name, tensor in _own_state(module):
        destination[prefix + name] = tensor if keep_vars else _off_the_tape(tensor)
    if module.keeps_extra_state():
        destination[prefix + _EXTRA] = module.get_extra_state()
    for name, part in module.named_parts():
        part.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in list(hooks.saved.values()) if hooks else ():
        replaced = hook(module, destination, prefix, {})
        if replaced is not None:
            destination = replaced
    return destination


def _off_the_tape(tensor: Tensor) -> Tensor:
    if isinstance(tensor, Uninitialized):
        return tensor.like(tensor)
    return tensor.detach()


def check_state(module: Module, state: Mapping[str, Any], strict: bool) -> None:
    """Compare every entry of `state` with the module, and raise with a list of all that does not fit."""
    seen = _prepared(module, state, strict)
    _raise_for(module, [*(_misfits(seen) if strict else ()), *seen.problems])


def load_state(module: Module, state: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Check every entry of `state` against the module, then take over all of them or none.

    Hooks that are called after loading may take names off the lists of those that do not fit. Where there are
    any, missing and unexpected names are therefore only complained of at the end.
    """
    seen = _prepared(module, state, strict)
    after = [(part, hook) for part, hook in _hooks_of(module, "loaded")]
    late = strict and bool(after)
    _raise_for(module, [*(_misfits(seen) if strict and not late else ()), *seen.problems])
    # Copies first: what fails for want of memory, or is interrupted, has changed nothing either.
    copies = [
        (tensor, raw_array(value) if assign else copy_like(raw_array(value), held_array(tensor)))
        for name, tensor in _persistent(module)
        if not isinstance(value := seen.state.get(name), Uninitialized | None)
    ]
    for tensor, copy in copies:
        tensor.store(copy)
    for path, part in module.named_modules(remove_duplicate=False):
        name = f"{path}.{_EXTRA}" if path else _EXTRA
        if part.keeps_extra_state() and name in seen.state:
            part.set_extra_state(seen.state[name])
    incompatible = IncompatibleKeys(seen.missing, seen.unexpected)
    for part, hook in after:
        hook(part, incompatible)
    if late and (incompatible.missing_keys or incompatible.unexpected_keys):
        _raise_for(module, _misfits(seen), changed=True)
    return incompatible


class _Seen(NamedTuple):
    """A state dict as its hooks left it, and what does not fit."""

    state: dict[str, Any]
    missing: list[str]
    unexpected: list[str]
    problems: list[str]


def _prepared(module: Module, state: Mapping[str, Any], strict: bool) -> _Seen:
    if not isinstance(state, Mapping):
        raise DTypeError(
            f"expects a state dict of arrays by name, got {type(state).__name__}",
            subject=type(module).__name__,
        )
    seen, metadata = _Seen(dict(state), [], [], []), getattr(state, "_metadata", None) or {}
    for path, part in module.named_modules(remove_duplicate=False):
        for hook in list(part._hooks.loading.values()) if part._hooks else ():
            prefix = f"{path}." if path else ""
            words = (metadata.get(path, {}), strict, seen.missing, seen.unexpected, seen.problems)
            hook(part, seen.state, prefix, *words)
    own = dict(_persistent(module))
    extra = [f"{path}.{_EXTRA}" if path else _EXTRA for path, part in _with_extra_state(module)]
    # Statistics written before PyTorch 0.4.1 lack the count of batches; it only matters for momentum=None.
    needed = [name for name in own if not name.endswith("num_batches_tracked")] + extra
    seen.missing.extend(name for name in needed if name not in seen.state)
    seen.unexpected.extend(name for name in seen.state if name not in own and name not in extra)
    misfits = [text for name in own if (text := _mismatch(name, own[name], seen.state))]
    seen.problems.extend(_listed("mismatched", misfits))
    return seen


def _misfits(seen: _Seen) -> list[str]:
    return _listed("missing", seen.missing) + _listed("unexpected", seen.unexpected)


def _raise_for(module: Module, problems: list[str], changed: bool = False) -> None:
    if problems:
        outcome = "the rest was loaded" if changed else "nothing was changed"
        raise CheckpointError(
            "\n    ".join([f"cannot load this state dict, {outcome}:", *problems]),
            subject=type(module).__name__,
        )


def _hooks_of(module: Module, kind: str) -> Iterator[tuple[Module, Any]]:
    """The hooks of a module and all below it, those of the parts first."""
    for part in reversed([part for _, part in module.named_modules(remove_duplicate=False)]):
        for hook in list(getattr(part._hooks, kind).values()) if part._hooks else ():
            yield part, hook


def _with_extra_state(module: Module) -> list[tuple[str, Module]]:
    return [(path, part) for path, part in module.named_modules() if part.keeps_extra_state()]


def parse_target(args: tuple, backend: Any, device: Any, dtype: Any) -> Target:
    """Tell the positional arguments of `Module.to` apart: a backend's name, an element type, a device.

    A Tensor stands for its own three, and a bool for `non_blocking`.
    """
    names = {known.name for known in registered_backends()}
    for arg in args:
        if isinstance(arg, Tensor):
            like = held_array(arg)
            backend, device, dtype = backend_of(like).name, device_of(like), like.dtype
        elif isinstance(arg, bool):
            continue
        elif isinstance(arg, str) and arg in names:
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
        for name, tensor in _own_state(part):
            yield prefix + name, tensor


def _own_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own Parameters, then its own persistent Buffers."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    for name, buffer in vars(module).items():
        if isinstance(buffer, Buffer) and buffer.persistent:
            yield name, buffer


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
