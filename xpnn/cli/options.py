"""Options that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpnn.backend import registered_backends, set_backend


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Add --backend and --device."""
    names = ", ".join(map(str, registered_backends()))
    parser.add_argument("--backend", metavar="NAME", help=f"{names} (numpy)")
    parser.add_argument("--device", metavar="NAME", help="the library's word, such as cuda:1 (its default)")


def choose_backend(arguments: argparse.Namespace) -> None:
    """Make --backend and --device the current ones."""
    set_backend(arguments.backend or "numpy", arguments.device)


def add_data_options(parser: argparse.ArgumentParser, where: str) -> None:
    """Add --data and --download."""
    parser.add_argument("--data", dest="folder", metavar="FOLDER", help=where)
    parser.add_argument("--download", action="store_true", help="download files that FOLDER lacks")


def program() -> str:
    """How the program is called from the folder that we are in, also where its environment is not active."""
    path = Path(sys.argv[0])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else "xpnn"


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """The argument type of a number above zero: `positive(int)`."""
    return _number(kind, lambda value: 0 < value < math.inf, f"a positive {_WORDS[kind]}")


def not_negative(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """The argument type of a number of at least zero."""
    return _number(kind, lambda value: 0 <= value < math.inf, f"a {_WORDS[kind]} of at least 0")


def _number(
    kind: Callable[[str], Any], accepts: Callable[[Any], bool], expected: str
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"expects {expected}, got {text!r}")
        return value

    return parse


_WORDS: dict[Any, str] = {int: "whole number", float: "number"}
