"""What a bug report needs to know about the machine."""

from __future__ import annotations

import os
import platform
import sys

from xpnn.backend.registry import available_backends
from xpnn.version import __version__


def show_versions() -> None:
    """Print the versions of xpnn, Python and the array libraries, and what each backend finds."""
    print(f"xpnn     {__version__}")
    print(f"python   {sys.version.split()[0]} ({platform.python_implementation()})")
    print(f"system   {platform.platform()}, {os.cpu_count()} cores")
    for name, status in available_backends().items():
        print(f"backend  {name}: {status}")
