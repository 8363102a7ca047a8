"""The updater of PyTorch, and SGD and Adam by its `_foreach` calls, which work on a list of arrays.

A formula is called once for many small parameters: copied behind one another, as views of whose results they
go on. A fused update for PyTorch is given lists: of the parameters, the gradients, and in the state of each
slot's arrays. It returns the new parameters, and replaces the lists in the state. As in the references no
array is written to that anybody else may hold.

On a GPU the count of steps could not be read without stalling it; there, and in half precision, the
references do the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from xpnn.backend.update_kernels import (
    GroupStep,
    Options,
    State,
    bias_correction,
    find_fused_update,
    fused_update,
    updater,
)
from xpnn.kernels.torch.graph import Array

Arrays = list[Array] | tuple[Array, ...]

# Elements of which parameters are put together; a larger parameter would take longer to copy than calls take.
_TOGETHER = 128 * 1024
_SMALL = 16 * 1024


@updater("torch")
class Lists:
    """Remembers nothing from step to step."""

    def update(self, step: GroupStep) -> list[int]:
        """Update all parameters that are on the CPU, in float32 or float64."""
        params = [tensor.array for tensor in step.tensors]
        positions = [i for i, grad in enumerate(step.grads) if grad is not None and _is_plain(params[i])]
        alike: dict[Any, list[int]] = {}
        numbers: dict[int, float] = {}  # of 0-d arrays that many parameters share
        for i in positions:
            state = step.states[i]
            if not _is_complete(state, step.slots, params[i]):
                state = step.prepare(i)
            scalars = [state[slot] for slot in step.numbers]
            for scalar in scalars:
                if id(scalar) not in numbers:
                    numbers[id(scalar)] = float(scalar)
            key = (params[i].dtype, *(numbers[id(scalar)] for scalar in scalars))
            alike.setdefault(key, []).append(i)
        for (dtype, *scalars), members in alike.items():
            state = {slot: [step.states[i][slot] for i in members] for slot in step.arrays}
            grads = [step.grads[i] for i in members]
            state |= dict(zip(step.numbers, scalars))
            if "step" in state:
                state["step"] = int(state["step"]) + 1
            update = find_fused_update("torch", step, params, grads, state) or _by_formula(step)
            updated = update([params[i] for i in members], grads, state, step.options)
            for slot in step.numbers:
                state[slot] = [torch.as_tensor(state[slot], dtype=dtype)] * len(members)
            for k, i in enumerate(members):
                step.tensors[i].store(updated[k])
                for slot, arrays in state.items():
                    step.states[i][slot] = arrays[k]
        return positions


def _by_formula(step: GroupStep) -> Any:
    """The formula as a fused update."""

    def update(params: Arrays, grads: Arrays, state: State, options: Options) -> Arrays:
        new = list(params)
        slots = {slot: list(state[slot]) for slot in step.arrays}
        numbers = {slot: torch.tensor(state[slot], dtype=params[0].dtype) for slot in step.numbers}
        for members in _portions(params):
            flat = {slot: _together(arrays, members) for slot, arrays in slots.items()}
            param, flat = step.formula(
                _together(params, members), _together(grads, members), flat | numbers, options
            )
            for arrays, result in ((new, param), *((slots[slot], flat[slot]) for slot in slots)):
                for k, array in zip(members, _apart(result, [params[k] for k in members])):
                    arrays[k] = array
        state |= slots
        state |= {slot: flat[slot] for slot in step.numbers if slot != "step"}
        return new

    return update


def _portions(params: Arrays) -> Iterator[list[int]]:
    """Positions of parameters that are updated together: small ones, or a large one by itself."""
    small: list[int] = []
    filled = 0
    for k, param in enumerate(params):
        if param.numel() > _SMALL:
            yield [k]
            continue
        if filled + param.numel() > _TOGETHER:
            yield small
            small, filled = [], 0
        small.append(k)
        filled += param.numel()
    if small:
        yield small


def _together(arrays: Arrays, members: list[int]) -> Array:
    """The elements of some arrays behind one another; a single one as it is."""
    return arrays[members[0]] if len(members) == 1 else _flatten_dense_tensors([arrays[k] for k in members])


def _apart(result: Array, like: Arrays) -> Arrays:
    """Views of what was updated together."""
    return [result] if len(like) == 1 else _unflatten_dense_tensors(result, like)


@fused_update("torch", "sgd")
def sgd(params: Arrays, grads: Arrays, state: State, options: Options) -> Arrays:
    """See `xpnn.optim.SGD.update`."""
    directions = _with_decay(params, grads, options)
    if "momentum_buffer" in state:
        share = 1 - options["dampening"] if state.get("step", 1) > 1 else 1.0
        buffers = torch._foreach_mul(state["momentum_buffer"], options["momentum"])
        torch._foreach_add_(buffers, directions, alpha=share)
        state["momentum_buffer"] = buffers
        if options["nesterov"]:
            directions = torch._foreach_add(directions, buffers, alpha=options["momentum"])
        else:
            directions = buffers
    return torch._foreach_add(params, directions, alpha=-options["lr"])


@fused_update("torch", "adam")
def adam(params: Arrays, grads: Arrays, state: State, options: Options) -> Arrays:
    """See `xpnn.optim.Adam.update`."""
    (beta1, beta2), count = options["betas"], state["step"]
    if options["decoupled_weight_decay"]:
        params = torch._foreach_mul(params, 1 - options["lr"] * options["weight_decay"])
        options = {**options, "weight_decay": 0}
    grads = _with_decay(params, grads, options)
    state["exp_avg"] = torch._foreach_lerp(state["exp_avg"], grads, 1 - beta1)
    squares = torch._foreach_mul(state["exp_avg_sq"], beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    state["exp_avg_sq"] = squares
    if options["amsgrad"]:
        squares = torch._foreach_maximum(state["max_exp_avg_sq"], squares)
        state["max_exp_avg_sq"] = squares
    divisors = torch._foreach_sqrt(squares)
    torch._foreach_div_(divisors, math.sqrt(bias_correction(beta2, count)))
    torch._foreach_add_(divisors, options["eps"])
    rate = options["lr"] / bias_correction(beta1, count)
    return torch._foreach_addcdiv(params, state["exp_avg"], divisors, -rate)


def _with_decay(params: Arrays, grads: Arrays, options: Options) -> Arrays:
    """The gradients with their sign and L2 penalty."""
    if options["maximize"]:
        grads = torch._foreach_neg(grads)
    decay = options["weight_decay"]
    return torch._foreach_add(grads, params, alpha=decay) if decay != 0 else grads


def _is_plain(param: Any) -> bool:
    """Whether it is an array of PyTorch that the updater takes."""
    return (
        isinstance(param, Array)
        and param.device.type == "cpu"
        and param.dtype in (torch.float32, torch.float64)
    )


def _is_complete(state: State, slots: tuple[str, ...], param: Array) -> bool:
    """Whether all slots are there, of the type and at the place of the parameter."""
    found = [state.get(slot) for slot in slots]
    return all(
        isinstance(array, Array) and array.dtype == param.dtype and array.device == param.device
        for array in found
    )
