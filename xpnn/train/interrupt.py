"""Ctrl-C and SIGTERM that wait for the step to end, so that what is saved then can be resumed from."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

# What ends a run, by how the program handles it unless told otherwise. Windows has no SIGHUP.
_USUAL: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
if hasattr(signal, "SIGHUP"):
    _USUAL[signal.SIGHUP] = signal.SIG_DFL


class Interrupted(KeyboardInterrupt):
    """Raised by `Trainer.fit` after Ctrl-C, once the run is saved.

    A KeyboardInterrupt, so that it ends a script, and passes `except Exception`.

    Attributes:
        checkpoint: the file to resume from, or None if there is none.
        epochs: epochs that were completed. batches: batches of the next one that were done.
        code: the exit code that shells expect, 130.
    """

    code = 128 + signal.SIGINT

    def __init__(self, checkpoint: Path | None, epochs: int, batches: int) -> None:
        super().__init__(_message("interrupted", checkpoint, epochs, batches))
        self.checkpoint, self.epochs, self.batches = checkpoint, epochs, batches


class Terminated(SystemExit):
    """Raised by `Trainer.fit` after SIGTERM or SIGHUP, or a SystemExit of a callback, once the run is saved.

    A SystemExit: a script that lets it pass ends with the exit code that the signal would have given.

    Attributes:
        checkpoint, epochs, batches: as of `Interrupted`.
        code: the exit code, 128 and the number of the signal.
    """

    code: Any

    def __init__(self, code: Any, checkpoint: Path | None, epochs: int, batches: int) -> None:
        super().__init__(_message("terminated", checkpoint, epochs, batches))
        self.code = code
        self.checkpoint, self.epochs, self.batches = checkpoint, epochs, batches


class GentleInterrupt:
    """A context in which the first Ctrl-C, SIGTERM or SIGHUP is only noted; the second one ends at once.

    Outside of the main thread it does nothing; nor about a signal that the program handles in its own way, or
    ignores.
    """

    def __init__(self) -> None:
        self._noted = 0  # the number of the signal
        self._patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> GentleInterrupt:
        self._noted, self._patient = 0, False
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) is usual:
                    self._before[number] = usual
                    signal.signal(number, self._take_note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._put_back()
        if kind is None:
            self.check()  # what came after the last step

    @property
    def noted(self) -> int:
        """The number of a signal that has come, or 0."""
        return self._noted

    def note(self, number: int) -> None:
        """Take note of a signal that has come to another process of the team."""
        self._noted = number

    def check(self) -> None:
        """Raise KeyboardInterrupt after Ctrl-C, SystemExit after the others, if one came since the start."""
        if self._noted:
            number, self._noted = self._noted, 0
            raise _ending(number)

    def wait_for_all(self) -> None:
        """From now on every signal waits for the end of the block: the run is being saved."""
        self._patient = True

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        if self._noted and not self._patient:
            self._put_back()  # here, as what is raised may come in the way of `__exit__`
            raise _ending(number)
        self._noted = number

    def _put_back(self) -> None:
        for number, usual in self._before.items():
            signal.signal(number, usual)


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def _message(what: str, checkpoint: Path | None, epochs: int, batches: int) -> str:
    done = f"{what} after {epochs} epochs and {batches} batches"
    if checkpoint is None:
        return f"{done}; there is no checkpoint (with Trainer(..., out=folder) there would be)"
    return f"{done}; saved to {checkpoint}, resume it with fit(..., resume=True)"
