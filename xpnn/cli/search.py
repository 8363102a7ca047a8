"""`xpnn search CONFIG`: look for the options of `xpnn train` that do best."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
import warnings
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnn.backend import ArgumentError, MissingDependencyError, nearest, printable
from xpnn.cli.config import fill_in, read_toml
from xpnn.cli.dataset import Data, load_data
from xpnn.cli.options import add_backend_options, choose_backend, not_negative, positive, program
from xpnn.cli.plugins import load_plugins
from xpnn.cli.run import Run, newest_checkpoint
from xpnn.cli.search_page import PAGE, write_search_page
from xpnn.cli.settings import Settings, add_options
from xpnn.cli.train import add_parser as add_train_parser
from xpnn.io import atomic_write
from xpnn.search import Choice, ReportToTrial, Results, Search, Space, Trial, TrialResult, space_of
from xpnn.search.search import METHODS, PRUNERS, begin_anew

_METRICS = ("val_loss", "val_accuracy")
_EXAMPLE = """A file such as

    data = "digits"
    model = "mlp"
    epochs = 5

    [search]
    method = "tpe"
    pruner = "asha"
    trials = 30

    [search.space]
    lr = {log-uniform = [1e-4, 1e-1]}
    weight-decay = {uniform = [0, 0.1]}
    batch-size = [32, 64, 128]
    size = {int = [8, 16]}

