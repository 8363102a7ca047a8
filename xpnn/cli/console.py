"""What a command says: news on the way, and results for a person or for a program."""

from __future__ import annotations

import json
import sys
from typing import Any


class Console:
    """Standard output of a command.

    Args:
        quiet: leave out news; results and errors are shown.
        as_json: show, in place of texts, one JSON object of all results at the end.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet or as_json
        self.as_json = as_json
        self.values: dict[str, Any] = {}

    def say(self, text: str = "") -> None:
        """News: what goes on, and what could be done next."""
        if not self.quiet:
            print(text, flush=True)

    def result(self, text: str | None = None, **values: Any) -> None:
        """What the command was called for: a text for a person, and JSON-ready values for a program."""
        self.values |= values
        if text is not None and not self.as_json:
            print(text, flush=True)

    def close(self) -> None:
        """Show the object of the results."""
        if self.as_json:
            print(json.dumps(self.values, default=str))
            sys.stdout.flush()
