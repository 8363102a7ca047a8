"""`xpnn completion SHELL`: a script that lets a shell complete commands, options and their values."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

from xpnn import models
from xpnn.backend import registered_backends
from xpnn.cli.images import dataset_names


class _Option(NamedTuple):
    """An option of a command, what it is for, and the words that can follow it; None if nothing does."""

    name: str
    help: str
    values: tuple[str, ...] | None


class _Command(NamedTuple):
    """A command, what it is for, its options, and the words that can stand alone."""

    name: str
    help: str
    options: list[_Option]
    words: tuple[str, ...]


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `completion`."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description="Print a script for a shell's completion. bash: source <(xpnn completion bash) in "
        "~/.bashrc. zsh: source <(xpnn completion zsh) in ~/.zshrc, after compinit. "
        "fish: xpnn completion fish > ~/.config/fish/completions/xpnn.fish",
    )
    parser.add_argument("shell", metavar="SHELL", choices=tuple(_SCRIPTS), help=", ".join(_SCRIPTS))
    parser.set_defaults(all_commands=commands)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    script = "\n".join(_SCRIPTS[arguments.shell](list(_commands(arguments.all_commands))))
    arguments.console.result(script, script=script)
    return 0


def _commands(group: argparse._SubParsersAction) -> Iterator[_Command]:
    helps = {action.dest: action.help or "" for action in group._choices_actions}
    for name, parser in group.choices.items():
        options: list[_Option] = []
        words: list[str] = []
        for action in parser._actions:
            values = _values(action)
            if not action.option_strings:
                words += values
            for option in action.option_strings:
                if option.startswith("--"):
                    text = (action.help or "").replace("%(default)s", str(action.default))
                    options.append(_Option(option, text, None if action.nargs == 0 else values))
        yield _Command(name, helps[name], options, tuple(words))


def _values(action: argparse.Action) -> tuple[str, ...]:
    """The words that an argument can be, as far as they can be listed."""
    if action.choices is not None:
        return tuple(map(str, action.choices))
    if action.dest == "model":
        return models.names()
    if action.dest == "backend":
        return tuple(map(str, registered_backends()))
    if action.dest == "data" and not action.option_strings:
        return dataset_names()
    return ("auto",) if action.dest == "resume" else ()


def _bash(commands: list[_Command]) -> Iterator[str]:
    yield from (
        "_xpnn() {",
        "    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} words",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        COMPREPLY=($(compgen -W "{_names(commands)} --version --help" -- "$word"))',
        "        return",
        "    fi",
    )
    yield from _cases(
        'case "${COMP_WORDS[1]} $last" in',
        '    {}) COMPREPLY=($(compgen -W {} -- "$word")); return;;',
        "esac",
        commands,
    )
    yield '    case "${COMP_WORDS[1]} ${word:0:1}" in'
    for command in commands:
        yield f"    {shlex.quote(command.name + ' -')}) words={shlex.quote(_names(command.options))};;"
        yield f"    {shlex.quote(command.name)}*) words={shlex.quote(' '.join(command.words))};;"
    yield from (
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "    local IFS=$'\\n'",
        '    COMPREPLY+=($(compgen -f -- "$word"))',
        "}",
        "complete -o filenames -F _xpnn xpnn",
    )


def _zsh(commands: list[_Command]) -> Iterator[str]:
    yield from (
        "#compdef xpnn",
        "_xpnn() {",
        "    if (( CURRENT == 2 )); then",
        f"        compadd -- {_names(commands)} --version --help",
        "        return",
        "    fi",
    )
    yield from _cases(
        'case "$words[2] $words[CURRENT-1]" in', "    ({}) compadd -- ${{=:-{}}}; return;;", "esac", commands
    )
    yield '    case "$words[2] ${words[CURRENT]:0:1}" in'
    for command in commands:
        yield f"    ({shlex.quote(command.name + ' -')}) compadd -- {_names(command.options)};;"
        yield f"    ({shlex.quote(command.name)}*) compadd -- {' '.join(command.words)}; _files;;"
    yield from ("    esac", "}", "compdef _xpnn xpnn")


def _fish(commands: list[_Command]) -> Iterator[str]:
    for command in commands:
        first, later = "__fish_use_subcommand", f"__fish_seen_subcommand_from {command.name}"
        yield f"complete -c xpnn -f -n {first} -a {command.name} -d {_fish_quoted(command.help)}"
        if command.words:
            yield f"complete -c xpnn -n {_fish_quoted(later)} -a {_fish_quoted(' '.join(command.words))}"
        for option in command.options:
            values = "" if option.values is None else " -r"
            if option.values:
                values = f" -x -a {_fish_quoted(' '.join(option.values))}"
            yield (
                f"complete -c xpnn -n {_fish_quoted(later)} -l {option.name[2:]}{values} "
                f"-d {_fish_quoted(option.help)}"
            )


def _cases(start: str, line: str, end: str, commands: list[_Command]) -> Iterator[str]:
    """A case for each option with known values: "train --optimizer"."""
    yield f"    {start}"
    for command in commands:
        for option in command.options:
            if option.values:
                name = shlex.quote(f"{command.name} {option.name}")
                yield line.format(name, shlex.quote(" ".join(option.values)))
    yield f"    {end}"


def _names(things: list[_Command] | list[_Option]) -> str:
    return " ".join(thing.name for thing in things)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: dict[str, Callable[[list[_Command]], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
