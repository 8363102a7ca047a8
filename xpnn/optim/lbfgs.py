"""L-BFGS, a quasi-Newton method for whole batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from xpnn.autograd import Tensor, enable_grad
from xpnn.backend import (
    ArgumentError,
    Array,
    CheckpointError,
    backend_of,
    concrete,
    device_of,
    is_array,
    is_half,
    is_tensor,
    item,
    move,
    namespace,
)
from xpnn.backend.states import is_number
from xpnn.optim.line_search import Point, strong_wolfe
from xpnn.optim.optimizer import Group, Optimizer
from xpnn.optim.state import as_python, in_our_layout, misfits, taken_options

__all__ = ["LBFGS"]

_NUMBERS = ("func_evals", "n_iter", "t", "ro", "H_diag", "prev_loss")
_ARRAYS = ("d", "prev_flat_grad", "old_dirs", "old_stps")
_LISTS = ("old_dirs", "old_stps", "ro")


class LBFGS(Optimizer):
    r"""Limited-memory BFGS: steps along an approximate inverse of the Hessian times the gradient.

    It is for smooth functions without noise: whole batches, no dropout. All parameters are taken as one
    vector $x$; there is one group.

    Args:
        params: parameters or named parameters, all on one device.
        lr: the length of a step, in directions; with a line search that of its first trial.
        max_iter: the largest number of iterations in a call of `step`.
        max_eval: the largest number of evaluations in a call of `step`, by default 1.25 `max_iter`.
        tolerance_grad: stop where no element of the gradient is larger.
        tolerance_change: stop where neither the function nor an element of $x$ changes by more.
        history_size: the number of steps that the approximation remembers.
        line_search_fn: `"strong_wolfe"`, or None for steps of length `lr`.

    With $s_k = x_{k+1} - x_k$, $y_k = g_{k+1} - g_k$ and $\rho_k = 1 / y_k^T s_k$ of the steps remembered,
    the direction is $-H g$, from

    $$H \leftarrow (1 - \rho s y^T)\, H\, (1 - \rho y s^T) + \rho s s^T, \quad
    H_0 = \frac{y^T s}{y^T y}$$

    `step` needs a closure, which computes the loss anew, with its gradients. It reads numbers on the host, so
    it cannot be compiled.

    Raises: ArgumentError for values outside of their domain, for several groups, and for no closure.

    See: Liu & Nocedal (1989), "On the limited memory BFGS method for large scale optimization".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((x - 3) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)
    tensor(5., grad_fn=<sum>)
    >>> [round(value, 4) for value in x.tolist()]
    [3.0, 3.0]
    """

    takes_complex = False

    domains: ClassVar = {
        "max_iter": ("max_iter >= 0", lambda count: count >= 0),
        "max_eval": ("max_eval >= 0", lambda count: count >= 0),
        "tolerance_grad": ("tolerance_grad as a number", math.isfinite),
        "tolerance_change": ("tolerance_change as a number", math.isfinite),
        "history_size": ("history_size >= 1", lambda size: size >= 1),
        "line_search_fn": (
            "line_search_fn='strong_wolfe' or None",
            lambda name: name in (None, "strong_wolfe"),
        ),
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Array = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None and is_number(max_iter):
            max_eval = max_iter * 5 // 4
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        """Add the only group that there may be."""
        if self.param_groups:
            raise self._error(ArgumentError, "has one group of parameters, a second one was given")
        super().add_param_group(param_group)

    def slots(self, group: Group) -> tuple[str, ...]:
        """None: what is kept is of all parameters together."""
        return ()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate, at most `max_iter` times.

        Args:
            closure: computes the loss anew, with its gradients, and returns it.

        Returns: the loss before the first iteration.
        """
        if closure is None:
            raise self._error(
                ArgumentError, "expects a closure that computes the loss anew", "Call step(closure)"
            )
        group = self.param_groups[0]
        if not concrete(group["params"][0].array):
            raise self._error(ArgumentError, "reads the loss on the host, so its step cannot be compiled")
        state = self._state_beside_parameters()
        lr, most = float(as_python(group["lr"])), group["max_eval"]

        first, value, gradient = self._evaluate(closure)
        state["func_evals"] += 1
        evaluations, iterations = 1, 0
        while iterations < group["max_iter"] and _largest(gradient) > group["tolerance_grad"]:
            iterations += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / _sum(abs(gradient))) * lr
            else:
                _remember(state, gradient, group["history_size"])
                t = lr
            direction = _direction(state, gradient)
            state |= {"d": direction, "t": t, "prev_flat_grad": gradient, "prev_loss": value}
            slope = _sum(gradient * direction)
            if slope > -group["tolerance_change"]:
                break

            line, count = _Line(self, closure, direction), 0
            if group["line_search_fn"] is not None:
                start = Point(0.0, value, gradient, slope)
                size, trials = _largest(direction), most - evaluations
                point, count = strong_wolfe(line.at, start, t, size, group["tolerance_change"], trials)
                t, value, gradient = point.t, point.value, point.gradient
                line.move(t)
            elif iterations < group["max_iter"]:
                point, count = line.at(t), 1
                value, gradient = point.value, point.gradient
            else:
                line.move(t)  # what is found there is the next call's to see
            state["t"] = t
            state["func_evals"] += count
            evaluations += count
            change = min(_largest(direction) * abs(t), abs(value - state["prev_loss"]))
            if evaluations >= most or change <= group["tolerance_change"]:
                break
        self.state[group["param_names"][0]] = state
        return first

    def initialize_state(self) -> None:
        """Nothing: a step that is compiled is refused."""

    def state_dict(self) -> dict[str, Any]:
        """The state and the options (see `Optimizer`), with the steps remembered in one array."""
        states = super().state_dict()
        like = self.param_groups[0]["params"][0].array
        for slots in states["state"].values():
            for slot in slots.keys() & {*_LISTS}:
                slots[slot] = _stacked(slots[slot], like)
            for slot in slots.keys() & {*_NUMBERS}:
                slots[slot] = _beside(slots[slot], like)
        return states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, here or in PyTorch (see `Optimizer`)."""
        self.check_state_dict(state_dict)
        state_dict = in_our_layout(state_dict, self)
        like = self.param_groups[0]["params"][0].array
        self.state = {}
        for name, slots in state_dict["state"].items():
            self.state[name] = {
                slot: [*map(_taken_by(slot, like), slots[slot])]
                if slot in _LISTS
                else _taken_by(slot, like)(slots[slot])
                for slot in slots.keys() & {*_NUMBERS, *_ARRAYS}
            }
        self.param_groups[0].update(taken_options(state_dict["param_groups"][0]))
        self.schedules_stepped |= "initial_lr" in state_dict["param_groups"][0]

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError, with a list of all that does not fit, if `load_state_dict` would."""
        ours = in_our_layout(state_dict, self)
        without = ours | {"state": {}, "updated": []} if isinstance(ours, dict) else ours
        problems = list(misfits(without, self)) or list(self._misfits_of_state(ours.get("state")))
        if problems:
            raise self._error(CheckpointError, "cannot take " + "; ".join(problems[:10]))

    # -- helpers

    def _misfits_of_state(self, state: Any) -> Iterator[str]:
        name = self.param_groups[0]["param_names"][0]
        size = sum(math.prod(param.shape) for param in self.param_groups[0]["params"])
        if not isinstance(state, dict) or state.keys() - {name}:
            yield f"a state of other parameters than '{name}', the first"
            return
        slots = state.get(name, {"func_evals": 0, "n_iter": 0})
        if not isinstance(slots, dict):
            yield f"the state of '{name}' as a {type(slots).__name__}, expected a dict"
            return
        counts = ("func_evals", "n_iter")
        yield from (
            f"{slot}={slots.get(slot)!r:.60}, expected a count"
            for slot in counts
            if not _is_count(slots.get(slot))
        )
        lengths = set()
        for slot in _NUMBERS[2:] + _ARRAYS if "d" in slots or "t" in slots else ():
            value: Any = slots.get(slot)
            is_right = _is_finite if slot in _NUMBERS else lambda one: is_array(one) and one.shape == (size,)
            values = value if isinstance(value, list) or (is_array(value) and value.ndim) else None
            if slot not in _LISTS:
                values = [value]
            if values is None or not all(map(is_right, values)):
                yield f"{slot}={value!r:.60}, expected what a step leaves for {size} elements"
            elif slot in _LISTS:
                lengths.add(len(values))
        if len(lengths) > 1:
            yield f"steps remembered in lists of {sorted(lengths)} entries"

    def _state_beside_parameters(self) -> dict[str, Any]:
        """The state, made or moved to where the parameters are; lists in it are new."""
        group = self.param_groups[0]
        like = group["params"][0].array
        kept = self.state.get(group["param_names"][0], {})
        state = {"func_evals": 0, "n_iter": 0, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0}
        for slot, value in kept.items():
            take = _taken_by(slot, like)
            state[slot] = [*map(take, value)] if slot in _LISTS else take(value)
        return state

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, float, Array]:
        """What the closure returned, that as a number, and the gradients as one vector."""
        with enable_grad():
            loss = closure()
        if loss is None:
            raise self._error(ArgumentError, "expects a closure that returns the loss, got None")
        params = self.param_groups[0]["params"]
        grads = self._gradients(self.param_groups[0])
        return (
            loss,
            float(as_python(loss)),
            _flat(
                [namespace(p.array).zeros_like(p.array) if g is None else g for p, g in zip(params, grads)]
            ),
        )


