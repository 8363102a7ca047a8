"""What the trials of a search have come to: a table, the best, pictures."""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnn.backend import RefusingConstructor, errors_naming, optional_import, printable
from xpnn.io import atomic_write

DONE, PRUNED, FAILED, RUNNING, WAITING = "done", "pruned", "failed", "running", "waiting"
_DOTS_PER_INCH = 160


@dataclass(frozen=True)
class TrialResult:
    """A trial, as far as it came.

    Attributes:
        number: counts from 0. state: "done", "pruned", "failed", "running" or "waiting".
        value: what the function returned; of a pruned trial, what it reported last; or None.
        params: the values. steps: the last step that was reported, 0 if none was.
        seconds: how long it took. error: why it failed, or "".
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    steps: int = 0
    seconds: float | None = None
    error: str = ""


class Results(RefusingConstructor, Sequence[TrialResult]):
    """The trials of a search by their number.

    Args:
        trials: all of them.
        maximize: whether large values are good.
        metric: what the value is called.
        study: Optuna's study, for its pictures.
    """

    def __init__(
        self, trials: Sequence[TrialResult], maximize: bool = False, metric: str = "value", study: Any = None
    ) -> None:
        self._trials = sorted(trials, key=lambda trial: trial.number)
        self.maximize = maximize
        self.metric = metric
        self.study = study

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: Any) -> Any:
        return self._trials[index]

    @property
    def best(self) -> TrialResult | None:
        """The trial with the best value among those that are done; None if there is none."""
        done = self.ranked(DONE)
        return done[0] if done else None

    def ranked(self, *states: str) -> list[TrialResult]:
        """Trials of some states with a value, the best first."""
        sign = -1 if self.maximize else 1
        chosen = [(trial.value, trial) for trial in self if trial.state in states and trial.value is not None]
        return [trial for _, trial in sorted(chosen, key=lambda pair: (sign * pair[0], pair[1].number))]

    def count(self, value: Any) -> int:
        """How many trials are in a state."""
        return sum(trial.state == value for trial in self)

    def rows(self) -> list[list[str]]:
        """The table: a heading, then the trials, the best first and those without a value last."""
        ordered = [*self.ranked(DONE), *self.ranked(PRUNED)]
        ordered += [trial for trial in self if trial not in ordered]
        names = list(dict.fromkeys(name for trial in self for name in trial.params))
        heading = ["trial", "state", self.metric, *names, "steps", "seconds", "error"]
        return [heading] + [
            [
                str(trial.number),
                trial.state,
                _shown(trial.value),
                *(_shown(trial.params.get(name)) for name in names),
                str(trial.steps or ""),
                "" if trial.seconds is None else f"{trial.seconds:.1f}",
                trial.error,
            ]
            for trial in ordered
        ]

    def __str__(self) -> str:
        """The table, without columns that are empty."""
        columns = [column for column in zip(*self.rows()) if any(column[1:])]
        widths = [min(max(map(len, column)), 60) for column in columns]
        lines = [
            "  ".join(
                f"{printable(cell):{'<' if i == 1 else '>'}{width}.60}"
                for i, (cell, width) in enumerate(zip(row, widths))
            )
            for row in zip(*columns)
        ]
        return "\n".join(line.rstrip() for line in lines)

    def save_table(self, path: str | Path) -> Path:
        """Write the table as a CSV file."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self.rows())
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())
        return Path(path)

    def save_plots(self, folder: str | Path) -> list[Path]:
        """Draw Optuna's pictures that have something to show, as PNG files.

        They are `history.png`, the values of the trials; `importance.png`, how much each parameter matters;
        `slice.png`, the value against each parameter; `parallel.png`, all parameters of a trial as a line;
        `epochs.png`, what the trials reported.

        Returns: the files. Raises: MissingDependencyError without Optuna or matplotlib.
        """
        done = self.ranked(DONE)
        names = self.study.user_attrs["space"] if self.study is not None else []
        reported = any(trial.steps > 1 for trial in self)
        varied = [name for name in names if len({trial.params[name] for trial in done}) > 1]
        wanted = {"history": bool(done), "slice": bool(done) and bool(varied)}
        wanted["parallel"] = len(done) > 1 and len(varied) > 1
        wanted["importance"] = len(done) > 3 and len(varied) > 1
        wanted["epochs"] = reported
        files = []
        folder = Path(folder)
        for name, sensible in wanted.items():
            if sensible:
                with _drawing() as (optuna_plots, pyplot):
                    files.append(self._save_plot(name, varied, optuna_plots, pyplot, folder / f"{name}.png"))
            else:
                (folder / f"{name}.png").unlink(missing_ok=True)
        return files

    def _save_plot(self, name: str, params: list[str], plots: Any, pyplot: Any, path: Path) -> Path:
        options: dict[str, Any] = {"target_name": self.metric}
        if name == "history":
            axes = plots.plot_optimization_history(self.study, **options)
        elif name == "epochs":
            axes = plots.plot_intermediate_values(self.study)
            axes.set(xlabel="epoch", ylabel=self.metric)
            if len(self) > 10 and axes.get_legend() is not None:
                axes.get_legend().remove()
        elif name == "importance":
            axes = plots.plot_param_importances(self.study, params=params, **options)
        elif name == "slice":
            axes = plots.plot_slice(self.study, params=params, **options)
        else:
            axes = plots.plot_parallel_coordinate(self.study, params=params, **options)
        figure = pyplot.gcf()
        if name == "slice":
            figure.set_size_inches(max(3.2 * len(params), 5), 3.8)
        else:
            figure.set_size_inches(7.5, 4.5)
        with errors_naming(path):
            figure.savefig(path, dpi=_DOTS_PER_INCH, bbox_inches="tight")
        pyplot.close(figure)
        return path


@contextmanager
def _drawing() -> Iterator[tuple[Any, Any]]:
    """Optuna's plots and pyplot, whose style is the caller's again afterwards."""
    matplotlib = optional_import("matplotlib", extra="train")
    pyplot = optional_import("matplotlib.pyplot", extra="train")
    plots = optional_import("optuna.visualization.matplotlib", extra="search")
    logger = logging.getLogger("optuna")
    level = logger.level
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield plots, pyplot
        finally:
            logger.setLevel(level)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
