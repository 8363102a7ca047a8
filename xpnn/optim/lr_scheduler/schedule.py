"""The base of learning-rate schedules.

A schedule is a formula for its own course, a pure function of the number of steps so far (`lr_at`), which
takes Python integers and 0-d arrays alike. So it can be resumed, jumped in, wrapped in another one, and
compiled. What other schedules have made of the rate since is kept as a factor: schedules on one optimizer
multiply up, in whatever order they step. So does what the user sets, where PyTorch's schedule multiplies.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

from xpnn.backend import ArgumentError, CheckpointError, RefusingConstructor, is_array, namespace
from xpnn.backend.states import is_number
from xpnn.optim.optimizer import Group, Optimizer
from xpnn.optim.state import as_python

__all__ = ["LRScheduler"]


class LRScheduler(RefusingConstructor):
    r"""What all schedules share: PyTorch's interface around the formula `lr_at`.

    Several schedules on one optimizer multiply up: a step leaves

    $$\eta = \eta_{min} + (\eta_t - \eta_{min})\, f$$

    with $\eta_t$ from `lr_at`, the schedule's lower bound $\eta_{min}$ (0 for most) and the factor $f$ by
    which the rate was found to differ from what the schedule's own formula says. This is the chainable form
    of PyTorch's schedules. (Those that PyTorch has set the rate regardless of others, such as `LambdaLR`,
    multiply up here too, so that none undoes what `ReduceLROnPlateau` has done; but a rate that was set by
    hand lasts until their next step only, as in PyTorch.) While a schedule's own rate
    is at its lower bound, it cannot see what others do. A group that is added later goes on from the rate
    that it came with.

    Args:
        optimizer: whose groups' `"lr"` is set, now and at each `step()`.
        last_epoch: the number of steps taken already; -1 starts anew.

    Attributes:
        last_epoch: the number of calls of `step()`, of epochs or batches as the loop has it.
        base_lrs: the learning rates that the groups had at the start, as Python floats.
        others: the factor $f$ of each group.
        found_lrs, last_lrs: the learning rates before the schedule was built, and after its last step.
        scheduled: the options of the groups that it sets.

    Raises: ArgumentError if `last_epoch` is given and the groups have no `"initial_lr"`.
    """

    scheduled: tuple[str, ...] = ("lr",)
    counts: tuple[str, ...] = ("last_epoch",)  # the attributes that a state has beside the rates
    lowest: float = 0.0  # the rate that factors are counted from
    sets_the_start: bool = False  # whether one that is built in the middle of a run starts at its own rate
    sets_the_rate: bool = False  # whether PyTorch's sets it whatever it was: a change by hand does not last
    watches: bool = False  # whether `step` is given a metric

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        for index, group in enumerate(self._groups_of(optimizer)):
            if last_epoch == -1:
                group.setdefault("initial_lr", as_python(group["lr"]))
            elif "initial_lr" not in group:
                raise self._error(
                    f"cannot go on from last_epoch={last_epoch}: parameter group {index} has no 'initial_lr'",
                    "Load the optimizer's state first, or set it in the group",
                )
        self.optimizer = optimizer
        self.last_epoch: Any = last_epoch
        self.base_lrs: list[float] = []
        self.others: list[Any] = []
        self.found_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_lrs: list[Any] = []
        self._join(1.0 if self._starts_over() else None)
        self._initial_step()

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of a group after `step` steps if no other schedule acts on it, a pure function.

        Args:
            step: a Python integer, or a 0-d array of a compiled step.
            group: the position of the group.
        """
        raise NotImplementedError(f"{type(self).__name__} must define lr_at")

    def get_lr(self) -> list[Any]:
        """The learning rates of all groups at `last_epoch`; a schedule of one's own may override it."""
        return [
            self.lowest + (self.lr_at(self.last_epoch, index) - self.lowest) * factor
            for index, factor in enumerate(self.others)
        ]

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step number `epoch`, and set the learning rates."""
        if epoch is not None and not is_array(epoch) and not epoch >= 0:
            raise self._error(f"expects a step number >= 0, got {epoch}")
        if is_array(self.last_epoch) or self.last_epoch != -1:
            self.optimizer.schedules_stepped = True
        self._look_back()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr())

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups as Python floats."""
        return [float(as_python(group["lr"])) for group in self.optimizer.param_groups]

    @property
    def _last_lr(self) -> list[float]:
        """`get_last_lr()`, under the name that PyTorch's schedules keep it by."""
        return self.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, JSON-ready; what it was built with is not part of it."""
        self._join()
        self._take_note_of_others()
        return {
            "scheduler": type(self).__name__,
            **{name: as_python(getattr(self, name)) for name in self.counts},
            "base_lrs": list(self.base_lrs),
            "others": [float(as_python(factor)) for factor in self.others],
            "last_lr": self.get_last_lr(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken, with its learning rates in the optimizer at once.

        A state that PyTorch's schedule of this name returned is taken as well.

        Raises: CheckpointError if the state is of another schedule or of another number of groups, or has
        values that no schedule has; then nothing was changed.
        """
        self.check_state_dict(state_dict)
        self._take(state_dict)
        for member in self.members():
            member._set(list(member.last_lrs))
        self.optimizer.schedules_stepped = True

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError, with a list of all that does not fit, if `load_state_dict` would."""
        problems = list(self._misfits(state_dict))
        if problems:
            raise CheckpointError("cannot take " + "; ".join(problems), subject=type(self).__name__)

    def members(self) -> Iterator[LRScheduler]:
        """The schedules that step when this one does: itself."""
        yield self

    def knows_its_course(self) -> bool:
        """Whether its rates are a function of the number of steps."""
        return type(self).lr_at is not LRScheduler.lr_at

    def take_in_new_groups(self) -> None:
        """Go on with the groups that the optimizer got since, which `step` does by itself."""
        self._join()

    def __repr__(self) -> str:
        """What it was built with, as far as it keeps that, where it is, and the rates there."""
        arguments = [name for name in inspect.signature(type(self)).parameters if name in vars(self)]
        shown = [
            f"{name}={vars(self)[name]!r}" for name in arguments if name not in ("optimizer", "last_epoch")
        ]
        rates = ", ".join(f"{lr:.6g}" for lr in self.get_last_lr())
        shown += [f"last_epoch={as_python(self.last_epoch)}", f"lr=[{rates}]"]
        return f"{type(self).__name__}({', '.join(shown)})"

    # -- helpers

    def _groups_of(self, optimizer: Optimizer) -> list[Group]:
        if not isinstance(optimizer, Optimizer):
            raise self._error(f"expects an Optimizer, got {type(optimizer).__name__}")
        return optimizer.param_groups

    def _base_lr(self, index: int, group: Group) -> float:
        """The rate that a group starts with."""
        return float(as_python(group["initial_lr"]))

    def _starts_over(self) -> bool:
        """Whether what others have done before this schedule was built does not count."""
        return self.sets_the_start and (self.last_epoch != -1 or self.optimizer.schedules_stepped)

    def _initial_step(self) -> None:
        self.step()

    def _join(self, factor: float | None = None) -> None:
        """Take in the groups that are new, at the rates that they have."""
        for index, group in enumerate(self.optimizer.param_groups[len(self.base_lrs) :], len(self.base_lrs)):
            new = "initial_lr" not in group
            lr = float(as_python(group["lr"]))
            group.setdefault("initial_lr", lr)
            self.base_lrs.append(lr if new else self._base_lr(index, group))
            self.last_lrs.append(group["lr"])
            self.others.append(self._factor(index, lr) if factor is None else factor)

    def _factor(self, index: int, lr: float) -> float:
        """By how much a rate differs from what the schedule has for a group now."""
        if self.last_epoch == -1 or not self.knows_its_course():
            own = float(as_python(self.optimizer.param_groups[index]["initial_lr"]))
        else:
            own = float(as_python(self.lr_at(self.last_epoch, index)))
        return 1.0 if own == self.lowest else (lr - self.lowest) / (own - self.lowest)

    def _look_back(self) -> None:
        """Before a step: take in what has happened since the last one."""
        self._join()
        self._take_note_of_others()

    def _take_note_of_others(self) -> None:
        """Find the factor of each group whose rate is not what the last step left.

        Where the schedule's own rate is at its lowest, the factor cannot be seen and stays as it was.
        """
        if type(self).get_lr is not LRScheduler.get_lr:
            return  # it has no use for the factors
        for index, (group, left) in enumerate(zip(self.optimizer.param_groups, self.last_lrs)):
            lr = group["lr"]
            if lr is left or (not is_array(lr) and not is_array(left) and lr == left):
                continue
            if self.sets_the_rate and self._change_by_hand(index) != 1:
                continue
            above = self.lr_at(self.last_epoch, index) - self.lowest
            factor = (lr - self.lowest) / where(above == 0, 1.0, above)
            unseen = where(lr == left, True, above == 0)
            self.others[index] = where(unseen, self.others[index], factor)
            self.last_lrs[index] = lr

    def _set(self, rates: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates):
            group["lr"] = lr
        self.last_lrs = rates
        self.optimizer.scheduled_lrs = list(rates)

    def _change_by_hand(self, index: int) -> float:
        """By how much a group's rate differs from the last one that any schedule of the optimizer gave it."""
        lr, given = self.optimizer.param_groups[index]["lr"], self.optimizer.scheduled_lrs[index : index + 1]
        if not given or is_array(lr) or is_array(given[0]) or lr == given[0]:
            return 1.0
        return lr / given[0] if given[0] else math.inf

    def _take(self, state: dict[str, Any]) -> None:
        """Take over a state that was checked, all but the optimizer's learning rates."""
        self._join()
        for name in self.counts:
            setattr(self, name, state[name])
        self.base_lrs = [float(lr) for lr in state.get("base_lrs", self.base_lrs)]
        self.last_lrs = [float(lr) for lr in state.get("last_lr", state.get("_last_lr", self.get_last_lr()))]
        found = [self._factor(index, lr) for index, lr in enumerate(self.last_lrs)]
        self.others = [float(factor) for factor in state.get("others", found)]

    def _misfits(self, state: Any) -> Iterator[str]:
        """What keeps a state from being taken."""
        if not isinstance(state, dict):
            yield f"a {type(state).__name__}, expected what state_dict() returns"
            return
        from_pytorch = "scheduler" not in state and ("_last_lr" in state or "_step_count" in state)
        name = state.get("scheduler")
        if name != type(self).__name__ and not from_pytorch:
            yield f"the state of a {name!s:.60}"
            return
        groups = len(self.optimizer.param_groups)
        for key in ("base_lrs", "others", "last_lr", "_last_lr", "by_hand"):
            values = state.get(key, [0.0] * groups)
            if not isinstance(values, list) or not all(is_number(value) for value in values):
                yield f"{key}={values!r:.60}, expected a list of numbers"
            elif len(values) != groups:
                yield f"a state of {len(values)} parameter groups, its optimizer has {groups}"
            elif key != "others" and not all(value >= 0 for value in values):
                yield f"{key}={values!r:.60}, expected learning rates >= 0"
        for key in self.counts:
            unused = from_pytorch and state.get(key) == -1  # a part of PyTorch's SequentialLR before its turn
            yield from () if unused else self._misfits_of_count(key, state.get(key))
        if from_pytorch:
            yield from self._other_settings(state)

    def _misfits_of_count(self, key: str, value: Any) -> Iterator[str]:
        if not is_number(value) or value < 0:
            yield f"{key}={value!r:.60}, expected a count"

    def _other_settings(self, state: dict[str, Any]) -> Iterator[str]:
        """The arguments in a state of PyTorch's that differ from this schedule's own."""
        for key, value in state.items():
            mine = getattr(self, key, None)
            if key in self.counts or not isinstance(mine, int | float | str):
                continue
            if isinstance(value, int | float | str) and mine != value:
                yield f"the state of a schedule with {key}={value!r:.60}, it has {key}={mine!r}"

    def _error(self, problem: str, hint: str = "") -> ArgumentError:
        return ArgumentError(problem, subject=type(self).__name__, hint=hint)


def half_cosine(part: Any) -> Any:
    """From 1 at `part = 0` to 0 at `part = 1` along a cosine."""
    cos = namespace(part).cos if is_array(part) else math.cos
    return (1 + cos(math.pi * part)) / 2


def where(condition: Any, value: Any, otherwise: Any) -> Any:
    """`value if condition else otherwise`, for a condition that may be a 0-d array."""
    if is_array(condition):
        return namespace(condition).where(condition, value, otherwise)
    return value if condition else otherwise
