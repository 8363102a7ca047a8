"""Numba's rows in the tables of methods of `kernels/numpy/conv`: they are asked before NumPy's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.backend import COMPILED
from xpnn.kernels.numba.compiling import can_run
from xpnn.kernels.numba.conv import depthwise, direct, winograd
from xpnn.kernels.numpy.conv.layout import Windows
from xpnn.kernels.numpy.conv.methods import (
    banded_convolve,
    deserves_bands,
    fold_by_remainders,
    in_reverse,
)
from xpnn.kernels.numpy.conv.table import convolutions, input_gradients, joint_gradients, weight_gradients


def _compiled(method: Any) -> Callable[[Windows], bool]:
    """The guard of a module: its own, while compiled kernels are on and what it calls can be compiled."""

    def suits(windows: Windows) -> bool:
        own = windows.compiled and windows.dtype.name in method.DTYPES and method.suits(windows)
        return own and can_run(method.FUNCTIONS, windows.dtype)

    return suits


def _bands_suit(windows: Windows) -> bool:
    return windows.compiled and deserves_bands(windows)


suits = _compiled(depthwise)
convolutions.add(
    "compiled depthwise", suits, depthwise.depthwise_convolve, depthwise.empty_in_lines, COMPILED
)
input_gradients.add("compiled depthwise", suits, depthwise.depthwise_fold, depthwise.empty_in_lines, COMPILED)
weight_gradients.add("compiled depthwise", suits, depthwise.depthwise_correlate, priority=COMPILED)
joint_gradients.add(
    "compiled depthwise", suits, depthwise.depthwise_gradients, depthwise.empty_in_lines, COMPILED
)

convolutions.add("compiled banded", _bands_suit, banded_convolve, priority=COMPILED)
for method in (winograd, direct):
    name, suits = method.__name__.rpartition(".")[2], _compiled(method)
    convolve, correlate, gradients = (
        getattr(method, f"{name}_{role}") for role in ("convolve", "correlate", "gradients")
    )
    convolutions.add(f"compiled {name}", suits, convolve, priority=COMPILED)
    input_gradients.add(f"compiled {name}", suits, fold_by_remainders, priority=COMPILED)
    weight_gradients.add(f"compiled {name}", suits, correlate, priority=COMPILED)
    joint_gradients.add(f"compiled {name}", in_reverse(suits), gradients, priority=COMPILED)
