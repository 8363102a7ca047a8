"""Norms: float32 parameters beside half precision, running statistics, synchronised batch norm."""

from __future__ import annotations

import numpy as np
import pytest
from targets import Target

import xpnn
import xpnn.functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, Group

X = np.random.default_rng(0).standard_normal((4, 6, 5))

NORMS = {
    "batch_norm": (lambda f, x, w, b: f.batch_norm(x, None, None, w, b, training=True), 6),
    "instance_norm": (lambda f, x, w, b: f.instance_norm(x, None, None, w, b), 6),
    "group_norm": (lambda f, x, w, b: f.group_norm(x, 2, w, b), 6),
    "layer_norm": (lambda f, x, w, b: f.layer_norm(x, (5,), w, b), 5),
    "rms_norm": (lambda f, x, w, b: f.rms_norm(x, (5,), w) + b, 5),
}


@pytest.mark.parametrize("name", NORMS)
def test_half_precision_beside_float32_parameters(name: str, backend: Target) -> None:
    """As where a model in float16 keeps its norms in float32: each gradient is of its own element type."""
    if backend.backend == "array_api_strict":
        pytest.skip("has no float16")
    norm, count = NORMS[name]
    w, b = np.random.default_rng(1).uniform(0.5, 2.0, (2, count))
    dtypes = ("float16", "float32", "float16" if name == "rms_norm" else "float32")
    given = [Tensor(backend.array(v.astype(dtype))) for v, dtype in zip((X, w, b), dtypes)]
    exact = [Tensor(backend.array(v.astype(dtype).astype("float32"))) for v, dtype in zip((X, w, b), dtypes)]
    found = []
    for arrays in (given, exact):
        for array in arrays:
            array.requires_grad_()
        y = norm(F, *arrays)
        (y * y * y).sum().backward()
        found.append([y, *(array.grad for array in arrays)])
    for one, other, dtype in zip(*found, ("float16", *dtypes)):
        assert str(one.dtype).endswith(dtype)
        one, other = (backend.numpy(v.detach()).astype("float64") for v in (one, other))
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.05)


def test_running_statistics_come_together() -> None:
    x, running = xpnn.tensor(X), xpnn.zeros(6)
    for norm in (lambda *s: F.batch_norm(x, *s, training=True), lambda *s: F.instance_norm(x, *s)):
        with pytest.raises(ArgumentError, match="both running_mean and running_var or neither, got no"):
            norm(running, None)
        with pytest.raises(ArgumentError, match="got no running_mean"):
            norm(None, running)


@pytest.mark.parametrize("momentum", [None, "0.1", float("nan")])
def test_momentum_is_a_number(momentum: object) -> None:
    x, mean, variance = xpnn.tensor(X), xpnn.zeros(6), xpnn.ones(6)
    with pytest.raises(ArgumentError, match="expects momentum as a number, got"):
        F.batch_norm(x, mean, variance, training=True, momentum=momentum)
    with pytest.raises(ArgumentError, match="expects momentum as a number, got"):
        F.instance_norm(x, mean, variance, momentum=momentum)


def test_every_batch_norm_becomes_a_synchronised_one() -> None:
    """With the same Parameters, Buffers and mode; shared ones stay shared; instance norms stay."""
    shared = nn.BatchNorm1d(2, momentum=0.3).eval()
    model = nn.Sequential(shared, nn.Sequential(nn.BatchNorm2d(3, bias=False), shared), nn.InstanceNorm1d(2))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    weight = model[1][0].weight
    group = object.__new__(Group)  # which is only handed on here
    assert nn.SyncBatchNorm.convert_sync_batchnorm(model, group) is model
    first, (inner, again), instance = model
    assert type(first) is type(inner) is nn.SyncBatchNorm
    assert type(instance) is nn.InstanceNorm1d
    assert first is again
    assert (first.momentum, first.training, first.process_group) == (0.3, False, group)
    assert inner.weight is weight
    assert inner.bias is None
    assert inner.training
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])
    alone = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm3d(2))
    assert type(alone) is nn.SyncBatchNorm
    with pytest.raises(ArgumentError, match="sizes are known, got a LazyBatchNorm1d"):
        nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.LazyBatchNorm1d()))
