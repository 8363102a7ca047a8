"""The state dicts of optimizers: what is wrong with one, and PyTorch's layout in ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xpnn.backend import (
    Array,
    XpnnError,
    dtype_name,
    idioms,
    is_array,
    is_complex,
    is_tensor,
    item,
    namespace,
)
from xpnn.backend.states import is_number

if TYPE_CHECKING:
    from xpnn.optim.optimizer import Group, Optimizer

STRUCTURE = ("params", "param_names")  # the keys of a group that are not options
# What PyTorch keeps in groups beside options: how it computes, and the bounds of its schedules.
_NO_OPTIONS = (
    *("foreach", "capturable", "differentiable", "fused"),
    *("max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"),
)


def as_python(value: Any) -> Any:
    """An option as Python numbers: 0-d arrays are read on the host, tuples element by element."""
    if isinstance(value, tuple | list):
        return type(value)(as_python(element) for element in value)
    if is_array(value):
        return item(value.array if is_tensor(value) else value)
    return value


def in_our_layout(state_dict: Any, optimizer: Optimizer) -> Any:
    """A state dict of PyTorch's, whose parameters are numbers, with their names; any other as it is.

    PyTorch's parameters are numbered through all groups. A buffer that is None there was never used.
    """
    if not _is_pytorch(state_dict):
        return state_dict
    names: dict[Any, str] = {}
    groups = []
    for index, saved in enumerate(state_dict["param_groups"]):
        known = index < len(optimizer.param_groups)
        mine = optimizer.param_groups[index]["param_names"] if known else []
        numbers = saved["params"]
        names |= dict(zip(numbers, mine))
        options = {name: as_python(value) for name, value in saved.items() if name not in STRUCTURE}
        surplus = [f"parameter {number}" for number in numbers[len(mine) :]]
        groups.append({"params": [*mine[: len(numbers)], *surplus], **options})
    state = {}
    for number, slots in state_dict["state"].items():
        used = slots
        if isinstance(slots, dict):
            used = {slot: array for slot, array in slots.items() if array is not None}
        if used:
            state[names.get(number, f"parameter {number}")] = used
    for group in groups:
        for name in _NO_OPTIONS:
            if name not in optimizer.defaults:
                group.pop(name, None)
        if group.get("dampening") and group.get("momentum"):  # ours counts, to know the first step
            for name in group["params"]:
                if isinstance(state.get(name), dict):
                    state[name].setdefault("step", 1)
    return {"state": state, "param_groups": groups}


def misfits(state_dict: Any, optimizer: Optimizer) -> Iterator[str]:
    """What keeps an optimizer from taking a state dict in its own layout."""
    problem = _malformed(state_dict)
    if problem:
        yield problem
        return
    saved_by = state_dict.get("optimizer", type(optimizer).__name__)
    if saved_by != type(optimizer).__name__:
        yield f"it was saved by {saved_by!s:.60}"
        return
    groups = state_dict["param_groups"]
    if len(groups) != len(optimizer.param_groups):
        yield f"it has {len(groups)} parameter groups, this optimizer {len(optimizer.param_groups)}"
        return
    wanted: dict[str, dict[str, tuple[int, ...]]] = {}
    for index, (group, saved) in enumerate(zip(optimizer.param_groups, groups)):
        yield from (f"group {index} {problem}" for problem in _of_names(group, saved))
        problems = list(_of_options(group, saved, optimizer))
        yield from (f"group {index} {problem}" for problem in problems)
        options = group if problems else group | taken_options(saved)
        for name, param in zip(group["param_names"], group["params"]):
            wanted[name] = optimizer.slot_shapes(options, tuple(param.shape))
    if optimizer.has_formula:
        yield from _of_state(state_dict, optimizer, wanted)
    else:
        yield from _of_own_state(state_dict["state"], optimizer)


def taken_options(saved: Group) -> Group:
    """The options of a saved group as a group holds them: JSON has lists for tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in saved.items()
        if name not in STRUCTURE
    }


def _is_pytorch(state_dict: Any) -> bool:
    """Whether a well-formed state dict numbers its parameters."""
    if _malformed(state_dict) or "optimizer" in state_dict:
        return False
    numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
    return bool(numbers) and all(type(number) is int for number in numbers)


def _malformed(state_dict: Any) -> str:
    """What is wrong with the nesting of a state dict; empty if nothing is."""
    if not isinstance(state_dict, dict):
        return f"it is a {type(state_dict).__name__}, expected what state_dict() returns"
    for key, kind in (("state", dict), ("param_groups", list)):
        if not isinstance(state_dict.get(key), kind):
            return f"its '{key}' is a {type(state_dict.get(key)).__name__}, expected a {kind.__name__}"
    for index, group in enumerate(state_dict["param_groups"]):
        if not isinstance(group, dict) or not isinstance(group.get("params"), list | tuple):
            return f"group {index} is not a dict with the list 'params'"
        if not all(isinstance(name, str | int) for name in group["params"]):
            return f"group {index} has parameters that are neither names nor numbers"
    return ""


