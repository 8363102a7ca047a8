"""What `log` collects: values of steps, and means over an epoch, summed up where the arrays are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xpnn.backend import (
    ArgumentError,
    Array,
    backend_of,
    device_of,
    expect_state,
    is_array,
    is_half,
    is_tensor,
    move,
    namespace,
    to_numpy,
)
from xpnn.metrics import Metric
from xpnn.train.team import Team

REDUCTIONS = ("mean", "sum", "min", "max")


@dataclass(frozen=True)
class LogOptions:
    """How a value is logged; see `TrainingModule.log`."""

    on_step: bool = True
    on_epoch: bool = False
    prog_bar: bool = False
    logger: bool = True
    reduce_fx: str = "mean"
    batch_size: int | None = None
    suffix: str = ""  # of the loader, where there are several

    @property
    def forks(self) -> bool:
        """Whether the values of steps and of epochs go by names of their own."""
        return self.on_step and self.on_epoch


class Logged:
    """The values that were logged in one stage since its start: of training, of a validation ..."""

    def __init__(self) -> None:
        self.options: dict[str, LogOptions] = {}
        self.values: dict[str, Any] = {}  # the last of each name
        self._sums: dict[str, list[Any]] = {}  # total and weight

    def add(self, name: str, value: Any, options: LogOptions, size: int) -> None:
        """Add a number, a 0-d array, or a Metric, which is computed at the end of the epoch."""
        name += options.suffix
        self.options[name] = options
        if isinstance(value, Metric):
            self.values[name] = value
            return
        value = value.detach().array if is_tensor(value) else value
        if is_array(value) and is_half(value):
            value = namespace(value).astype(value, namespace(value).float32)
        self.values[name] = value
        if options.on_epoch:
            weight = size if options.batch_size is None else options.batch_size
            self._sums[name] = _combined(self._sums.get(name), value, weight, options.reduce_fx)

    def step_measures(self) -> dict[str, Any]:
        """The last values of what is logged by step; waits for the device."""
        return {
            f"{name}_step{options.suffix}" if options.forks else name + options.suffix: read(value)
            for name, value, options in self._all()
            if options.on_step and options.logger
        }

    def epoch_measures(self, team: Team | None = None) -> dict[str, Any]:
        """The measures of the epoch as Python numbers, under all names, over a team; waits for the device."""
        found: dict[str, Any] = {}
        for full, (is_metric, is_summed) in self._known_to(team).items():
            value, sums = self.values.get(full), self._sums.get(full)
            if team is not None and is_metric:
                value = team.merged(value)
            elif team is not None and is_summed:
                sums = self._sum_over(team, full)
            if full not in self.options:  # another process has logged it, and tells what it is
                continue
            options = self.options[full]
            name = full.removesuffix(options.suffix)
            if sums is not None:
                total, weight = sums
                found[full] = read(total / weight if options.reduce_fx == "mean" else total)
            else:
                found[full] = read(value)
            if options.forks:
                found[f"{name}_epoch{options.suffix}"] = found[full]
                if not is_metric:
                    found[f"{name}_step{options.suffix}"] = read(value)
        return found if team is None else team.completed(found)

    def _known_to(self, team: Team | None) -> dict[str, tuple[bool, bool]]:
        """The names that some process of a team has logged; whether as a Metric, and whether summed up.

        A process may have had no batch, and so have logged nothing.
        """
        mine = {full: (isinstance(value, Metric), full in self._sums) for full, value in self.values.items()}
        known: dict[str, tuple[bool, bool]] = {}
        for part in [mine] if team is None else team.gathered(mine):
            known |= part
        return known

    def _sum_over(self, team: Team, name: str) -> list[Any] | None:
        """The total and the weight of all processes of a team; None where this one has none."""
        there = [sums for sums in team.gathered(self._sums.get(name)) if sums is not None]
        if name not in self.options:
            return None
        first, *others = there
        for total, weight in others:
            first = _joined(first, total, weight, self.options[name].reduce_fx)
        return first

    def variants(self) -> set[str]:
        """The further names of measures that are logged by step and by epoch."""
        return {
            f"{name}_{kind}{options.suffix}"
            for name, _, options in self._all()
            if options.forks
            for kind in ("step", "epoch")
        }

    def shown(self, measures: dict[str, Any]) -> dict[str, Any]:
        """Those of the measures that the progress bar shows."""
        wanted = {full for full, options in self.options.items() if options.prog_bar}
        return {name: value for name, value in measures.items() if name in wanted}

    def written(self, measures: dict[str, Any]) -> dict[str, Any]:
        """The measures of the epoch that loggers are given, under the names that they go by there."""
        found = {}
        for name, _, options in self._all():
            key = f"{name}_epoch{options.suffix}" if options.forks else name + options.suffix
            if options.logger and options.on_epoch and key in measures:
                found[key] = measures[key]
        return found

    def running_measures(self) -> dict[str, Any]:
        """The last values of what the progress bar shows."""
        return {
            name + options.suffix: read(value) for name, value, options in self._all() if options.prog_bar
        }

    def reset_metrics(self) -> None:
        """Let the Metrics begin anew, at the end of an epoch."""
        for value in self.values.values():
            if isinstance(value, Metric):
                value.reset()

    def state_dict(self, metrics: Mapping[str, Metric], team: Team) -> dict[str, Any]:
        """The sums of a team so far; Metrics go by their names in `metrics`: the Trainer keeps theirs."""
        names = {id(metric): name for name, metric in metrics.items()}
        return {
            full: {
                "options": vars(options),
                "value": names.get(id(self.values[full]), _kept(self.values[full])),
                "sums": [_kept(part) for part in self._sum_over(team, full) or ()] or None
                if full in self._sums
                else None,
            }
            for full, options in self.options.items()
            if not isinstance(self.values[full], Metric) or id(self.values[full]) in names
        }

    def load_state_dict(self, state: dict[str, Any], metrics: Mapping[str, Metric], like: Array) -> None:
        """Go on with the sums of a `state_dict`, beside the array `like`."""
        self.check_state_dict(state)

        def beside(value: Any) -> Any:
            return move(value, backend_of(like), device_of(like)) if is_array(value) else value

        for name, entry in state.items():
            if isinstance(entry["value"], str) and entry["value"] not in metrics:
                continue
            self.options[name] = LogOptions(**entry["options"])
            value = entry["value"]
            self.values[name] = metrics[value] if isinstance(value, str) else beside(value)
            if entry["sums"] is not None:
                self._sums[name] = [beside(part) for part in entry["sums"]]

    def clear_sums(self) -> None:
        """Count what was logged as nothing, where another process goes on with it."""
        for name, (total, weight) in self._sums.items():
            if self.options[name].reduce_fx in ("mean", "sum"):
                total = (
                    namespace(total).zeros_like(total) if is_array(total) else 0.0
                )  # also of an infinite one
            self._sums[name] = [total, weight * 0]

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        expect_state(state, "The logged values")
        for name, entry in state.items():
            expect_state(
                entry,
                f"The logged value '{name}'",
                options=_are_options,
                value=lambda value: isinstance(value, str) or _is_sum(value),
                sums=lambda sums: (
                    sums is None or (isinstance(sums, list) and len(sums) == 2 and all(map(_is_sum, sums)))
                ),
            )

    def _all(self) -> list[tuple[str, Any, LogOptions]]:
        """Names without their suffix, last values, and options."""
        return [
            (full.removesuffix(options.suffix), self.values[full], options)
            for full, options in self.options.items()
        ]


def read(value: Any) -> Any:
    """A measure as a Python number; waits for the device."""
    if isinstance(value, Metric):
        value = value.compute()
    return to_numpy(value).tolist() if is_array(value) else value


def checked_name(name: Any, value: Any) -> None:
    """Refuse what cannot be logged."""
    if not isinstance(name, str):
        raise _error(f"expects a name as a string, got {type(name).__name__}")
    if isinstance(value, dict):
        raise _error(f"expects one number as '{name}', got a dict", "Use log_dict")
    if not is_array(value) and not isinstance(value, int | float | Metric):
        raise _error(f"expects a number or a Metric as '{name}', got {type(value).__name__}")
    if is_array(value) and any(size != 1 for size in value.shape):
        raise _error(f"expects one number as '{name}', got shape {tuple(value.shape)}", "Log its mean")


def scalar(value: Any) -> Any:
    """A value as `Logged` takes it: off the tape, without axes of length 1."""
    if not is_array(value):
        return value
    array = value.detach().array if is_tensor(value) else value
    return array if array.ndim == 0 else namespace(array).reshape(array, ())


def reduction_named(reduce_fx: str | Callable[..., Any]) -> str:
    """The name of a reduction that is given by name, or as a function of that name."""
    name = reduce_fx if isinstance(reduce_fx, str) else getattr(reduce_fx, "__name__", "")
    if name not in REDUCTIONS:
        raise _error(f"expects reduce_fx as one of {', '.join(map(repr, REDUCTIONS))}, got {reduce_fx!r:.60}")
    return name


def _combined(before: list[Any] | None, value: Any, weight: int, how: str) -> list[Any]:
    if how == "mean":
        value = value * weight
    if before is None:
        return [value, weight]
    return _joined(before, value, weight, how)


def _joined(before: list[Any], value: Any, weight: int, how: str) -> list[Any]:
    total, weights = before
    if how in ("mean", "sum"):
        return [total + value, weights + weight]
    smaller = value < total
    wanted = smaller if how == "min" else value > total
    if is_array(wanted):
        xp = namespace(wanted)
        total = xp.where(wanted, xp.asarray(value), xp.asarray(total))
    elif wanted:
        total = value
    return [total, weights + weight]


def _kept(value: Any) -> Any:
    """NumPy's scalars as arrays, to keep their precision."""
    return namespace(value).asarray(value) if is_array(value) else value


def _are_options(options: Any) -> bool:
    try:
        LogOptions(**options)
    except TypeError:
        return False
    return options.get("reduce_fx") in REDUCTIONS


def _is_sum(value: Any) -> bool:
    return value.ndim == 0 if is_array(value) else isinstance(value, int | float)


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="log", hint=hint)
