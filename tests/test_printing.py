"""Tensors are printed as PyTorch prints its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.backend import ArgumentError

RNG = np.random.default_rng(0)

VALUES: dict[str, Any] = {
    "fractions": np.float32([1, 2.5]),
    "far apart": np.float32([1, 2000]),
    "small": np.float32([1e-5, 1]),
    "very small": np.float32([1e-10]),
    "large": np.float32([1e10, 1]),
    "zeros": np.float32([0, 0]),
    "a number": np.float32(3.14159),
    "an integer": np.int64(3),
    "booleans": np.array([True, False]),
    "integers": np.array([[1, -20], [300, 4]]),
    "int32": np.array([1, 2], np.int32),
    "a matrix": RNG.standard_normal((3, 4)).astype(np.float32),
    "float64 of three axes": RNG.standard_normal((2, 3, 4)),
    "float16": np.float16([1.5, 2]),
    "complex": np.complex64([1 + 2j, 3 - 4.5j]),
    "not finite": np.float32([np.nan, np.inf, 1]),
    "not finite, fractions": np.float32([np.nan, 1.5, -np.inf]),
    "no rows": np.zeros((0, 3), np.float32),
    "none": np.zeros(0, np.float32),
    "no integers": np.zeros(0, np.int64),
    "several lines": np.arange(100, dtype=np.float32) / 3,
    "edges of a row": RNG.standard_normal(2000).astype(np.float32),
    "edges of four axes": RNG.standard_normal((2, 3, 40, 50)).astype(np.float32),
    "edges of integers": np.arange(1001).reshape(7, 143),
}


@pytest.mark.parametrize("name", VALUES)
def test_repr(name: str) -> None:
    torch = pytest.importorskip("torch")
    expected = repr(torch.tensor(VALUES[name])).replace("torch.", "xpnn.")
    assert repr(xpnn.tensor(VALUES[name])) == expected


@pytest.mark.parametrize(
    "options", [{"precision": 2}, {"profile": "short"}, {"sci_mode": True}, {"threshold": 5, "edgeitems": 1}]
)
def test_options(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    values = RNG.standard_normal((3, 4)).astype(np.float32)
    try:
        xpnn.set_printoptions(**options)
        torch.set_printoptions(**options)
        assert repr(xpnn.tensor(values)) == repr(torch.tensor(values))
    finally:
        xpnn.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


@pytest.mark.parametrize("options", [{"profile": "long"}, {"precision": "4"}, {"edgeitems": -1}])
def test_options_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="set_printoptions expects"):
        xpnn.set_printoptions(**options)


def test_notes() -> None:
    x = xpnn.tensor([1.0, 2.5], requires_grad=True)
    assert repr(x) == "tensor([1.0000, 2.5000], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 5.], grad_fn=<multiply>)"
    assert f"{x.sum()}" == "3.5"
    assert f"{x.sum():.2f}" == "3.50"


@pytest.mark.parametrize("size", [4, 5, 6, 103, 104])
def test_notes_go_to_a_line_of_their_own(size: int) -> None:
    torch = pytest.importorskip("torch")
    values = np.arange(size, dtype=np.float32) / 3
    expected, result = torch.tensor(values, requires_grad=True), xpnn.tensor(values, requires_grad=True)
    assert repr(result) == repr(expected)
