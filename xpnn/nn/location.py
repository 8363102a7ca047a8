"""Where in a model something happened: the path of the module for errors and for `detect_anomaly`."""

from __future__ import annotations

from typing import Any

from xpnn.autograd.mode import scope, switches
from xpnn.backend import XpnnError

Module = Any  # the class in `module.py`, which is built from these functions


def locate(error: XpnnError, module: Module) -> None:
    """Write into an error where it happened, as it passes through the call of `module`.

    The innermost module leaves its class, and each module around it the path by which it knows the
    innermost one. So the outermost, which the user called, has the last word.
    """
    if not error.module_class:
        error.module = module
        error.module_class = type(module).__name__
    elif path := path_of(error.module, module):
        error.module_path = tuple(path.split("."))


def path_of(part: Any, root: Module) -> str:
    """The dotted name by which `root` knows the module `part`; empty if it doesn't."""
    return next((name for name, module in root.named_modules() if module is part), "")


class Place:
    """A module on the stack of running modules, which `detect_anomaly` reports as `Conv2d 'features.3'`."""

    def __init__(self, module: Module) -> None:
        outer = switches.scopes[-1] if switches.scopes else self
        self.module = module
        self.root: Module = outer.root if outer is not self else module

    @property
    def path(self) -> str:
        """The module's dotted name in the model that was called; empty for that itself."""
        return path_of(self.module, self.root)

    def __str__(self) -> str:
        path = self.path
        return f"{type(self.module).__name__} '{path}'" if path else type(self.module).__name__


def running(module: Module) -> Any:
    """A context in which `module` is on the stack of running modules."""
    return scope(Place(module))
