"""Backends, models and data sets that other packages add to the command line by entry points.

[project.entry-points."xpnn.backends"]
dpnp = "my_package:dpnp_backend"      # a Backend, or a function that returns one
[project.entry-points."xpnn.models"]
my_net = "my_package:my_net"          # a function under @xpnn.models.register
[project.entry-points."xpnn.data"]
my_data = "my_package:MyData"         # MyData(train=True) is a dataset of uint8 images, with .classes
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpnn import models
from xpnn.backend import Backend, DTypeError, printable, register_backend

_DATASETS: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Plugin:
    """An entry point of a package: what it adds, and what went wrong with it, or ""."""

    group: str
    name: str
    package: str
    problem: str = ""


@functools.cache
def load_plugins() -> tuple[Plugin, ...]:
    """Register what the installed packages add; a broken one does not keep the others from working."""
    found = []
    for group, register in _GROUPS.items():
        for point in importlib.metadata.entry_points(group=group):
            package = point.dist.name if point.dist is not None else point.value
            problem = ""
            try:
                register(point.name, point.load())
            except Exception as error:
                problem = printable(f"{type(error).__name__}: {error}".replace("\n", " "))
            found.append(Plugin(group, point.name, package, problem))
    return tuple(found)


def plugin_datasets() -> dict[str, Callable[..., Any]]:
    """The data sets of other packages: what makes the training and the test part, by name."""
    return dict(_DATASETS)


def _add_backend(name: str, backend: Any) -> None:
    if callable(backend):
        backend = backend()
    if not isinstance(backend, Backend):
        raise DTypeError(
            f"expects a Backend, got {type(backend).__name__}", subject=f"xpnn.backends '{name}'"
        )
    register_backend(backend)


def _add_model(name: str, model: Any) -> None:
    if name not in models.names():
        raise DTypeError(
            "expects a function of that name under @xpnn.models.register(input_shape)",
            subject=f"xpnn.models '{name}'",
        )


def _add_dataset(name: str, dataset: Any) -> None:
    if not callable(dataset):
        raise DTypeError(f"expects a callable, got {type(dataset).__name__}", subject=f"xpnn.data '{name}'")
    _DATASETS[name] = dataset


_GROUPS = {"xpnn.backends": _add_backend, "xpnn.models": _add_model, "xpnn.data": _add_dataset}