def _of_names(group: Group, saved: Group) -> Iterator[str]:
    mine, theirs = group["param_names"], list(saved["params"])
    missing = [name for name in mine if name not in set(theirs)]
    unexpected = [name for name in theirs if name not in set(mine)]
    if missing:
        yield f"lacks {_listing(missing)}"
    if unexpected:
        yield f"has {_listing(unexpected)}, which this optimizer does not train"
    if not missing and not unexpected and len(theirs) != len(mine):
        yield "has a parameter twice"


def _of_options(group: Group, saved: Group, optimizer: Optimizer) -> Iterator[str]:
    """Options that are missing, of another kind than this optimizer's, or outside of their domain."""
    for name, mine in optimizer.defaults.items():
        if name not in saved and not isinstance(mine, bool):
            yield f"lacks the option '{name}'"
    for name, value in saved.items():
        if name in STRUCTURE:
            continue
        if not isinstance(name, str) or (name not in group and name != "initial_lr"):
            yield f"has the option {name!r:.60}, which this optimizer has not"
        elif not _same_kind(value, group.get(name, 0.0)):
            yield f"has {name}={value!r:.60}, expected a value like {as_python(group.get(name, 0.0))!r:.60}"
        elif name == "initial_lr" and value < 0:
            yield f"has initial_lr={value!r:.60}, expected a rate >= 0"
        elif name in optimizer.kept_options and value != group[name]:
            yield f"has {name}={value}, by which optimizers differ: this one has {group[name]}"
    try:
        optimizer.check_options(group | taken_options(saved))
    except XpnnError as error:
        yield str(error)
    except (TypeError, ValueError, KeyError):
        pass  # what is of another kind was named above


def _same_kind(value: Any, mine: Any) -> bool:
    mine = as_python(mine)
    if isinstance(mine, bool):
        return isinstance(value, bool)
    if isinstance(mine, int | float):
        return is_number(value)
    if isinstance(mine, tuple | list):
        same = isinstance(value, tuple | list) and len(value) == len(mine)
        return same and all(map(_same_kind, value, mine))
    return mine is None or value is None or isinstance(value, type(mine))


def _of_state(state_dict: dict[str, Any], optimizer: Optimizer, wanted: dict[str, Any]) -> Iterator[str]:
    """Arrays that are missing, of another shape, or of values that no update leaves."""
    state = state_dict["state"]
    updated = state_dict.get("updated", list(state))
    if not isinstance(updated, list) or sorted(map(str, updated)) != sorted(map(str, state)):
        yield "it lacks the state of parameters that were updated, or has others"
    params = dict(optimizer.named_parameters())
    for name, slots in state.items():
        if name not in params:
            yield f"it has state for {name!r:.60}, which this optimizer does not train"
        elif not isinstance(slots, dict):
            yield f"the state of '{name}' is a {type(slots).__name__}, expected a dict"
        else:
            missing = [slot for slot in wanted[name] if slot not in slots]
            if missing:
                yield f"the state of '{name}' lacks {_listing(missing)}"
            for slot, array in slots.items():
                shape = None if slot in optimizer.scalars else wanted[name].get(slot, params[name].shape)
                by_parts = is_complex(params[name].array)
                problem = _of_slot(array, shape, slot in optimizer.never_negative, by_parts)
                if problem:
                    yield f"{slot!s:.60} of '{name}' {problem}"


def _of_own_state(state: dict[str, Any], optimizer: Optimizer) -> Iterator[str]:
    """What is wrong with a state whose values are those of a user's own `step`."""
    names = dict(optimizer.named_parameters())
    for name, slots in state.items():
        if name not in names:
            yield f"it has state for {name!r:.60}, which this optimizer does not train"
        elif not isinstance(slots, dict):
            yield f"the state of '{name}' is a {type(slots).__name__}, expected a dict"


def _of_slot(value: Any, shape: tuple[int, ...] | None, never_negative: bool, by_parts: bool = False) -> str:
    """What is wrong with an array of a state; a count, without a shape, may be a Python number.

    Args:
        by_parts: whether it is the state of complex numbers.
    """
    if shape is None and is_number(value):
        return "" if value >= 0 else "is negative"
    if not is_array(value):
        return f"is {value!r:.60}, expected {'a count' if shape is None else 'an array'}"
    if tuple(value.shape) != (shape or ()):
        return f"has the shape {tuple(value.shape)}, expected {shape or ()}"
    if by_parts and shape is not None and is_complex(value):
        pairs = idioms.pairs_of_complex(value.array if is_tensor(value) else value)
        return _of_slot(pairs, tuple(pairs.shape), never_negative)
    if dtype_name(value.dtype).startswith(("bool", "complex")):
        return f"is of {dtype_name(value.dtype)}, expected floating-point numbers"
    if shape is None:
        return _of_slot(float(as_python(value)), None, never_negative)
    return "has negative values" if never_negative and _any_negative(value) else ""


def _any_negative(value: Array) -> bool:
    array = value.array if is_tensor(value) else value
    return bool(item(namespace(array).any(array < 0)))


def _listing(names: list[Any]) -> str:
    shown = ", ".join(f"'{name!s:.60}'" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
