"""`xpnn doctor`: what works on this machine, and the commands that install what is missing."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xpnn.backend import (
    Backend,
    get_num_threads,
    numba_switch,
    printable,
    registered_backends,
    tuning,
    use_backend,
)
from xpnn.backend.threads import openblas_core
from xpnn.cli.plugins import load_plugins
from xpnn.cli.report import one_line
from xpnn.kernels.numba import cache
from xpnn.version import __version__

# The packages of each extra that are no backends, and what they are for.
EXTRAS: dict[str, dict[str, str]] = {
    "train": {
        "tqdm": "progress bars",
        "matplotlib": "curves and other pictures",
        "PIL": "reading and writing images",
        "pooch": "downloads",
    },
    "numba": {"numba": "compiled kernels for NumPy"},
    "search": {"optuna": "xpnn search"},
    "sklearn": {"sklearn": "estimators for scikit-learn"},
    "onnx": {"onnx": "ONNX files"},
    "einops": {"einops": "einops' functions and layers on Tensors"},
    "mpi": {"mpi4py": "training in several processes"},
    "tensorboard": {"tensorboardX": "logs for TensorBoard"},
}
_WORKS, _MISSING, _BROKEN = "works", "missing", "broken"
_GIGABYTE = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it is. state: "works", "missing" (and not needed), or "broken".
        detail: its version and the like, or what is wrong.
        remedy: the command that mends it, or "".
    """

    topic: str
    state: str
    detail: str
    remedy: str = ""


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `doctor`."""
    return commands.add_parser(
        "doctor",
        help="show what works on this machine, and how to install what does not",
        description="Look at Python, the array libraries, the optional packages, the threads of the BLAS, "
        "the caches and plug-ins. Ends with exit code 1 if something is broken; what is missing is fine.",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each finding, and the commands."""
    findings = list(examine())
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        arguments.console.result(f"{finding.state:<8} {finding.topic:<{width}}  {printable(finding.detail)}")
    remedies = list(dict.fromkeys(finding.remedy for finding in findings if finding.remedy))
    if remedies:
        arguments.console.result("\nWhat is missing can be installed with:")
        for remedy in remedies:
            arguments.console.result(f"  {remedy}")
    arguments.console.result(findings=[asdict(finding) for finding in findings])
    return 1 if any(finding.state == _BROKEN for finding in findings) else 0


def examine() -> Iterator[Finding]:
    """Look at everything."""
    yield Finding("xpnn", _WORKS, f"{__version__}, in {Path(__file__).parents[1]}")
    yield Finding("python", _WORKS, f"{platform.python_version()}, {sys.executable}")
    yield Finding("system", _WORKS, f"{platform.platform()}, {os.cpu_count()} cores")
    blas = openblas_core()
    library = (
        f"OpenBLAS for {blas}" if blas else "a BLAS that is not OpenBLAS: its threads are its own matter"
    )
    yield Finding("blas", _WORKS, f"NumPy {np.__version__}, {library}, {get_num_threads()} threads")
    yield from map(_backend, registered_backends())
    for extra, packages in EXTRAS.items():
        for package, purpose in packages.items():
            missing = importlib.util.find_spec(package) is None
            yield Finding(
                f"extra {extra}",
                _MISSING if missing else _WORKS,
                f"{package}: {purpose}",
                f"pip install 'xpnn[{extra}]'" if missing else "",
            )
    yield _numba_cache()
    folder = tuning.cache_folder()
    if folder is not None:
        yield Finding("tuning", _WORKS, f"measured choices are kept in {folder}")
    yield from _disk()
    for plugin in load_plugins():
        state = _BROKEN if plugin.problem else _WORKS
        detail = f"'{plugin.name}' of {plugin.package}{': ' if plugin.problem else ''}{plugin.problem}"
        yield Finding(f"plug-in {plugin.group}", state, detail)


def _backend(backend: Backend) -> Finding:
    """Lets it compute something."""
    topic = f"backend {backend}"
    if not all(importlib.util.find_spec(package) for package in backend.packages):
        return Finding(topic, _MISSING, "not installed", backend.install)
    try:
        with use_backend(backend.name):
            three = backend.xp.sum(backend.xp.ones(3, dtype=backend.xp.float32))
            device = backend.device_name(backend.device_of(three))
            works = float(three) == 3
    except Exception as error:
        return Finding(topic, _BROKEN, one_line(error))
    version = getattr(importlib.import_module(backend.packages[0]), "__version__", "")
    return Finding(topic, _WORKS if works else _BROKEN, f"{version}, on {device}")


def _numba_cache() -> Finding:
    if not numba_switch.numba_enabled():
        reason = "Numba is not installed" if not numba_switch.numba_installed() else "switched off"
        return Finding("numba cache", _MISSING, f"not in use: {reason}")
    folder = cache.cache_root()
    if folder is None:
        return Finding("numba cache", _BROKEN, "no private folder to write to: each process compiles anew")
    return Finding("numba cache", _WORKS, f"compiled kernels are kept in {folder}")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / _GIGABYTE
    writable = os.access(Path.cwd(), os.W_OK)
    where = f"{Path.cwd()}: {free:.1f} GB free"
    yield Finding("folder", _WORKS if writable else _BROKEN, where if writable else f"{where}, not writable")
