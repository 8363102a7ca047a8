"""The base of loggers, and the folders that they write to."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnn.backend import DTypeError, is_array, path_of, to_numpy
from xpnn.functional.arguments import whole
from xpnn.train.arguments import check_text


class Logger:
    """The base of loggers: override `log_metrics`.

    Args:
        save_dir: the folder of all runs.
        name: of the experiment, a folder in it; "" for none.
        version: of the run, a folder in that: a number, a name, or None for the next number; "" for none.
        prefix: is put before the name of each measure, with a hyphen.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        name: str | None = "logs",
        version: int | str | None = None,
        prefix: str = "",
    ) -> None:
        subject = type(self).__name__
        self.save_dir = path_of(save_dir, "save_dir", subject)
        check_text(name, "name", subject, or_none=True)
        check_text(prefix, "prefix", subject)
        if version is not None and not isinstance(version, str):
            version = whole(version, "version", subject)
        self.name = name or ""
        self._version = version
        self.prefix = prefix

    @property
    def root_dir(self) -> Path:
        """The folder of all versions."""
        return self.save_dir / self.name if self.name else self.save_dir

    @property
    def version(self) -> int | str:
        """The number or name of the run."""
        if self._version is None:
            taken = [path.name.removeprefix("version_") for path in self.root_dir.glob("version_*")]
            self._version = max((int(number) for number in taken if number.isdigit()), default=-1) + 1
        return self._version

    @property
    def log_dir(self) -> Path:
        """The folder of the run."""
        version = self.version
        if version == "":
            return self.root_dir
        return self.root_dir / (version if isinstance(version, str) else f"version_{version}")

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write measures, numbers by name, of an optimizer step."""

    def log_hyperparams(self, params: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Write hyper-parameters: a dict or Namespace."""

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Write the graph of a model, by an example of its input."""

    def position(self) -> int | None:
        """How much was written, for `resume`; None if that is not counted."""
        return None

    def resume(self, step: int, position: int | None = None) -> None:
        """Forget what was written after a step, or a position: a run that was cut goes on from there."""

    def save(self) -> None:
        """Put on the disk what was written so far."""

    def finalize(self, status: str) -> None:
        """At the end of a run: "success", "interrupted" or "failed"."""
        self.save()

    def _named(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
            raise DTypeError(
                f"expects measures as numbers by name, got {metrics!r:.60}", subject=type(self).__name__
            )
        numbers = {name: to_numpy(v).tolist() if is_array(v) else v for name, v in metrics.items()}
        return {f"{self.prefix}-{name}" if self.prefix else name: value for name, value in numbers.items()}


def plain(params: Any) -> dict[str, Any]:
    """Hyper-parameters as a flat dict: `{"a": {"b": 1}}` is `{"a/b": 1}`."""
    found: dict[str, Any] = {}
    if isinstance(params, argparse.Namespace):
        params = vars(params)
    if params is not None and not isinstance(params, Mapping):
        raise DTypeError(
            f"expects hyper-parameters as a dict or Namespace, got {params!r:.60}", subject="log_hyperparams"
        )
    for name, value in (params or {}).items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{key}": part for key, part in plain(value).items()}
        else:
            found[str(name)] = value
    return found
