"""The search: which trial is next, who works on it, and what becomes of trials that end badly."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpnn.backend import (
    ArgumentError,
    RefusingConstructor,
    XpnnError,
    nearest,
    optional_import,
    path_of,
    printable,
)
from xpnn.io import atomic_write
from xpnn.search import workers
from xpnn.search.results import DONE, FAILED, PRUNED, RUNNING, WAITING, Results, TrialResult
from xpnn.search.sampling import SeededSampler, make_pruner, shuffled
from xpnn.search.space import Choice, Int, LogUniform, Space, Uniform, as_json, grid_of
from xpnn.search.storage import JOURNAL, Worker, exclusive, is_alive, open_study
from xpnn.search.trial import Pruned, Trial

METHODS = ("tpe", "random", "grid")
PRUNERS = ("none", "asha")
_ATTEMPTS = 3  # at a trial whose process is killed each time

Objective = Callable[[Trial], float]


class Search(RefusingConstructor):
    """A search for the values of hyper-parameters that make a function best.

    Args:
        space: a range for each parameter: `Uniform`, `LogUniform`, `Int` or `Choice`.
        folder: where the search is kept; another `Search` on the same folder, also of another process or
            another machine that shares it, works on the same trials.
        method: "tpe" learns from the trials so far (tree-structured Parzen estimator), "random" draws, "grid"
            takes all combinations (see `points` of the ranges) in an order that the seed shuffles.
        pruner: "asha" ends trials early that are not among the best third of those that came as far, after 1,
            3, 9 ... steps (asynchronous successive halving); they have to `report`. "none" lets all finish.
        maximize: whether large values are good.
        seed: of the choices. In one process the trials are the same from run to run; with "random" and
            "grid" also in several.
        metric: what the value is called in tables and pictures.

    Raises: ArgumentError for a search in `folder` that was begun in another way; MissingDependencyError
    without Optuna.

    See: Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011); Li et al., A System for
    Massively Parallel Hyperparameter Tuning (2020).

    >>> import tempfile
    >>> search = Search({"x": Uniform(-1, 1)}, tempfile.mkdtemp(), method="grid")
    >>> search.run(lambda trial: trial.params["x"] ** 2).best.params
    {'x': 0.0}
    """

    def __init__(
        self,
        space: Space,
        folder: str | Path,
        *,
        method: str = "tpe",
        pruner: str = "none",
        maximize: bool = False,
        seed: int = 0,
        metric: str = "value",
    ) -> None:
        _expect("method", method, METHODS)
        _expect("pruner", pruner, PRUNERS)
        if not space:
            raise ArgumentError("expects a space of at least one parameter, got none", subject="Search")
        for name, range_ in space.items():
            if not isinstance(range_, Uniform | LogUniform | Int | Choice):
                raise ArgumentError(
                    f"expects ranges such as Uniform(0, 1), got {range_!r:.60} as '{name}'", subject="Search"
                )
        self.space = dict(space)
        self.folder = path_of(folder, "folder", "Search")
        self.method, self.pruner, self.maximize = method, pruner, maximize
        self.seed, self.metric = seed, metric
        self._optuna = optional_import("optuna", extra="search")
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder):
            self._study = open_study(self.folder, maximize, create=True)
            self._expect_the_same()
        self._study.sampler = self._sampler = SeededSampler(method, seed)
        self._study.pruner = make_pruner(pruner)

    # -- what a user calls

    def run(
        self,
        objective: Objective,
        trials: int | None = None,
        processes: int = 1,
        on_trial: Callable[[TrialResult], None] | None = None,
    ) -> Results:
        """Try values until there are `trials` trials in all, those of earlier calls and other processes too.

        Args:
            objective: takes a `Trial` and returns its value. Whatever it raises fails the trial, not the
                search; a value that is no number does too. With several processes, a function of a module.
            trials: how many; None is the whole grid, or 20.
            processes: how many work at a time. Scripts then need `if __name__ == "__main__":`, as with all
                that starts processes.
            on_trial: is called with each trial that has ended, in the process that worked on it.

        A trial that was cut, because its process was killed or interrupted, is taken up again, in the same
        folder; after three attempts it counts as failed.

        Returns: the results so far.
        """
        if not callable(objective):
            raise ArgumentError(f"expects a function, got {type(objective).__name__}", subject="Search.run")
        count = self.count(trials)
        if processes > 1:
            workers.run(self, objective, count, processes, on_trial)
        else:
            self.work(objective, count, on_trial)
        return self.results()

    def count(self, trials: int | None) -> int:
        """How many trials there will be; a grid has no more than its points."""
        if trials is not None and (not isinstance(trials, int) or trials < 1):
            raise ArgumentError(
                f"expects trials as an integer >= 1, got {trials!r:.40}", subject="Search.run"
            )
        if self.method == "grid":
            points = len(grid_of(self.space))
            return points if trials is None else min(trials, points)
        return 20 if trials is None else trials

    def results(self) -> Results:
        """All trials so far."""
        found: dict[int, TrialResult] = {}
        for frozen in self._study.get_trials(deepcopy=False):
            index = frozen.user_attrs.get("index")
            if index is not None and not frozen.user_attrs.get("cut"):
                found[index] = _result_of(frozen, index)
        return Results(list(found.values()), self.maximize, self.metric, self._study)

    def has_work(self, count: int) -> bool:
        """Whether there are trials to begin, or to take up again."""
        with exclusive(self.folder):
            self._take_up()
            results = self.results()
            return len(results) < count or results.count(WAITING) > 0

    def progress(self) -> int:
        """A number that grows with each trial that begins."""
        return len(self._study.get_trials(deepcopy=False))

    def work(
        self,
        objective: Objective,
        count: int,
        on_trial: Callable[[TrialResult], None] | None = None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Work on one trial after the other in this process, until there is none left."""
        worker = Worker(self.folder)
        try:
            while goes_on() and (handle := self._next(worker, count)) is not None:
                index = handle.user_attrs["index"]
                trial = Trial(handle, index, dict(handle.params), self.folder / "trials" / f"{index:04}")
                trial.folder.mkdir(parents=True, exist_ok=True)
                self._try(objective, trial, handle)
                if on_trial is not None:
                    on_trial(next(result for result in self.results() if result.number == index))
        finally:
            worker.close()

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: getattr(self, name) for name in ("method", "pruner", "maximize", "seed", "metric")}
        return _rebuild, (self.space, self.folder, options)

    # -- trials

    def _next(self, worker: Worker, count: int) -> Any:
        """The next trial, as Optuna has it; None if there is none."""
        with exclusive(self.folder):
            self._take_up()
            results = self.results()
            attributes: dict[str, Any] = {"worker": worker.name}
            if not results.count(WAITING):
                if len(results) >= count:
                    return None
                taken = {result.number for result in results}
                index = next(number for number in itertools.count() if number not in taken)
                self._sampler.index = index
                attributes |= {"index": index, "attempt": 1}
                if self.method == "grid":
                    self._study.enqueue_trial(self._grid()[index])
            distributions = {name: range_.distribution(self._optuna) for name, range_ in self.space.items()}
            handle = self._study.ask(fixed_distributions=distributions)
            for name, value in attributes.items():
                handle.set_user_attr(name, value)
            return handle

    def _try(self, objective: Objective, trial: Trial, handle: Any) -> None:
        states = self._optuna.trial.TrialState
        try:
            value = float(objective(trial))
            if not math.isfinite(value):
                raise ArgumentError(f"has the value {value}", subject="the trial")
            self._study.tell(handle, value)
        except Pruned:
            self._study.tell(handle, state=states.PRUNED)
        except Exception as error:
            handle.set_user_attr("error", _line(error))
            with atomic_write(trial.folder / "error.txt") as file:
                file.write(traceback.format_exc().encode(errors="backslashreplace"))
            self._study.tell(handle, state=states.FAIL)
        except BaseException:  # Ctrl-C, SIGTERM
            with exclusive(self.folder):
                self._cut(handle._trial_id, handle.number)
            raise

    def _take_up(self) -> None:
        """Cut the trials of processes that are no more."""
        states = self._optuna.trial.TrialState
        for frozen in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            worker = frozen.user_attrs.get("worker")
            if worker is None or not is_alive(self.folder, worker):
                self._cut(frozen._trial_id, frozen.number)

    def _cut(self, trial_id: int, number: int) -> None:
        """End a trial that cannot end by itself, and let it be tried again."""
        storage = self._study._storage
        frozen = storage.get_trial(trial_id)
        attributes = frozen.user_attrs
        if attributes.get("attempt", 0) >= _ATTEMPTS:
            storage.set_trial_user_attr(trial_id, "error", f"its process was killed {_ATTEMPTS} times")
        elif not attributes.get("cut"):  # else whoever had cut it was killed too
            storage.set_trial_user_attr(trial_id, "cut", True)
            if "attempt" in attributes:  # else it was cut before all was known about it: it never was
                attributes = {"index": attributes["index"], "attempt": attributes["attempt"] + 1}
                self._study.enqueue_trial(frozen.params, user_attrs=attributes)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    # -- how it was begun

    def _expect_the_same(self) -> None:
        """Keep the definition with a new search, and compare it with that of one that goes on."""
        definition = {
            "space": as_json(self.space),
            "method": self.method,
            "pruner": self.pruner,
            "maximize": self.maximize,
            "seed": self.seed,
            "metric": self.metric,
        }
        kept = self._study.user_attrs
        for name, value in definition.items():
            if name not in kept:
                self._study.set_user_attr(name, value)
            elif _plain(kept[name]) != _plain(value):
                raise ArgumentError(
                    f"holds a search that was begun with {name} = {_brief(kept[name])}, not {_brief(value)}",
                    subject=f"'{self.folder}'",
                    hint="Choose another folder, or begin it anew",
                )

    def _grid(self) -> list[dict[str, Any]]:
        """The points of the grid in an order of the seed's."""
        points = grid_of(self.space)
        return [points[i] for i in shuffled(len(points), self.seed)]


