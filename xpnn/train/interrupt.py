"""Ctrl-C that waits for the step to end, so that what is saved then is a state that can be resumed."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Raised by `Trainer.fit` after Ctrl-C, once the run is saved.

    A KeyboardInterrupt, so that it ends a script, and passes `except Exception`.

    Attributes:
        checkpoint: the file to resume from, or None if there is none.
        epochs: epochs that were completed. batches: batches of the next one that were done.
    """

    def __init__(self, checkpoint: Path | None, epochs: int, batches: int) -> None:
        self.checkpoint = checkpoint
        self.epochs = epochs
        self.batches = batches
        done = f"interrupted after {epochs} epochs and {batches} batches"
        if checkpoint is None:
            super().__init__(f"{done}; there is no checkpoint (with Trainer(..., out=folder) there would be)")
        else:
            super().__init__(f"{done}; saved to {checkpoint}, resume it with fit(..., resume=True)")


class GentleInterrupt:
    """A context in which the first Ctrl-C only sets `requested`; the second one interrupts at once.

    Outside of the main thread, or where the program handles Ctrl-C in its own way, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._active = False

    def __enter__(self) -> GentleInterrupt:
        self.requested = False
        self._active = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._active:
            signal.signal(signal.SIGINT, self._take_note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since the start."""
        if self.requested:
            self.requested = False
            raise KeyboardInterrupt

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
