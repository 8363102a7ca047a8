"""`xpnn info`: versions, and which backends can be used."""

from __future__ import annotations

import argparse

from xpnn.backend import show_versions


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `info`."""
    return commands.add_parser(
        "info",
        help="show versions and which backends are available",
        description="Show the versions of xpnn and Python, and of each backend, or why it cannot be used.",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    show_versions()
    return 0
