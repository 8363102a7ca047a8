"""What a run has left in its folder: what it measured, and the settings that it had."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnn.backend import CheckpointError, DataError, nearest
from xpnn.cli.run import LAST, MODEL
from xpnn.io import read_checkpoint
from xpnn.train import History

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Record:
    """A run: its folder, its history, and its settings as far as a checkpoint tells them."""

    folder: Path
    history: History
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """How it is called among others."""
        return str(self.folder)

    @property
    def title(self) -> str:
        """The run, its data and its model."""
        about = [str(self.settings[key]) for key in ("data", "model") if key in self.settings]
        return f"{self.folder.name}: {', '.join(about)}" if about else self.folder.name

    @property
    def metrics(self) -> list[str]:
        """What was measured, without the parts of the data."""
        names = [name.removeprefix("val_") for name in self.history if name != "epoch"]
        return list(dict.fromkeys(names))


def read_record(folder: Path) -> Record:
    """The run in a folder. Raises: DataError if there is none, or it cannot be read."""
    path = folder / HISTORY
    if not path.is_file():
        raise _missing(folder)
    try:
        history = History.read(path)
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"is no history of a run: {error}", subject=f"'{path}'") from None
    if not history:
        raise DataError("has no epoch yet", subject=f"'{path}'")
    settings: dict[str, Any] = {}
    for name in (MODEL, LAST):
        try:
            found = read_checkpoint(folder / name).config.get("settings")
        except (CheckpointError, OSError):
            continue
        if isinstance(found, dict):
            settings = found
            break
    return Record(folder, history, settings)


def read_records(folders: Iterable[Path]) -> list[Record]:
    """The runs in some folders; one without a run stands for those in it."""
    records = []
    for folder in folders:
        inside = sorted(path.parent for path in folder.glob(f"*/{HISTORY}"))
        if (folder / HISTORY).is_file() or not inside:
            inside = [folder]
        records += [read_record(path) for path in inside]
    return records


def as_text(value: Any) -> str:
    """A setting or a measure in a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value) if value is not None else "-"


def _missing(folder: Path) -> DataError:
    there = [
        str(path.parent) for place in (folder.parent, Path("runs")) for path in place.glob(f"*/{HISTORY}")
    ]
    close = nearest(str(folder), there) or nearest(f"runs/{folder}", there)
    hint = (
        f"Did you mean {close}?"
        if close
        else "A run is a folder that `xpnn train` has left, with history.jsonl"
    )
    return DataError(f"there is no run in '{folder}'", hint=hint)
