"""The progress of a run: on a terminal, in a notebook, in a log file."""

from __future__ import annotations

import html
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from xpnn.backend import DTypeError, MissingDependencyError, get_backend, optional_import
from xpnn.train.arguments import check_number, check_text
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class ProgressBar(Callback):
    """A bar for the running epoch, and a line of measures for each that is done.

    On a terminal the bar is tqdm's, where that is installed (`pip install 'xpnn[train]'`). In a notebook it
    is above the table of the history, and both are drawn anew in their place. Where there is neither, as in a
    log file, there are the lines alone, and for epochs that take long one a minute that says how far it is.
    On a GPU they say what its memory holds now, and held at most; on CuPy, what its pool took at most.

    Args:
        file: where to; None is stderr, or the notebook.
        interval: seconds between two readings of the running loss, each of which waits for the device.
        unit: what a sample is called: "images".
        log_interval: seconds between two lines of an epoch where there is no bar.
        refresh_rate, process_position, leave: Lightning's; have no effect.
    """

    prints = True
    writes = True

    def __init__(
        self,
        file: TextIO | None = None,
        interval: float = 0.5,
        unit: str = "samples",
        log_interval: float = 60.0,
        refresh_rate: int = 1,
        process_position: int = 0,
        leave: bool = False,
    ) -> None:
        subject = "ProgressBar"
        if file is not None and not hasattr(file, "write"):
            raise DTypeError(f"expects file as one that is open for text, got {file!r:.60}", subject=subject)
        check_text(unit, "unit", subject)
        self.file = file
        self.interval = check_number(interval, "interval", subject, 0.0)
        self.unit = unit
        self.log_interval = check_number(log_interval, "log_interval", subject, 0.0)
        self._bar: Any = None
        self._display: Any = None  # of the notebook
        self._started = self._read = 0.0
        self._samples = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Make room in a notebook."""
        display = _notebook_display() if self.file is None else None
        self._display = None if display is None else display.display(_Html(""), display_id=True)

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Show an empty bar."""
        self._started = self._read = time.perf_counter()
        self._samples = trainer.samples
        if self._display is None and _tqdm_of(self._stream()) is not None:
            self._bar = _tqdm_of(self._stream()).tqdm(
                total=trainer.batches_per_epoch,
                initial=trainer.batch,
                desc=f"epoch {_of(trainer.epoch + 1, trainer.epochs)}",
                unit="batch",
                file=self._stream(),
                leave=False,
                dynamic_ncols=True,
            )

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar, and now and then read the running measures."""
        if self._bar is not None:
            self._bar.update()
        now = time.perf_counter()
        shows = self._bar is not None or self._display is not None
        if now - self._read < (self.interval if shows else self.log_interval):
            return
        self._read = now
        measures = _text(trainer.running())
        rate = f"{(trainer.samples - self._samples) / (now - self._started):.0f} {self.unit}/s{_memory()}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{measures}  {rate}")
            return
        where = f"batch {_of(trainer.batch, trainer.batches_per_epoch)}"
        line = f"epoch {_of(trainer.epoch + 1, trainer.epochs)}  {where}  {measures}  {rate}"
        if self._display is not None:
            self._draw(trainer, line)
        else:
            self._write(line)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Take the bar away and print the line of the epoch."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        shown = {
            name: value
            for name, value in logs.items()
            if name != "lr" and name.removesuffix("_step").removesuffix("_epoch") in (name, "epoch")
        }
        rate = f"{trainer.throughput:.0f} {self.unit}/s{_memory()}"
        line = f"epoch {_of(trainer.epoch, trainer.epochs)}  {_text(shown)}  {rate}"
        if self._display is not None:
            self._draw(trainer, line)
        else:
            self._write(line)

    def close(self, trainer: Trainer) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._display = None

    def print(self, *args: Any, **options: Any) -> None:
        """Print a line above the bar."""
        stream = options.get("file") or self._stream()
        if self._bar is None:
            print(*args, **{**options, "file": stream, "flush": True})
        else:
            self._bar.write(options.get("sep", " ").join(map(str, args)), file=stream)

    def _write(self, line: str) -> None:
        print(line, file=self._stream(), flush=True)

    def _draw(self, trainer: Trainer, line: str) -> None:
        """The bar of the epoch and the table of those that are done, in a notebook."""
        total = trainer.batches_per_epoch
        bar = (
            f'<progress value="{trainer.batch}" max="{total}"></progress> ' if total and trainer.batch else ""
        )
        self._display.update(_Html(f"<div>{bar}{html.escape(line)}</div>{trainer.history._repr_html_()}"))

    def _stream(self) -> TextIO:
        return sys.stderr if self.file is None else self.file

    def __getstate__(self) -> dict[str, Any]:
        """Copies have no bar of their own yet, and write to the same stream."""
        return {**vars(self), "_bar": None, "_display": None}


class _Html:
    """What a notebook shows as HTML."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def _notebook_display() -> Any:
    """IPython's `display` module, if this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or "Terminal" in type(shell).__name__:
        return None
    return optional_import("IPython.display", extra="train")


def _tqdm_of(stream: TextIO) -> Any:
    """tqdm, if there is a terminal to draw on and it is installed."""
    if not hasattr(stream, "isatty") or not stream.isatty():
        return None
    try:
        return optional_import("tqdm", extra="train")
    except MissingDependencyError:
        return None


def _memory() -> str:
    """What the current backend takes of a GPU's memory, where there is one; the device is not waited for."""
    gpu = get_backend().gpu
    found = None if gpu is None else gpu()
    if found is None or not found.count():
        return ""
    now, most = found.memory_allocated() / 1e9, found.max_memory_allocated() / 1e9
    return f"  {now:.2f} GB, at most {most:.2f} GB"


def _of(count: int, total: int | None) -> str:
    """ "3/10", in the width of the latter; without end, "3"."""
    if total is None or total < 0:
        return str(count)
    return f"{count:{len(str(total))}d}/{total}"


def _text(measures: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in measures.items() if isinstance(value, float))
