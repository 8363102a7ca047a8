"""`xpnn launch -n 4 SCRIPT`: a script in several processes that compute together."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from xpnn.backend import DataError, MissingDependencyError, optional_import
from xpnn.cli.options import positive

_INTERRUPTED = (129, 130, 143)  # by SIGHUP, SIGINT, SIGTERM: somebody wants it to end


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `launch`."""
    parser = commands.add_parser(
        "launch",
        help="run a script in several processes that train one network",
        description="Run a script, or with -m a module, in several processes over MPI: see "
        "xpnn.distributed. Each takes its part of the cores. If one fails, all end. A Trainer in the "
        "script shares its batches "
        "and gradients by itself: xpnn launch -n 2 -m xpnn train digits",
    )
    parser.add_argument(
        "-n", "--processes", type=positive(int), required=True, metavar="N", help="how many processes"
    )
    parser.add_argument(
        "--restarts",
        type=positive(int),
        default=0,
        metavar="K",
        help="begin again up to so often after a failure; a Trainer goes on from its last checkpoint",
    )
    parser.add_argument("--hosts", metavar="A,B", help="the machines to run on, in place of this one")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument("script", metavar="SCRIPT", help="a Python file, or the name of a module")
    rest = parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="its arguments")
    rest.required = False  # there may be none, which argparse's message would not say
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Start the processes, again if they fail, and wait for their end."""
    optional_import("mpi4py", extra="mpi")
    if not arguments.module and not Path(arguments.script).is_file():
        raise DataError(f"there is no file '{arguments.script}'", hint="xpnn launch -m NAME runs a module")
    if arguments.module and not _is_there(arguments.script):
        raise DataError(
            f"there is no module '{arguments.script}'", hint="It is looked for in this folder too"
        )
    mpiexec = _mpiexec()
    places = _places(mpiexec, arguments.hosts)
    program = ["-m", arguments.script] if arguments.module else [arguments.script]
    # mpi4py's runner ends all processes when one leaves by an exception or with an exit code.
    command = [mpiexec, *places, "-n", str(arguments.processes), sys.executable, "-m", "mpi4py", *program]
    for attempt in range(arguments.restarts + 1):
        environment = {**os.environ, "XPNN_RESTARTS": str(attempt)}
        code = subprocess.call([*command, *arguments.arguments], env=environment)
        if code == 0 or code in _INTERRUPTED or attempt == arguments.restarts:
            break
        arguments.console.say(f"the processes failed with exit code {code}; restart {attempt + 1}")
    return code


def _is_there(module: str) -> bool:
    """Whether the processes will find a module, or its package; they look in this folder too."""
    package = module.partition(".")[0]
    return package in sys.builtin_module_names or PathFinder.find_spec(package, [".", *sys.path]) is not None


def _places(mpiexec: str, hosts: str | None) -> list[str]:
    """The launcher's own words for the machines to run on; as many processes as one likes, as with MPICH."""
    version = subprocess.run([mpiexec, "--version"], capture_output=True, text=True).stdout
    if "Open MPI" in version:
        return ["--oversubscribe", *(["--host", hosts] if hosts else [])]
    return ["-hosts", hosts] if hosts else []


def _mpiexec() -> str:
    """The launcher of the MPI in this environment, which may not be on the PATH."""
    beside = Path(sys.executable).parent
    found = shutil.which("mpiexec", path=str(beside)) or shutil.which("mpiexec")
    if found is None:
        raise MissingDependencyError(
            "there is no mpiexec", hint="Install an MPI, for example: pip install mpich"
        )
    return found
