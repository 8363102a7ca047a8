"""The progress of a run on the terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from xpnn.backend import MissingDependencyError, optional_import
from xpnn.train.callbacks import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class ProgressBar(Callback):
    """A bar for the running epoch, and a line of measures for each that is done.

    The bar is tqdm's and appears on a terminal where tqdm is installed (`pip install 'xpnn[train]'`);
    otherwise there are the lines alone.

    Args:
        file: where to; None is stderr.
        interval: seconds between two readings of the running loss, each of which waits for the device.
        unit: what a sample is called: "images".
    """

    def __init__(self, file: TextIO | None = None, interval: float = 0.5, unit: str = "samples") -> None:
        self.file = file
        self.interval = interval
        self.unit = unit
        self._bar: Any = None
        self._started = self._read = 0.0
        self._samples = 0

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Show an empty bar."""
        self._started = self._read = time.perf_counter()
        self._samples = trainer.samples
        if _tqdm_of(self._stream()) is not None:
            self._bar = _tqdm_of(self._stream()).tqdm(
                total=trainer.batches_per_epoch,
                initial=trainer.batch,
                desc=f"epoch {trainer.epoch + 1}/{trainer.epochs}",
                unit="batch",
                file=self._stream(),
                leave=False,
                dynamic_ncols=True,
            )

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar, and now and then read the running measures."""
        if self._bar is None:
            return
        self._bar.update()
        now = time.perf_counter()
        if now - self._read >= self.interval:
            self._read = now
            measures = _text(trainer.running())
            rate = (trainer.samples - self._samples) / (now - self._started)
            self._bar.set_postfix_str(f"{measures}  {rate:.0f} {self.unit}/s")

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Take the bar away and print the line of the epoch."""
        self.close(trainer)
        measures = {name: value for name, value in logs.items() if name != "lr"}
        width = len(str(trainer.epochs))
        print(
            f"epoch {trainer.epoch:{width}d}/{trainer.epochs}  {_text(measures)}  "
            f"{trainer.throughput:.0f} {self.unit}/s",
            file=self._stream(),
            flush=True,
        )

    def close(self, trainer: Trainer) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _stream(self) -> TextIO:
        return sys.stderr if self.file is None else self.file


def _tqdm_of(stream: TextIO) -> Any:
    """tqdm, if there is a terminal to draw on and it is installed."""
    if not stream.isatty():
        return None
    try:
        return optional_import("tqdm", extra="train")
    except MissingDependencyError:
        return None


def _text(measures: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in measures.items() if isinstance(value, float))
