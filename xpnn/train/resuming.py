"""A run in files: saved whole, previous ones kept, and the newest whole one found again."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    CheckpointError,
    backend_of,
    device_of,
    expect_state,
    is_array,
    is_count,
    is_flag,
    move,
)
from xpnn.data import DataLoader
from xpnn.io import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint
from xpnn.metrics import Metric
from xpnn.nn import Module
from xpnn.optim.zero_redundancy import shared_out
from xpnn.train.history import History, is_history
from xpnn.train.hyperparameters import storable
from xpnn.train.limits import knows_its_position
from xpnn.train.logged import Logged
from xpnn.train.loop import Loop
from xpnn.train.meters import load_sums, sums_of

LAST, PREVIOUS = "last.safetensors", "previous.safetensors"


class Resumable(Loop):
    """The part of a Trainer that saves runs and goes on with them."""

    _loaded: bool
    _stopped: bool

    def save(self, path: str | Path, weights_only: bool = False) -> None:
        """Write all that the run consists of to one file (see `xpnn.io.save_checkpoint`).

        In a job of several processes all of them must call this alike; the first one writes.

        Args:
            path: the file.
            weights_only: leave all but the model out.
        """
        parts = self._parts()
        if weights_only:
            parts = {"model": parts["model"]}
        else:
            self._gather(parts)
        if not self._team.rank:
            for logger in self.loggers:
                logger.save()  # before, so that a resumed run finds all that was logged by then
            config, extra = self._config(), self._extra()
            save_checkpoint(path, config=config, extra=extra, random=not weights_only, **parts)
        self._team.wait()  # none goes on, or ends the job, before the file is whole

    def save_checkpoint(self, filepath: str | Path, weights_only: bool = False) -> None:
        """Lightning's name of `save`."""
        self.save(filepath, weights_only)

    def save_last(self, folder: Path) -> None:
        """Save the run as the last of a folder, and keep the one before as `previous.safetensors`."""
        last = folder / LAST
        if last.exists() and not self._team.rank:
            _link(last, folder / PREVIOUS)
        self.save(last)

    def load(self, path: str | Path, train_loader: Any = None) -> Checkpoint:
        """Take over a run that `save` wrote, on whatever backend the model is now.

        In a job of several processes all of them must call this alike.

        Args:
            path: the file.
            train_loader: the loader that is to go on from its position in the data; `fit` gives its own.

        Raises: CheckpointError if the file is missing, damaged, or does not fit; then nothing was changed.
        """
        self._loader = self._loader if train_loader is None else train_loader
        checkpoint = load_checkpoint(path, random=True, **self._parts())
        self._task.hook("on_load_checkpoint", dict(checkpoint.extra.get("module", {})))
        return checkpoint

    # -- the Trainer's own state

    def state_dict(self) -> dict[str, Any]:
        """The Trainer's own part: counts, sums of the running epoch, history, callbacks.

        In a job of several processes all of them must call this alike: the sums are those of all.
        """
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "batches": self.batches,
            "samples": self.samples,
            "steps": self.global_step,
            "trained": self._trained,
            "due": self._due,
            "stopped": self._stopped,
            "between": self._between,
            "sums": self._meters.state_dict(self._team),
            "logged": self._training.logged.state_dict(dict(metrics_of(self._task.module)), self._team),
            "metrics": {
                name: sums_of(self._team.merged(metric)) for name, metric in metrics_of(self._task.module)
            },
            "group": self._group_state(),
            "measures": {n: v for n, v in self.callback_metrics.items() if isinstance(v, int | float)},
            "history": self.history.rows(),
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
            "loggers": [logger.position() for logger in self.loggers],
            "validation": [_at_the_start(loader) for loader in self._val_loaders],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError; then nothing was changed."""
        self.check_state_dict(state)
        state = _DEFAULTS | state
        like = next(iter(self._task.module.parameters())).array
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.batches, self.samples = state["batches"], state["samples"]
        self.global_step = state["batches"] if state["steps"] is None else state["steps"]
        self._trained, self._stopped, self._loaded = state["trained"], state["stopped"], True
        self._due, self._between = state["due"], dict(state["between"])
        self._training = self._stage = self._new_stage("train")
        metrics = dict(metrics_of(self._task.module))
        self._training.logged.load_state_dict(state["logged"], metrics, like)
        if self._team.rank:  # the sums are those of all processes, and the first one goes on with them
            self._training.logged.clear_sums()
            for metric in [*self._meters.all(), *metrics.values()]:
                metric.reset()
        else:
            self._meters.load_state_dict(state["sums"], like)
            for name, metric in metrics.items():
                load_sums(metric, state["metrics"].get(name, {}), like)
        self._load_group(state["group"])
        self.callback_metrics = dict(state["measures"])
        self._positions = tuple(state["loggers"])
        self.history = History(state["history"])
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][name])
        for loader, found in zip(self._val_loaders, state["validation"]):
            if found is not None and isinstance(loader, DataLoader):
                with suppress(CheckpointError, ArgumentError):  # other data may be validated on now
                    loader.load_state_dict(found)

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        expect_state(state, "Trainer")
        counts = dict.fromkeys(("epoch", "batch", "batches", "samples"), is_count)
        flags = dict.fromkeys(("trained", "stopped", "due"), is_flag)
        dicts = dict.fromkeys(("between", "sums", "callbacks", "logged", "metrics", "measures"), _is_dict)
        expect_state(
            _DEFAULTS | state,
            "Trainer",
            **counts,
            **flags,
            **dicts,
            steps=lambda steps: steps is None or is_count(steps),
            history=is_history,
            group=_is_group,
            loggers=lambda found: isinstance(found, list) and all(p is None or is_count(p) for p in found),
            validation=lambda states: (
                isinstance(states, list) and all(s is None or _is_dict(s) for s in states)
            ),
        )
        state = _DEFAULTS | state
        self._meters.check_state_dict(state["sums"])
        Logged().check_state_dict(state["logged"])
        self._check_group(state["group"])
        for name, sums in state["metrics"].items():
            expect_state(sums, f"The metric '{name}'")
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.check_state_dict(state["callbacks"][name])

    def _group_state(self) -> dict[str, Any] | None:
        """The gradients that are being accumulated; in a team their means, with which each goes on."""
        if not self._group.count:
            return None
        parameters = dict(self._task.module.named_parameters())
        gradients = {name: p.grad.array for name, p in parameters.items() if p.grad is not None}
        like = {name: p.array for name, p in parameters.items()}
        return {**vars(self._group), "gradients": self._team.means(gradients, like)}

    def _load_group(self, state: dict[str, Any] | None) -> None:
        self._group.clear()
        if state is None:
            return
        for name in ("count", "first", "total"):
            setattr(self._group, name, state[name])
        for name, parameter in self._task.module.named_parameters():
            parameter.grad = None
            if name in state["gradients"]:
                like, gradient = parameter.array, state["gradients"][name]
                parameter.grad = Tensor(move(gradient, backend_of(like), device_of(like), like.dtype))

    def _check_group(self, state: dict[str, Any] | None) -> None:
        shapes = {name: tuple(p.shape) for name, p in self._task.module.named_parameters()}
        for name, gradient in (state or {}).get("gradients", {}).items():
            if shapes.get(name) != tuple(gradient.shape):
                raise CheckpointError(f"cannot take a gradient of '{name}' of its shape", subject="Trainer")

    # -- what is in a file

    def _gather(self, parts: dict[str, Any]) -> None:
        """Put what each process of a team has a share of together in the first one."""
        if self._team.size > 1:
            parts["trainer"] = _Taken(self.state_dict())
        for optimizer in self._task.optimizers:
            for part in shared_out(optimizer):
                part.consolidate_state_dict()

    def _parts(self) -> dict[str, Any]:
        """What is saved, by the names that it goes by in the file."""
        parts: dict[str, Any] = {"model": self._task.module}
        for kind, objects in (
            ("optimizer", self._task.optimizers),
            ("scheduler", [schedule.scheduler for schedule in self._task.schedules]),
        ):
            for number, part in enumerate(objects, 1):
                parts[kind if number == 1 else f"{kind} {number}"] = part
        parts["trainer"] = self
        if self.precision.scaler is not None:
            parts["scaler"] = self.precision.scaler
        if knows_its_position(self._loader):
            parts["loader"] = self._loader
        if self.datamodule is not None and self.datamodule.state_dict():
            parts["datamodule"] = self.datamodule
        return parts

    def _config(self) -> dict[str, Any]:
        module = self.lightning_module
        if module is None or not module.hparams:
            return self.config
        kept = storable(module.hparams)
        left_out = [name for name in module.hparams if name not in kept]
        return {**self.config, "hparams": kept, **({"hparams_left_out": left_out} if left_out else {})}

    def _extra(self) -> dict[str, Any]:
        """What the module adds by its hook."""
        added: dict[str, Any] = {}
        self._task.hook("on_save_checkpoint", added)
        return {"module": added} if added else {}

    # -- finding it again

    def _resume(self, source: str | Path | Literal[True]) -> None:
        """Load the run that `source` means, and say which file that was."""
        if source is True or source == "last":
            self._load_newest()
        elif source == "best":
            self._say_resumed(self._best_path())
        elif source == "hpc":
            raise _error("knows no checkpoint 'hpc'", "Give 'last', 'best' or a path")
        else:
            self.load(source)
            self._say_resumed(Path(source), load=False)

    def _load_newest(self) -> None:
        """Load the newest of the run's checkpoints that is whole."""
        folders = self._folders()
        if not folders:
            raise _error("cannot resume without a folder", "Give Trainer(..., out=...) or resume='file'")
        path, passed_over = first_whole(newest_first(folders))
        damaged = "; ".join(f"{file} ({problem})" for file, problem in passed_over.items())
        if path is None and damaged:
            raise CheckpointError(f"finds no whole checkpoint: {damaged}", subject="Trainer")
        if path is None:
            raise CheckpointError("does not exist", subject=f"'{folders[0] / LAST}'")
        if damaged:
            warnings.warn(
                f"Trainer.fit passes over what is no whole checkpoint: {damaged}; it goes on from {path}",
                RuntimeWarning,
                stacklevel=4,
            )
        self._say_resumed(path)

    def _say_resumed(self, path: Path, load: bool = True) -> None:
        if load:
            self.load(path)
        self.resumed_from = path
        where = f"epoch {self.epoch + 1}, batch {self.batch}" if self.batch else f"epoch {self.epoch + 1}"
        if self._speaks:
            self.print(f"resumed from {path}: {where}", file=sys.stderr)

    def _weights_from(self, path: str | Path) -> None:
        """Load the model's part of a checkpoint."""
        read_checkpoint(path).restore(random=False, model=self._task.module)

    def _folders(self) -> list[Path]:
        """Where the run's checkpoints are."""
        found = [] if self.out is None else [self.out]
        for callback in self.callbacks:
            folder = getattr(callback, "folder", None)
            if isinstance(folder, Path):
                found.append(folder)
        return list(dict.fromkeys(found))

    def _best_path(self) -> Path:
        for callback in self.callbacks:
            path = getattr(callback, "best_model_path", "")
            if path:
                return Path(path)
        for folder in self._folders():
            if (folder / "best.safetensors").exists():
                return folder / "best.safetensors"
        raise _error("has no best checkpoint yet", "Give ckpt_path='last' or a path")

    resumed_from: Path | None = None
    _positions: tuple[int | None, ...] = ()  # of the loggers, when the run was saved that was loaded
    _speaks: bool = True

    def _save_cut_run(self, together: bool = True) -> Path | None:
        """Save the run as it was between two batches; else it goes on from what was saved before.

        Args:
            together: whether all processes of a team do so, as they have agreed on the end.
        """
        self._interrupt.wait_for_all()
        folders = self._folders()
        if not folders:
            return None
        if self._resumable and (together or self._team.size == 1):
            self.save_last(folders[0])
        last = folders[0] / LAST
        return last if last.exists() else None


