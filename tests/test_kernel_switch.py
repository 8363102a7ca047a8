"""Kernel files that XPNN_WITHOUT_KERNELS names are left out, and results stay the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from xpnn.backend import kernel, registered_kernels
from xpnn.backend.kernel_switch import VARIABLE, switched_off

PROGRAM = """
import numpy as np
import xpnn.functional as F
from xpnn.backend import registered_kernels
x = np.random.default_rng(0).standard_normal((2, 32, 16, 16))
w = np.random.default_rng(1).standard_normal((32, 32, 3, 3))
print(F.max_pool2d(F.conv2d(x, w, padding=1), 2).sum())
print(sorted({entry.forward.__module__ for entry in registered_kernels()}))
"""


def test_names_are_those_of_files_and_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "numpy.pool,numba.conv,mine.fast")
    assert switched_off("xpnn.kernels.numpy.pool")
    assert switched_off("xpnn.kernels.numba.conv.direct")
    assert switched_off("mine.fast")
    assert not switched_off("xpnn.kernels.numpy.pooled")
    assert not switched_off("xpnn.kernels.numpy.conv.rows")
    monkeypatch.delenv(VARIABLE)
    assert not switched_off("xpnn.kernels.numpy.pool")


def test_a_kernel_switched_off_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, __name__)
    entry = kernel("numpy", "no_such_primitive")(lambda x: (x, ()))
    assert entry not in registered_kernels()


@pytest.mark.parametrize("without", ["numpy.pool", "numpy.conv.rows,numpy.conv.cells", "numpy.conv"])
def test_results_are_the_same(without: str) -> None:
    (total, modules), (other, fewer) = (run({}), run({VARIABLE: without}))
    assert float(other) == pytest.approx(float(total), rel=1e-12)
    assert ("xpnn.kernels.numpy.pool" in modules, "xpnn.kernels.numpy.pool" in fewer) == (
        True,
        without != "numpy.pool",
    )


def run(variables: dict[str, str]) -> list[str]:
    environment = {**os.environ, "XPNN_NUMBA": "0", **variables}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()
