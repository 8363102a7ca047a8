"""The command line: `xpnn train`, `eval`, `predict`, `search` and others; see `xpnn --help`."""

from xpnn.cli.program import main

__all__ = ["main"]
