"""CuPy's kernels for its stand-in: the same entries under the other name."""

from __future__ import annotations

import cuda_on_cpu

import xpnn.kernels.cupy  # noqa: F401 - registers them
from xpnn.backend import kernel, registered_kernels
from xpnn.backend.update_kernels import share_updater

if cuda_on_cpu.compiler() is not None:
    for entry in reversed(registered_kernels()):  # of equal priority that which comes last is asked first
        if entry.backend == "cupy":
            again = kernel("cupy_like", entry.name, entry.when, entry.priority, entry.half)(entry.forward)
            again.backward_function = entry.backward_function
    share_updater("cupy", "cupy_like")
