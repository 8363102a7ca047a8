"""Names of primitives, and which kernel computes a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.autograd import primitive
from xpnn.autograd.primitive import Primitive
from xpnn.backend import choose, find_backend, find_kernels, kernel, reference_only, registered_kernels

NUMPY = find_backend("numpy")

# Kernels that no primitive has: those of optimizers.
OF_OPTIMIZERS = {"norm_of_all", "scaled", "scaled_to_norm", "unscaled"}


@pytest.fixture
def double() -> Primitive:
    @primitive
    def _double(x: Any) -> Any:
        return 2 * x, ()

    return _double


def test_a_primitive_of_xpnn_has_a_name_of_its_own() -> None:
    def conv(x: Any) -> Any:
        return x, ()

    conv.__module__ = "xpnn.functional.other"
    with pytest.raises(ValueError, match="there is a primitive 'conv' already"):
        primitive(conv)


def test_names_of_others_belong_to_their_modules(double: Primitive) -> None:
    def tanh(x: Any) -> Any:
        return x, ()

    first, second = primitive(tanh), primitive(tanh)  # the second time a cell of a notebook is run
    assert first.name == second.name == f"{__name__}.tanh"
    x = np.ones(100_000, dtype=np.float32)
    assert second(x)[0] == 1  # NumPy's kernel for xpnn's own tanh does not take it
    assert repr(double) == f"<primitive {__name__}.double>"


def test_each_kernel_belongs_to_a_primitive() -> None:
    find_kernels(NUMPY, "")  # imports them
    names = {entry.name for entry in registered_kernels() if not entry.name.startswith("test_")}
    assert names - xpnn.autograd.primitive_names() <= OF_OPTIMIZERS


def test_the_highest_priority_whose_guard_takes_the_call(double: Primitive) -> None:
    x = np.ones(3)
    assert choose(find_kernels(NUMPY, double.name), (x,), {}) is None

    def register(result: int, **arguments: Any) -> None:
        kernel("numpy", double.name, **arguments)(lambda x: (x * 0 + result, ()))

    register(3, priority=5)
    register(4)
    assert double(x)[0] == 3
    register(5, priority=5)
    assert double(x)[0] == 5  # of equal ones the last
    register(6, priority=7, when=lambda x: x.size > 3)
    assert double(x)[0] == 5
    assert double(np.ones(4))[0] == 6
    with reference_only():
        assert double(np.ones(4))[0] == 2
