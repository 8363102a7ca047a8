"""Optional packages, imported at the moment of use."""

from __future__ import annotations

import importlib
from types import ModuleType

from xpnn.backend.errors import MissingDependencyError


def optional_import(name: str, extra: str) -> ModuleType:
    """Import the package `name`, or say which extra of xpnn installs it.

    Raises: MissingDependencyError (an ImportError).

    >>> optional_import("json", extra="train").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingDependencyError(
            f"'{package}' is needed here and cannot be imported ({error})",
            hint=f"Install it with: pip install 'xpnn[{extra}]'",
        ) from error
