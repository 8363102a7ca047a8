"""Kernel files that are left out: to measure what each one gains, and to find which one is to blame.

The environment variable XPNN_WITHOUT_KERNELS names files below `xpnn/kernels/`, or folders of them:

    XPNN_WITHOUT_KERNELS=numpy.pool,numba.conv python train.py

What such a file registers is not used; the reference or another kernel takes its place. It is read once, when
kernels are registered.
"""

from __future__ import annotations

import os

VARIABLE = "XPNN_WITHOUT_KERNELS"

_FOLDER = "xpnn.kernels."
_files: set[str] = set()


def switched_off(module: str) -> bool:
    """Whether the file of a module is left out; whoever registers kernels, or methods of one, asks.

    >>> switched_off("xpnn.kernels.numpy.pool")
    False
    """
    file = module.removeprefix(_FOLDER)
    if module.startswith(_FOLDER):
        _files.add(file)
    names = os.environ.get(VARIABLE, "").split(",")
    return any(file == name or (name and file.startswith(f"{name}.")) for name in names)


def kernel_files() -> list[str]:
    """The files that can be left out, of the backends whose kernels have been registered."""
    return sorted(_files)
