"""The program `xpnn`: its parser, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from xpnn import startup
from xpnn.backend import XpnnError, nearest, printable
from xpnn.cli import (
    board,
    compare,
    completion,
    doctor,
    evaluate,
    export,
    info,
    launch,
    lr_find,
    plot,
    predict,
    search,
    summary,
    train,
    write_report,
)
from xpnn.cli.config import fill_in, read_toml
from xpnn.cli.console import Console
from xpnn.cli.plugins import load_plugins
from xpnn.cli.report import one_line
from xpnn.version import __version__

_COMMANDS = (
    train,
    evaluate,
    predict,
    search,
    launch,
    lr_find,
    plot,
    compare,
    write_report,
    board,
    export,
    summary,
    info,
    doctor,
    completion,
)
_WRONG_INPUT = 2
_INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        argv: the arguments after the program's name; None takes those of the process.

    Exit codes: 0; 1 where a part could not be done; 2 for a mistake of the user (an XpnnError, a file that is
    missing), which is one line on stderr, and with `--debug` a traceback; 130 after Ctrl-C, and 128 and the
    number of another signal that ended a run.

    >>> main(["predict", "no/such/checkpoint", "image.png"])
    2
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    arguments.words = list(sys.argv[1:] if argv is None else argv)[1:]  # after the command
    arguments.parser = parser.commands[arguments.command]
    console = arguments.console = Console(arguments.quiet, arguments.json)
    try:
        startup.over()
        if getattr(arguments, "config", None) is not None:
            fill_in(arguments, arguments.parser, read_toml(arguments.config), arguments.config)
        code = arguments.run(arguments)
        console.close()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (XpnnError, OSError, MemoryError) as error:
        if arguments.debug:
            raise
        print(f"xpnn {arguments.command}: {one_line(error)}", file=sys.stderr)
        console.result(error=one_line(error), code=_WRONG_INPUT)
        console.close()
        return _WRONG_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and say what was probably meant."""

    options: tuple[str, ...] = ()  # of all commands
    commands: Mapping[str, argparse.ArgumentParser] = {}

    def error(self, message: str) -> NoReturn:
        close = nearest(*self._choices(message))
        meant = f" Did you mean {close}?" if close else ""
        self.exit(_WRONG_INPUT, f"{self.prog}: {printable(message)}.{meant} See: {self.prog} --help\n")

    def _choices(self, message: str) -> tuple[str, Sequence[str]]:
        """What was written, and what might have been."""
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            return found[1], re.findall(r"[\w+-]+", found[2])
        if found := re.search(r"unrecognized arguments: (?:.* )?(--[\w-]+)", message):
            return found[1], self.options
        return "", []


def build_parser() -> _Parser:
    """The parser of the whole command line, with what plug-ins add to it."""
    for plugin in load_plugins():
        if plugin.problem:
            name = printable(f"{plugin.name} of {plugin.package}")
            print(f"xpnn: the plug-in {name} is left out: {plugin.problem}", file=sys.stderr)
    parser = _Parser(
        prog="xpnn",
        description="Train and use neural networks on any array library. First try: xpnn train digits",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"xpnn {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        subparser = command.add_parser(commands)
        subparser.add_argument("--quiet", action="store_true", help="show results and errors only")
        subparser.add_argument("--json", action="store_true", help="show the results as one JSON object")
        subparser.add_argument("--debug", action="store_true", help="show the traceback of an error")
        subparser.set_defaults(run=command.run)
        parser.options += tuple(re.findall(r"--[\w-]+", subparser.format_usage()))
    parser.commands = commands.choices
    return parser
