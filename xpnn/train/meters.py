"""The loss and the metrics of an epoch, summed up where the arrays are and read on the host on demand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    backend_of,
    device_of,
    expect_state,
    is_array,
    is_tensor,
    move,
    namespace,
    to_numpy,
)
from xpnn.metrics import Mean, Metric
from xpnn.train.team import Team

Metrics = Mapping[str, Metric | Callable[..., Any]] | Iterable[Metric | Callable[..., Any]]


class Meters:
    """A mean loss and metrics, each updated with every batch.

    Args:
        metrics: streaming metrics, or functions `metric(outputs, targets)` whose values are averaged over
            the samples; a dict of them, or a list, in which case they go by their own names.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = _named({} if metrics is None else metrics)
        if "loss" in self.metrics:
            raise ArgumentError("cannot be called 'loss', which is there already", subject="A metric")
        self.loss = Mean()

    def fresh(self) -> Meters:
        """Meters for the same measures, with nothing summed up."""
        other = copy.copy(self)
        other.loss = Mean()
        other.metrics = {name: copy.copy(metric) for name, metric in self.metrics.items()}
        for metric in other.metrics.values():
            metric.reset()
        return other

    @property
    def has_batches(self) -> bool:
        """Whether there is a loss to read."""
        return not isinstance(self.loss.count, int) or self.loss.count > 0

    def update(self, loss: Any, outputs: Any, targets: Any, size: int) -> None:
        """Add a batch of `size` samples, given its mean loss; None for a batch without one."""
        if loss is None:
            return
        self.loss.update(loss, weight=size)
        for metric in self.metrics.values():
            metric.update(outputs, targets)

    def read(self, team: Team | None = None) -> dict[str, Any]:
        """The measures so far as Python numbers, over the batches of a team; waits for the device."""
        measures: dict[str, Metric] = {"loss": self.loss, **self.metrics}
        if team is not None:
            measures = {name: team.merged(metric) for name, metric in measures.items()}
        return {name: to_numpy(metric.compute()).tolist() for name, metric in measures.items()}

    def all(self) -> list[Metric]:
        """The mean loss and the metrics."""
        return [self.loss, *self.metrics.values()]

    def state_dict(self, team: Team) -> dict[str, Any]:
        """The sums so far, over the batches of a team."""
        measures: dict[str, Metric] = {"loss": self.loss, **self.metrics}
        return {name: sums_of(team.merged(metric)) for name, metric in measures.items()}

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for sums that are none of these measures."""
        for name, metric in {"loss": self.loss, **self.metrics}.items():
            if name in state:
                sums = dict.fromkeys(sums_of(metric), partial(_is_sum, metric))
                expect_state(state[name], f"The measure '{name}'", **sums)

    def load_state_dict(self, state: dict[str, Any], like: Array) -> None:
        """Go on with the sums of a `state_dict`, beside the array `like`."""
        for name, metric in {"loss": self.loss, **self.metrics}.items():
            load_sums(metric, state.get(name, {}), like)


class _MeanOf(Mean):
    """A function of outputs and targets, averaged over the samples."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def update(self, outputs: Any, targets: Any) -> None:  # type: ignore[override]
        super().update(self.function(outputs, targets), weight=outputs.shape[0])


def _named(metrics: Metrics) -> dict[str, Metric]:
    if not isinstance(metrics, Iterable) or isinstance(metrics, str | bytes) or is_array(metrics):
        raise DTypeError(
            f"expects metrics or functions, by name or in a list, got {metrics!r:.60}", subject="metrics"
        )
    if not isinstance(metrics, Mapping):
        metrics = {_name_of(metric): metric for metric in metrics}
    for name, metric in metrics.items():
        if isinstance(metric, type) and issubclass(metric, Metric):
            raise DTypeError(
                f"expects a Metric, got the class {metric.__name__}",
                subject=f"The metric '{name}'",
                hint=f"Make one of it: {metric.__name__}()",
            )
        if not isinstance(metric, Metric) and not callable(metric):
            raise DTypeError(
                f"expects a Metric or a function of outputs and targets, got {type(metric).__name__}",
                subject=f"The metric '{name}'",
            )
    return {name: m if isinstance(m, Metric) else _MeanOf(m) for name, m in metrics.items()}


def _name_of(metric: Any) -> str:
    name = getattr(metric, "__name__", type(metric).__name__)
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def load_sums(metric: Metric, sums: dict[str, Any], like: Array) -> None:
    """Give a metric the sums that `sums_of` returned, beside the array `like`."""
    for key in sums_of(metric).keys() & sums.keys():
        value = sums[key]
        if is_array(value):
            value = move(value, backend_of(like), device_of(like))
        setattr(metric, key, value)


def sums_of(metric: Metric) -> dict[str, Any]:
    """The arrays and numbers that a metric holds; NumPy's scalars as arrays, to keep their precision."""
    held = {key: value.array if is_tensor(value) else value for key, value in vars(metric).items()}
    return {
        key: namespace(value).asarray(value) if is_array(value) else value
        for key, value in held.items()
        if is_array(value) or isinstance(value, int | float)
    }


def _is_sum(metric: Metric, value: Any) -> bool:
    """Whether a value can be one of a metric's: those of a mean are single numbers."""
    if is_array(value):
        return not isinstance(metric, Mean) or value.ndim == 0
    return isinstance(value, int | float)