class _Taken:
    """A state that was taken before it is written."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, Any]:
        """The state."""
        return self._state


def newest_first(folders: Iterable[Path]) -> Iterator[Path]:
    """The checkpoints in some folders, the one that was written last at first."""
    entries = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            if path.suffix == ".safetensors" and not path.name.startswith(".") and path.is_file():
                entries.append((path.stat().st_mtime_ns, path.name == LAST, str(path), path))
    for *_, path in sorted(entries, reverse=True):
        yield path


def first_whole(paths: Iterable[Path]) -> tuple[Path | None, dict[Path, str]]:
    """The first file that is a whole checkpoint of a run, or None; and what is wrong with those before it."""
    damaged: dict[Path, str] = {}
    for path in paths:
        try:
            if "trainer" in read_checkpoint(path).states:  # else it is of a model alone
                return path, damaged
        except CheckpointError as error:
            damaged[path] = error.problem
    return None, damaged


def metrics_of(module: Module) -> Iterator[tuple[str, Metric]]:
    """The Metrics that are attributes of a module or of its parts, with their dotted names."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, Metric):
                yield f"{path}.{name}" if path else name, value


def _link(source: Path, target: Path) -> None:
    """Let a file go by a second name, which another file may have had; a copy where there are no links."""
    unfinished = target.with_name(f".xpnn-{os.getpid()}-{target.name}.tmp")
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)
        try:
            os.link(source, unfinished)
        except OSError:
            unfinished.write_bytes(source.read_bytes())
        os.replace(unfinished, target)


_DEFAULTS: dict[str, Any] = {  # of what files of older versions lack
    "steps": None,
    "due": False,
    "between": {},
    "logged": {},
    "metrics": {},
    "group": None,
    "measures": {},
    "loggers": [],
    "validation": [],
}


def _at_the_start(loader: Any) -> dict[str, Any] | None:
    """The state of a loader before the pass that it is in, if it is one that can be resumed."""
    return loader.state_dict() | {"position": 0} if isinstance(loader, DataLoader) else None


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_group(state: Any) -> bool:
    if state is None:
        return True
    return (
        isinstance(state, dict)
        and all(is_count(state.get(name)) for name in ("count", "first", "total"))
        and isinstance(state.get("gradients"), dict)
        and all(map(is_array, state["gradients"].values()))
    )


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
