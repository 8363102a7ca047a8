"""The history of a run in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.backend import path_of
from xpnn.train.arguments import optional
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class HistoryFile(Callback):
    """Write the history to a JSONL file after each epoch.

    Args:
        path: the file; None is `history.jsonl` in the trainer's `out`.
    """

    writes = True

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = optional(path_of, path, "path", "HistoryFile")

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Write it anew, so that it never has epochs that a resumed run takes again."""
        path = self.path or (trainer.out and trainer.out / "history.jsonl")
        if path is not None:
            trainer.history.write(path)