class _Line:
    """The parameters along a direction from where they are."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any], direction: Array) -> None:
        self.optimizer, self.closure, self.direction = optimizer, closure, direction
        self.params: list[Tensor] = optimizer.param_groups[0]["params"]
        self.start = _flat([param.array for param in self.params])

    def move(self, t: float) -> None:
        """Put the parameters at `t`."""
        place, first = self.start + t * self.direction, 0
        for param in self.params:
            xp, last = namespace(param.array), first + math.prod(param.shape)
            param.store(xp.astype(xp.reshape(place[first:last], param.shape), param.array.dtype))
            first = last

    def at(self, t: float) -> Point:
        """Put the parameters at `t`, and see what the function is there."""
        self.move(t)
        _, value, gradient = self.optimizer._evaluate(self.closure)
        return Point(t, value, gradient, _sum(gradient * self.direction))


def _remember(state: dict[str, Any], gradient: Array, size: int) -> None:
    """Take the last step into the approximation, unless the curvature along it is not positive."""
    y, s = gradient - state["prev_flat_grad"], state["d"] * state["t"]
    curvature = _sum(y * s)
    if curvature > 1e-10:
        for slot, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
            state[slot] = [*state[slot], value][-size:]
        state["H_diag"] = curvature / _sum(y * y)


def _direction(state: dict[str, Any], gradient: Array) -> Array:
    """The approximate inverse of the Hessian times the negative gradient, by two passes over the steps."""
    steps = list(zip(state["old_dirs"], state["old_stps"], state["ro"]))
    q, shares = -gradient, []
    for y, s, rho in reversed(steps):
        share = rho * _sum(s * q)
        shares.append(share)
        q = q - share * y
    q = q * state["H_diag"]
    for (y, s, rho), share in zip(steps, reversed(shares)):
        q = q + (share - rho * _sum(y * q)) * s
    return q


def _flat(arrays: list[Array]) -> Array:
    """All elements in one vector, a copy; float32 in place of half precision."""
    xp = namespace(*arrays)
    dtype = xp.float32 if is_half(arrays[0]) else arrays[0].dtype
    return xp.concat([xp.astype(xp.reshape(array, (-1,)), dtype) for array in arrays])


def _sum(array: Array) -> float:
    return float(item(namespace(array).sum(array)))


def _largest(array: Array) -> float:
    """The largest size of an element; 0 where there are none."""
    xp = namespace(array)
    return float(item(xp.max(xp.abs(array)))) if math.prod(array.shape) else 0.0


def _beside(value: Any, like: Array) -> Array:
    """A number as a 0-d array, or an array, beside a parameter; a copy."""
    xp = namespace(like)
    dtype = xp.float32 if is_half(like) else like.dtype
    if not is_array(value):
        return xp.asarray(value, dtype=dtype, device=device_of(like))
    array = value.array if is_tensor(value) else value
    return xp.asarray(move(array, backend_of(like), device_of(like), dtype), copy=True)


def _is_finite(value: Any) -> bool:
    is_one = not is_array(value) or not value.ndim
    return is_one and is_number(as_python(value))


def _is_count(value: Any) -> bool:
    return _is_finite(value) and as_python(value) >= 0


def _stacked(values: list[Any], like: Array) -> Array:
    xp = namespace(like)
    arrays = [_beside(value, like) for value in values]
    return xp.stack(arrays) if arrays else _beside(0.0, like)[None][:0]


def _taken_by(slot: str, like: Array) -> Callable[[Any], Any]:
    """How a slot's value is taken over: counts as integers, numbers as floats, arrays beside a parameter."""
    if slot in ("func_evals", "n_iter"):
        return lambda value: int(as_python(value))
    return (lambda value: float(as_python(value))) if slot in _NUMBERS else lambda value: _beside(value, like)
