"""TF32 on or off by one setting: what CuPy is told, by a stand-in for the part of it that is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.backend import tf32
from xpnn.backend.libraries import cupy as library


@pytest.fixture(autouse=True)
def nothing_chosen() -> Iterator[None]:
    before = list(tf32._chosen)
    tf32._chosen.clear()
    yield
    tf32._chosen[:] = before


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What CuPy is told, on a card with compute capability 9.0."""
    found: list[Any] = []
    linalg = SimpleNamespace(
        COMPUTE_TYPE_TF32="tf32",
        COMPUTE_TYPE_DEFAULT="float32",
        set_compute_type=lambda dtype, kind: found.append((dtype, kind)),
    )
    device = SimpleNamespace(compute_capability="90")
    cuda = SimpleNamespace(is_available=lambda: True, Device=lambda: device)
    names = {"cupy": SimpleNamespace(cuda=cuda), "cupy._core": SimpleNamespace()}
    for name, module in {**names, "cupy._core._routines_linalg": linalg}.items():
        monkeypatch.setitem(sys.modules, name, module)
    found.append(device)
    return found


def kinds(told: list[Any]) -> list[str]:
    assert all(dtype == np.float32 for dtype, _ in told[1:])
    return [kind for _, kind in told[1:]]


def test_the_settings_are_one() -> None:
    """As PyTorch's: the words and the flag say the same."""
    matmul = xpnn.backends.cuda.matmul
    assert (xpnn.get_float32_matmul_precision(), matmul.allow_tf32) == ("highest", False)
    for word, allowed in (("high", True), ("medium", True), ("highest", False)):
        xpnn.set_float32_matmul_precision(word)
        assert (xpnn.get_float32_matmul_precision(), matmul.allow_tf32) == (word, allowed)
    matmul.allow_tf32 = True
    assert xpnn.get_float32_matmul_precision() == "high"
    matmul.allow_tf32 = False
    assert xpnn.get_float32_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="'highest'"):
        xpnn.set_float32_matmul_precision("low")
    with pytest.raises(ValueError, match="True or False"):
        matmul.allow_tf32 = "yes"
    assert not matmul.allow_tf32


def test_cupy_is_told(told: list[Any]) -> None:
    for allowed in (True, False):
        xpnn.backends.cuda.matmul.allow_tf32 = allowed
    assert kinds(told) == ["tf32", "float32"]


def test_cupy_is_told_when_it_is_used_later(told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", SimpleNamespace())
    library._load()
    assert kinds(told) == []  # nobody has chosen: its own settings stay
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "cupy")
        xpnn.set_float32_matmul_precision("high")
    assert kinds(told) == []
    library._load()
    assert kinds(told) == ["tf32"]


def test_a_card_without_it(told: list[Any]) -> None:
    told[0].compute_capability = "75"
    xpnn.set_float32_matmul_precision("high")
    assert kinds(told) == ["float32"]