def _rebuild(space: Space, folder: Path, options: dict[str, Any]) -> Search:
    return Search(space, folder, **options)


def begin_anew(folder: str | Path) -> None:
    """Remove a search and its trials from a folder."""
    folder = Path(folder)
    for name in ("trials", "workers"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (folder / JOURNAL, folder / "trials.csv"):
        path.unlink(missing_ok=True)


def _result_of(frozen: Any, index: int) -> TrialResult:
    reports = frozen.intermediate_values
    state = {"COMPLETE": DONE, "PRUNED": PRUNED, "FAIL": FAILED, "RUNNING": RUNNING, "WAITING": WAITING}
    value = frozen.value
    if frozen.state.name == "PRUNED" and reports:
        value = reports[max(reports)]
    return TrialResult(
        index,
        state[frozen.state.name],
        value,
        dict(frozen.params or frozen.system_attrs.get("fixed_params", {})),
        max(reports, default=0),
        frozen.duration.total_seconds() if frozen.duration is not None else None,
        frozen.user_attrs.get("error", ""),
    )


def _line(error: Exception) -> str:
    """What went wrong, without the advice."""
    text = f"{error.subject} {error.problem}".strip() if isinstance(error, XpnnError) else str(error)
    return printable(" ".join(f"{type(error).__name__}: {text}".split()))[:500]


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _brief(value: Any) -> str:
    return f"{json.dumps(value):.200}"


def _expect(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = nearest(str(value), choices)
        raise ArgumentError(
            f"expects {name} to be one of {', '.join(map(repr, choices))}, got {value!r:.60}",
            subject="Search",
            hint=f"Did you mean {close!r}?" if close else "",
        )
