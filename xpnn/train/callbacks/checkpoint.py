"""Saving a run: the last state, the one before, and the best ones."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError, expect_state, path_of
from xpnn.functional.arguments import check_flags
from xpnn.train.arguments import check_text, optional
from xpnn.train.callbacks.base import Callback
from xpnn.train.callbacks.best import Best, is_best
from xpnn.train.limits import seconds_of

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

_SUFFIX = ".safetensors"


class ModelCheckpoint(Callback):
    """Save the run: `last.safetensors` after each epoch, `best.safetensors` after each improvement.

    The last is saved between batches, too, if that is asked for; the one before it stays, as
    `previous.safetensors`, so that there is a whole one whatever happens.

    Args:
        folder: where to; None is the trainer's `out`. Also called `dirpath`.
        monitor, mode: what "best" goes by (see `Best`).
        every_batches: save the last also after so many batches; None leaves it at the epochs.
        filename: a name for best ones, with measures in braces: "{epoch}-{val_loss:.2f}" is saved as
            "epoch=3-val_loss=0.12.safetensors".
        save_top_k: how many of the best are kept; -1 keeps all, 0 none.
        save_last: whether there is a last one.
        save_weights_only: leave all but the model out of the best ones, which then can be used and not
            resumed.
        auto_insert_metric_name: whether a name has "val_loss=0.12" in the place of the braces, or "0.12".
        every_n_train_steps: save the last also after so many optimizer steps.
        train_time_interval: save the last also after so much time: a timedelta, a dict of its arguments, or
            "DD:HH:MM:SS". It is looked at between batches.
        every_n_epochs: look for the best, and save the last, after so many epochs only.
        verbose: say what was saved.
        save_on_train_epoch_end, enable_version_counter: have no effect.

    Attributes:
        best_model_path, best_model_score: the file and value of the best, "" and None at first.
        best_k_models: values by file. last_model_path: the file of the last.
    """

    order = 1  # after all callbacks whose state it saves

    def __init__(
        self,
        folder: str | Path | None = None,
        monitor: str | None = None,
        mode: str = "auto",
        every_batches: int | None = None,
        *,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        save_top_k: int = 1,
        save_last: bool | None = None,
        save_weights_only: bool = False,
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: Any = None,
        every_n_epochs: int | None = None,
        verbose: bool = False,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        for name, count in (
            ("every_batches", every_batches),
            ("every_n_train_steps", every_n_train_steps),
            ("every_n_epochs", every_n_epochs),
        ):
            if count is not None and (not isinstance(count, int) or count < 0):
                raise _error(f"expects {name} as an integer >= 0, got {count!r:.60}")
        if not isinstance(save_top_k, int) or save_top_k < -1:
            raise _error(f"expects save_top_k as an integer >= -1, got {save_top_k!r:.60}")
        folder = dirpath if folder is None else folder
        self.folder = optional(path_of, folder, "folder", "ModelCheckpoint")
        check_text(filename, "filename", "ModelCheckpoint", or_none=True)
        check_flags(
            "ModelCheckpoint",
            save_weights_only=save_weights_only,
            auto_insert_metric_name=auto_insert_metric_name,
            verbose=verbose,
        )
        self.best = Best(monitor, mode)
        self.every_batches = every_batches
        self.filename = filename
        self.save_top_k = save_top_k
        self.save_last = save_last is not False
        self.save_weights_only = save_weights_only
        self.auto_insert_metric_name = auto_insert_metric_name
        self.every_n_train_steps = every_n_train_steps
        self.seconds = seconds_of(train_time_interval)
        self.every_n_epochs = 1 if every_n_epochs is None else every_n_epochs
        self.verbose = verbose
        self.reset()

    def reset(self) -> None:
        """Forget the best ones."""
        self.best.value = None
        self.best_k_models: dict[str, float] = {}
        self.last_model_path = ""
        self._saved_at = time.monotonic()
        self._step = 0

    @property
    def dirpath(self) -> Path | None:
        """The folder, if it was given."""
        return self.folder

    @property
    def monitor(self) -> str | None:
        """The measure that the best goes by, or None for the trainer's own."""
        return self.best.monitor

    @property
    def best_model_score(self) -> float | None:
        """The value of the best, or None."""
        return self.best.value

    @property
    def best_model_path(self) -> str:
        """The file of the best, or ""."""
        found = [path for path, value in self.best_k_models.items() if value == self.best.value]
        return found[-1] if found else ""

    def on_fit_start(self, trainer: Trainer) -> None:
        """See that there is a folder, and that it can be saved when it is to be."""
        self._saved_at, self._step = time.monotonic(), trainer.global_step
        if self.folder is None and trainer.out is None:
            raise ArgumentError(
                "needs a folder", subject="ModelCheckpoint", hint="Give Trainer(..., out=...)"
            )

    def on_batch_end(self, trainer: Trainer) -> None:
        """Save the last, if it is time."""
        if not self.save_last:
            return
        due = bool(self.every_batches) and trainer.batches % self.every_batches == 0  # type: ignore[operator]
        if self.every_n_train_steps and trainer.global_step != self._step:
            due |= trainer.global_step % self.every_n_train_steps == 0
        self._step = trainer.global_step
        if self.seconds is not None:
            due |= trainer.any_process(time.monotonic() - self._saved_at >= self.seconds)
        if due:
            self._save_last(trainer)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Save the last, and the best if it is that."""
        if not self.every_n_epochs or trainer.epoch % self.every_n_epochs:
            return
        if self.save_top_k:
            self._save_best(trainer, logs)
        if self.save_last:
            self._save_last(trainer)

    def format_checkpoint_name(self, metrics: dict[str, Any], filename: str | None = None) -> str:
        """The name of a file for some measures."""
        pattern = filename or self.filename or "{epoch}-{step}"

        def insert(found: re.Match[str]) -> str:
            name, _, form = found[1].partition(":")
            value = metrics.get(name, 0)
            try:
                text = format(int(value) if form.endswith("d") else value, form)
            except (ValueError, OverflowError):
                raise _error(
                    f"expects filename with formats of numbers, got {form!r:.60} for {name}={value}"
                ) from None
            return f"{name.replace('/', '-')}={text}" if self.auto_insert_metric_name else text

        return re.sub(r"\{([^{}]+)\}", insert, pattern) + _SUFFIX

    def state_dict(self) -> dict[str, Any]:
        """The best value, and the files of the best."""
        return {"best": self.best.value, "files": dict(self.best_k_models)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.best.value = state["best"]
        self.best_k_models = dict(state.get("files", {}))

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
        expect_state(state, "ModelCheckpoint", best=is_best)
        files = state.get("files", {})
        expect_state(
            {"files": files},
            "ModelCheckpoint",
            files=lambda files: isinstance(files, dict) and all(map(is_best, files.values())),
        )

    # -- helpers

    def _place(self, trainer: Trainer) -> Path:
        folder = trainer.out if self.folder is None else self.folder
        assert folder is not None
        return folder

    def _save_last(self, trainer: Trainer) -> None:
        self._saved_at = time.monotonic()
        trainer.save_last(self._place(trainer))
        self.last_model_path = str(self._place(trainer) / f"last{_SUFFIX}")
        if self.verbose and trainer.is_global_zero:
            trainer.print(f"saved {self.last_model_path}")

    def _save_best(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        name = self.best.monitor or trainer.monitored(logs)
        if self.best.monitor is None and name not in logs:
            return  # nothing tells which is the best
        if self.save_top_k == 1 and self.filename is None:
            if self.best.improves(trainer, logs):
                path = self._place(trainer) / f"best{_SUFFIX}"
                self.best_k_models = {str(path): logs[name]}
                self._write(trainer, path)
            return
        self.best.improves(trainer, logs)
        value = logs[name]
        if math.isnan(value):
            value = math.inf if self.best.is_small(name) else -math.inf
        kept = self.best_k_models
        worst = self._worst(name)
        full = self.save_top_k > 0 and len(kept) >= self.save_top_k
        if full and worst is not None:
            gain = kept[worst] - value if self.best.is_small(name) else value - kept[worst]
            if gain <= 0:
                return
        path = self._free(self._place(trainer) / self._named(trainer, logs))
        kept[str(path)] = value
        self._write(trainer, path)
        if full and worst is not None:
            del kept[worst]
            if trainer.is_global_zero:
                Path(worst).unlink(missing_ok=True)

    def _named(self, trainer: Trainer, logs: dict[str, Any]) -> str:
        return self.format_checkpoint_name({**logs, "epoch": trainer.epoch, "step": trainer.global_step})

    def _free(self, path: Path) -> Path:
        """A path that no other of the best has; what a run left before it was cut is replaced."""
        found, number = path, 0
        while str(found) in self.best_k_models:
            number += 1
            found = path.with_name(f"{path.name.removesuffix(_SUFFIX)}-v{number}{_SUFFIX}")
        return found

    def _worst(self, name: str) -> str | None:
        if not self.best_k_models:
            return None
        choose = max if self.best.is_small(name) else min
        return choose(self.best_k_models, key=lambda path: self.best_k_models[path])

    def _write(self, trainer: Trainer, path: Path) -> None:
        trainer.save(path, self.save_weights_only)
        if self.verbose and trainer.is_global_zero:
            trainer.print(f"saved {path}")


def _error(problem: str) -> ArgumentError:
    return ArgumentError(problem, subject="ModelCheckpoint")
