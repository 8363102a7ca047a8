"""The command line: `xpnn train`, `eval`, `predict`, `summary` and `info`."""

from xpnn.cli.program import main

__all__ = ["main"]