Keys outside of [search] are options of `xpnn train`. Values are compared on a fifth of the training data
that is held out for this; the test data stay unseen. Call it on several machines that share the folder, and
they work on one search; call it again, and it goes on."""


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `search`."""
    parser = commands.add_parser(
        "search",
        help="look for the options of `train` that do best",
        description="Look for the options of `xpnn train` that do best.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="CONFIG", help="a TOML file with options of `train` and [search]")
    add = parser.add_argument
    add("--trials", type=positive(int), metavar="N", help="how many in all (20; the points of a grid)")
    add("--processes", type=positive(int), metavar="N", help="how many at a time (1)")
    add("--method", choices=METHODS, help="how values are chosen (tpe)")
    add("--pruner", choices=PRUNERS, help="what ends hopeless trials early (asha)")
    add("--metric", choices=_METRICS, help="what is compared (val_loss)")
    add("--seed", type=not_negative(int), metavar="N", help="of the choices (0)")
    add("--out", type=Path, metavar="FOLDER", help="folder of the search (runs/search-CONFIG)")
    add("--overwrite", action="store_true", help="replace the search in that folder by this one")
    add_backend_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Search, and say what is best."""
    console = arguments.console
    options, space = _read(arguments)
    choose_backend(arguments)
    settings = Settings.from_options(options)
    metric = arguments.metric or _METRICS[0]
    _check(options, space, metric)
    data = load_data(settings, download=True).held_out(settings.seed)
    if metric == "val_accuracy" and not data.classes:
        raise ArgumentError("is not measured where a number is predicted", subject="--metric val_accuracy")
    out = arguments.out or Path("runs", f"search-{Path(arguments.file).stem}")
    if arguments.overwrite:
        begin_anew(out)
    search = Search(
        space,
        out,
        method=arguments.method or METHODS[0],
        pruner=arguments.pruner or "asha",
        maximize=metric != "val_loss",
        seed=arguments.seed or 0,
        metric=metric,
    )
    count = search.count(arguments.trials)
    there = len(search.results())
    if there:
        console.say(f"going on with the search in {printable(str(out))}: {there} of {count} trials are there")
    console.say(
        f"{printable(settings.data)}: {count} trials by {search.method} (seed {search.seed}), pruner "
        f"{search.pruner}, for the {'largest' if search.maximize else 'smallest'} {metric} on a held-out "
        f"fifth of the training data, {arguments.processes or 1} at a time"
    )
    tell = None if console.quiet else functools.partial(_tell, metric=metric)
    try:
        results = search.run(TrainingTrial(options, metric), count, arguments.processes or 1, tell)
    except (KeyboardInterrupt, SystemExit) as ending:
        print(
            f"interrupted; go on with:\n  {shlex.join([program(), 'search', *arguments.words])}",
            file=sys.stderr,
        )
        return ending.code if isinstance(ending, SystemExit) and isinstance(ending.code, int) else 130
    return _conclude(arguments, results, options, out)


@dataclass(frozen=True)
class TrainingTrial:
    """Trains with the values of a trial, and returns the measure of the last epoch.

    Attributes:
        options: of `xpnn train`, by their names. metric: the measure.
    """

    options: dict[str, Any]
    metric: str

    def __call__(self, trial: Trial) -> float:
        """Train; a trial that was cut goes on from its checkpoint."""
        load_plugins()
        settings = Settings.from_options({**self.options, **_converted(trial.params)})
        report = ReportToTrial(trial, self.metric)
        run = Run.build(settings, _data(settings), trial.folder, [report], progress=False)
        checkpoint, _ = newest_checkpoint(trial.folder)
        if checkpoint is not None:
            run.trainer.load(checkpoint, run.train_loader)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of overflow, which ends the trial
            try:
                history = run.trainer.fit(
                    run.train_loader, run.test_loader, settings.epochs - run.trainer.epoch
                )
            except Exception:
                _remove_checkpoints(trial.folder)
                raise
        _remove_checkpoints(trial.folder)
        return history[self.metric][-1]


def _read(arguments: Namespace) -> tuple[dict[str, Any], Space]:
    """The options of `train` and the space; fills in the options of `search`."""
    file = arguments.file
    table = read_toml(file)
    about = table.pop("search", None)
    if not isinstance(about, dict) or "space" not in about:
        raise ArgumentError(
            "expects a table [search.space] with the options to search over, got none",
            subject=f"'{file}'",
            hint="See: xpnn search --help",
        )
    space = space_of(about.pop("space"), f"[search.space] in '{file}'")
    fill_in(arguments, arguments.parser, about, f"[search] in '{file}'")
    train = Namespace(
        data=None, folder=None, download=False, backend=arguments.backend, device=arguments.device
    )
    parser = _train_parser()
    for action in parser._actions:
        if action.dest not in train:
            setattr(train, action.dest, None)
    fill_in(train, parser, table, f"'{file}'")
    arguments.backend, arguments.device = train.backend, train.device
    options = {name: value for name in Settings.names() if (value := getattr(train, name)) is not None}
    if "data" not in options:
        raise ArgumentError("names no data", subject=f"'{file}'", hint='Add a line such as data = "digits"')
    names = [name.replace("_", "-") for name in Settings.names() if name not in ("data", "folder")]
    renamed = {}
    for name, range_ in space.items():
        if name.replace("_", "-") not in names:
            close = nearest(name.replace("_", "-"), names)
            raise ArgumentError(
                f"has a parameter '{name}' that is no option of `xpnn train`",
                subject=f"[search.space] in '{file}'",
                hint=f"Did you mean {close}?" if close else f"There are: {', '.join(names)}",
            )
        renamed[name.replace("_", "-")] = range_
    return options, renamed


def _check(options: dict[str, Any], space: Space, metric: str) -> None:
    """Find out before the search which values no run can have, and what cannot be compared."""
    if "label-smoothing" in space and metric == "val_loss":
        raise ArgumentError(
            "changes what val_loss means, so that its values cannot be compared by it",
            subject="label-smoothing",
            hint="Compare by --metric val_accuracy",
        )
    for name, range_ in space.items():
        for value in range_.values if isinstance(range_, Choice) else (range_.low, range_.high):
            Settings.from_options({**options, **_converted({name: value})})


def _converted(params: dict[str, Any]) -> dict[str, Any]:
    """The values of a trial as `train` has them."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    given = Namespace(**{action.dest: None for action in parser._actions})
    fill_in(given, parser, params, "the search space")
    return {name: value for name, value in vars(given).items() if value is not None}


@functools.cache
def _train_parser() -> argparse.ArgumentParser:
    return add_train_parser(argparse.ArgumentParser().add_subparsers())


@functools.lru_cache(maxsize=2)
def _held_out(options: tuple[tuple[str, Any], ...]) -> Data:
    settings = Settings.from_options(dict(options))
    return load_data(settings).held_out(settings.seed)


def _data(settings: Settings) -> Data:
    """What a trial is trained and tested on, read once for all trials that see the same."""
    seen = ("data", "folder", "size", "channels", "seed", "target", "task")
    return _held_out(tuple((name, value) for name, value in settings.given().items() if name in seen))


def _remove_checkpoints(folder: Path) -> None:
    """A trial that has ended is not gone on with."""
    for path in folder.glob("*.safetensors"):
        path.unlink(missing_ok=True)


def _tell(result: TrialResult, metric: str) -> None:
    """A line about a trial that has ended."""
    values = ", ".join(f"{name} {_shown(value)}" for name, value in result.params.items())
    if result.error:
        said = f"failed: {result.error}"
    else:
        said = f"{metric} {result.value:.4f}" + (
            f", ended after {result.steps} epoch{'s' * (result.steps != 1)}"
            if result.state == "pruned"
            else ""
        )
    print(printable(f"trial {result.number}: {said}  ({values})"), flush=True)


def _conclude(arguments: Namespace, results: Results, options: dict[str, Any], out: Path) -> int:
    console, best = arguments.console, results.best
    files = [results.save_table(out / "trials.csv")]
    try:
        files += results.save_plots(out)
    except MissingDependencyError as error:
        console.say(f"pictures are left out: {error}")
    console.say(f"\n{results}\n")
    if best is None:
        raise ArgumentError(
            f"has no trial that came to its end ({results.count('failed')} of {len(results)} failed)",
            subject="the search",
            hint=f"See trials.csv and error.txt of the trials in {out}",
        )
    settings = Settings.from_options({**options, **_converted(best.params)})
    command = [
        program(),
        *settings.command(),
        "--out",
        str(Path("runs", f"best-{Path(arguments.file).stem}")),
    ]
    if arguments.backend:
        command += ["--backend", arguments.backend]
    if arguments.device:
        command += ["--device", arguments.device]
    with atomic_write(out / "best.toml") as file:
        for name, value in settings.given().items():
            file.write(f"{name.replace('_', '-')} = {_as_toml(value)}\n".encode())
    files.append(out / "best.toml")
    files.append(
        write_search_page(
            out / PAGE,
            f"Search over {', '.join(best.params)} on {Path(settings.data).name}",
            results,
            [path for path in files if path.suffix == ".png"],
            shlex.join(command),
            {name.replace("_", "-"): printable(str(value)) for name, value in options.items()},
        )
    )
    console.say(f"In {printable(str(out))}: {', '.join(path.name for path in files)}")
    console.result(
        f"best: trial {best.number}, {results.metric} {best.value:.5g}",
        best={"trial": best.number, "value": best.value, "params": best.params},
        command=shlex.join(command),
        trials=[vars(trial) for trial in results],
        out=str(out),
        files=[str(path) for path in files],
    )
    console.say("Train with its options on all training data:")
    console.result(f"  {shlex.join(command)}")
    return 0


def _as_toml(value: Any) -> str:
    return (
        str(value)
        if isinstance(value, int | float)
        else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
