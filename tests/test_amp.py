"""Scaled losses: PyTorch's interface, and its course of the scale. Casts are in test_autocast.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.amp import GradScaler
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError, DTypeError


def test_scaled_training_is_unscaled_training(backend: Any) -> None:
    """Powers of two change no digit."""
    trained = []
    for enabled in (False, True):
        xpnn.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer, scaler = optim.Adam(model.parameters(), lr=0.1), GradScaler(enabled=enabled)
        for step in range(5):
            x = xpnn.asarray(
                backend.array(np.random.default_rng(step).standard_normal((4, 3))), dtype="float32"
            )
            optimizer.zero_grad()
            scaler.scale((model(Tensor(x)) ** 2).mean()).backward()
            scaler.unscale_(optimizer)
            norm = optim.clip_grad_norm_(model.parameters(), 1.0)
            assert norm.item() < 100
            scaler.step(optimizer)
            scaler.update()
        trained.append(backend.numpy(model.weight))
    np.testing.assert_array_equal(*trained)


def test_the_scale_goes_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    settings = {"init_scale": 8.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 2}
    values, scales = [1.0, 2.0, math.inf, 1.0, math.nan, 1.0, 1.0, 1.0, 1.0], []
    for library, module, tensor in (
        (optim, xpnn.amp, Tensor(np.ones(2, np.float32))),
        (torch.optim, torch.amp, torch.ones(2)),
    ):
        tensor.requires_grad_(True)
        optimizer, scaler = library.SGD([tensor], lr=0.5), module.GradScaler("cpu", **settings)
        found = []
        for value in values:
            optimizer.zero_grad()
            scaler.scale((tensor * value).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            found.append((scaler.get_scale(), tensor.tolist(), scaler.state_dict()))
        scaler.update(16.0)
        scales.append((found, scaler.get_scale()))
    assert scales[0] == scales[1]


def test_state_goes_on_in_both_directions() -> None:
    torch = pytest.importorskip("torch")
    theirs, mine = torch.amp.GradScaler("cpu", init_scale=4.0), GradScaler()
    mine.load_state_dict(theirs.state_dict())
    assert mine.get_scale() == 4.0
    theirs.load_state_dict(GradScaler(growth_interval=7).state_dict())
    assert (theirs.get_scale(), theirs.get_growth_interval()) == (65536.0, 7)
    before = mine.state_dict()
    for wrong in ({}, None, before | {"scale": math.nan}, before | {"growth_factor": 1.0}):
        with pytest.raises(CheckpointError):
            mine.load_state_dict(wrong)
    assert mine.state_dict() == before
    off = GradScaler(enabled=False)
    off.load_state_dict(before)
    assert (off.state_dict(), off.get_scale(), repr(off)) == ({}, 1.0, "GradScaler(enabled=False)")


def test_several_losses_and_the_order_of_calls() -> None:
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    optimizer, scaler = optim.SGD([x]), GradScaler(init_scale=2.0)
    assert [t.tolist() for t in scaler.scale([x * 1, x * 2])] == [[2.0], [4.0]]
    with pytest.raises(DTypeError, match="Tensors to scale"):
        scaler.scale(1.0)
    with pytest.raises(ArgumentError, match="has seen no gradients"):
        scaler.update()
    x.grad = Tensor(np.ones(1, np.float32))
    scaler.unscale_(optimizer)
    with pytest.raises(ArgumentError, match="has unscaled these"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="has stepped"):
        scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="closure"):
        scaler.step(optimizer, lambda: 0)
    half = Tensor(np.ones(1, np.float16), requires_grad=True)
    half.grad = Tensor(np.ones(1, np.float16))
    with pytest.raises(ArgumentError, match="of '0', which is in float16"):
        scaler.unscale_(optim.SGD([half]))
    assert scaler.scale(half.sum()).dtype == "float32"
    for wrong in (
        {"init_scale": 0.0},
        {"growth_factor": 1.0},
        {"backoff_factor": 1.0},
        {"growth_interval": 0},
    ):
        with pytest.raises(ArgumentError):
            GradScaler(**wrong)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(parts: int, backend: Any) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3))
    trained = []
    for count in (1, parts):
        xpnn.manual_seed(0)
        model = nn.Linear(3, 2).double()
        optimizer = optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            for part in np.split(x, count):
                ((model(Tensor(backend.array(part))) ** 2).mean() / count).backward()
            optimizer.step()
        trained.append(backend.numpy(model.weight))
    np.testing.assert_allclose(*trained, rtol=1e-12)


def test_pytorchs_older_path_is_told_no_device() -> None:
    scaler = xpnn.cuda.amp.GradScaler(4.0, enabled=True)
    assert isinstance(scaler, GradScaler)
    assert scaler.get_scale() == 4.0
    assert not xpnn.cuda.amp.GradScaler(enabled=False).is_enabled()
    with xpnn.cuda.amp.autocast(enabled=False):
        pass
    with pytest.warns(UserWarning, match="no CUDA GPU"), xpnn.cuda.amp.autocast():
        assert not xpnn.is_autocast_enabled()
