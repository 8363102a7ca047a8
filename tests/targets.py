"""The array libraries that the tests run on, each in the form that is hardest on the code under test."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnn.backend import (
    Backend,
    available_backends,
    find_backend,
    move,
    register_backend,
    to_numpy,
    use_backend,
)
from xpnn.backend.cuda_graphs import graph_compiler
from xpnn.backend.libraries.cupy import PinnedCopier


@dataclass(frozen=True)
class Target:
    """A backend on a device.

    Args:
        name: what the tests call it; of several targets on one backend, the option `--backend` takes all.
        backend: the name of the backend.
        device: the device that arrays are made on.
        read_only: whether arrays cannot be written to, so that a function that writes into its arguments
            is found out.
    """

    name: str
    backend: str
    device: Any = None
    read_only: bool = False

    def array(self, values: Any) -> Any:
        """A NumPy array (or nested lists, or None) as an array of this target."""
        if values is None:
            return None
        values = np.array(values)
        backend = find_backend(self.backend)
        array = move(values, backend, backend.parse_device(self.device))
        if self.read_only:
            array.flags.writeable = False
        return array

    def numpy(self, array: Any) -> np.ndarray:
        """An array or Tensor of this target as a NumPy array."""
        return to_numpy(array)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the current backend inside of the block."""
        with ExitStack() as stack:
            if self.backend == "array_api_strict":
                stack.enter_context(_bare_standard())
            stack.enter_context(use_backend(self.backend, self.device))
            yield

    def __str__(self) -> str:
        return self.name


# A library that a third party might bring: xpnn has no word for it but this registration, and lends it CuPy's
# kernels.
register_backend(
    Backend(
        "cupy_like",
        packages=("cupy_like",),
        load=lambda: importlib.import_module("cupy_like"),
        install="it lies beside the tests",
        to_numpy=lambda array: array.get(),
        nccl="cupy_like_nccl",
        compiler=lambda: graph_compiler(*[importlib.import_module("cupy_like")] * 2),
        copier=lambda device: PinnedCopier(importlib.import_module("cupy_like"), device),
        kernels="cupy_like_kernels",
    )
)

TARGETS = (
    Target("numpy", "numpy"),
    Target("read_only", "numpy", read_only=True),
    Target("strict", "array_api_strict", device="device1"),
    Target("torch", "torch"),
    Target("jax", "jax"),
    Target("cupy_like", "cupy_like"),
    Target("cupy", "cupy"),
    Target("dpnp", "dpnp"),
    Target("mlx", "mlx"),
)

CHOSEN = pytest.StashKey[list[Target]]()  # in pytest's configuration: the targets of this run


def missing(target: Target) -> str:
    """Why a target cannot be tested here; empty if it can."""
    status = available_backends()[target.backend]
    return "" if status.available else status.detail


def _bare_standard() -> Any:
    """The standard without what libraries that compile, such as JAX, leave out."""
    from array_api_strict import ArrayAPIStrictFlags

    return ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False)
