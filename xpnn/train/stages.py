"""What a Trainer is doing - training, validating, testing - and what is logged meanwhile."""

from __future__ import annotations

from typing import Any

from xpnn.train.logged import Logged, LogOptions


class Stage:
    """One stage of a run.

    Attributes:
        name: "train", "sanity_check", "validate", "test" or "predict".
        logged: what was logged since its beginning.
        by_step: whether values that are logged now are, unless said otherwise, those of a step.
        batches: whether a batch is being worked on.
        suffix: of the names that are logged, for one of several loaders.
    """

    def __init__(self, name: str, options: dict[str, LogOptions]) -> None:
        self.name = name
        self.logged = Logged()
        self.by_step = self.batches = False
        self.suffix = ""
        self._options = options  # of the names that are logged
        self._taken: dict[str, Any] = {}

    def take(self, name: str, value: Any, options: LogOptions) -> None:
        """Keep a value until the end of the step, so that a compiled step can return it."""
        self._taken[name] = value
        self._options[name] = options

    def taken(self) -> dict[str, Any]:
        """The values since the last call."""
        values, self._taken = self._taken, {}
        return values

    def collect(self, values: dict[str, Any], size: int = 1) -> None:
        """Add values of a batch of `size` samples to what was logged."""
        for name, value in values.items():
            self.logged.add(name, value, self._options[name], size)
