"""Configuration files in TOML: options of the command line by their names, which the command line overrides.

data = "digits"
model = "mlp"
lr = 0.01
batch-size = 32
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnn.backend import ArgumentError, DataError, nearest

# What an option says about this call of the program alone, and so does not belong into a file.
_NOT_IN_FILES = ("help", "config", "debug", "json", "quiet", "resume", "overwrite")
_LARGEST = 1_000_000  # bytes


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises: DataError, naming the line, if it is none; OSError."""
    path = Path(path)
    if path.is_dir():
        raise DataError("expects a TOML file, got a folder", subject=f"'{path}'")
    content = path.read_bytes()
    try:
        if len(content) > _LARGEST:
            raise ValueError("it is larger than a megabyte")
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no TOML file: {error}", subject=f"'{path}'") from None


def fill_in(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, table: Mapping[str, Any], file: str
) -> None:
    """Give the options of `parser` that the command line has not set the values of a table.

    Args:
        arguments: what the command line has set; other options are None or False.
        parser: of the command.
        table: values by the options' names, with dashes or underscores.
        file: where they are from, for errors.

    Raises: ArgumentError for a name or a value that the command does not know.
    """
    actions = {action.dest: action for action in parser._actions if action.dest not in _NOT_IN_FILES}
    for key, value in table.items():
        action = actions.get(key.replace("-", "_"))
        if action is None:
            raise unknown_key(key, actions, file)
        value = _converted(value, action, f"'{key}' in {file}")
        if getattr(arguments, action.dest) in (None, False):
            setattr(arguments, action.dest, value)


def unknown_key(key: str, known: Any, file: str) -> ArgumentError:
    """The error about a key that a file should not have."""
    names = [name.replace("_", "-") for name in known]
    close = nearest(key.replace("_", "-"), names)
    return ArgumentError(
        f"has a key '{key}' that means nothing here",
        subject=file,
        hint=f"Did you mean {close}?" if close else f"There are: {', '.join(names)}",
    )


def _converted(value: Any, action: argparse.Action, subject: str) -> Any:
    """A value as the command line would have it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ArgumentError(f"expects true or false, got {value!r:.80}", subject=subject)
        return value
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, dict):
        raise ArgumentError(f"expects a value, got the table {value!r:.80}", subject=subject)
    kind = action.type if callable(action.type) else str
    try:
        converted = kind(str(value))
    except (argparse.ArgumentTypeError, ValueError) as error:
        problem = str(error) if isinstance(error, argparse.ArgumentTypeError) else f"is {value!r:.80}"
        raise ArgumentError(problem, subject=subject) from None
    if action.choices is not None and converted not in action.choices:
        choices = [str(choice) for choice in action.choices]
        close = nearest(str(value), choices)
        raise ArgumentError(
            f"expects one of {', '.join(choices)}, got {value!r:.80}",
            subject=subject,
            hint=f"Did you mean {close}?" if close else "",
        )
    return converted
