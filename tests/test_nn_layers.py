"""What a line in tests/cases cannot say of a layer: chance, checkpoints, traces, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError


def test_dropout_drops_in_training_only() -> None:
    x = xpnn.xp.ones((50, 40))
    layer = nn.Dropout(0.25)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.05
    assert layer.eval()(x) is x
    channels = nn.Dropout2d(0.5)(xpnn.xp.ones((8, 8, 3, 3))).numpy()
    assert np.all(channels.min(axis=(2, 3)) == channels.max(axis=(2, 3)))


def test_batch_norm_is_not_counted_twice_by_checkpoint() -> None:
    values = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    plain, recomputed = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x, again = Tensor(values, requires_grad=True), Tensor(values, requires_grad=True)
    (plain(x) ** 3).sum().backward()
    (xpnn.checkpoint(recomputed, again) ** 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), again.grad.numpy())
    for mine, other in zip(plain.buffers(), recomputed.buffers(), strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    assert recomputed.num_batches_tracked.item() == 1


def test_batch_norm_is_traceable() -> None:
    jax = pytest.importorskip("jax")
    with xpnn.use_backend("jax"):
        norm = nn.BatchNorm1d(3, momentum=None)

        def step(x: Any, mean: Any, var: Any, count: Any) -> Any:
            norm.running_mean, norm.running_var, norm.num_batches_tracked = mean, var, count
            y = norm(Tensor(x))
            return (y.array, *(buffer.array for buffer in norm.buffers()))

        state = [buffer.array for buffer in norm.buffers()]
        x = jax.numpy.asarray(np.random.default_rng(0).standard_normal((4, 3)).astype("float32"))
        compiled = jax.jit(step)(x, *state)
        eager = step(x, *state)
        for traced, computed in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(np.asarray(traced), np.asarray(computed), rtol=1e-6)
        assert int(compiled[3]) == 1


def test_padding_row_of_an_embedding_begins_as_zeros() -> None:
    assert nn.Embedding(5, 3, padding_idx=1).weight[1].tolist() == [0.0, 0.0, 0.0]


def test_reset_brings_the_start_back() -> None:
    norm = nn.BatchNorm1d(2)
    norm(xpnn.tensor([[1.0, 2.0], [3.0, 4.0]]))
    norm.weight.array = norm.weight.array * 3
    norm.reset_parameters()
    fresh = nn.BatchNorm1d(2)
    for name, value in norm.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), fresh.state_dict()[name].numpy())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d expects in_channels in 2 equal groups"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "expects kernel_size as an integer or 2 integers"),
        (lambda: nn.Dropout(1.5), "Dropout expects p between 0 and 1"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx between -3 and 2, got 3"),
        (lambda: nn.MSELoss("average"), "Did you mean reduction=.average.?"),
        (
            lambda: nn.Linear(3, 2)(xpnn.tensor([[1.0, 2.0]])),
            "Linear expects 3 input features.*in_features=2",
        ),
        (lambda: nn.BatchNorm2d(3)(xpnn.xp.ones((2, 3))), r"BatchNorm2d expects.*N, C, H, W"),
        (lambda: nn.BatchNorm1d(3)(xpnn.xp.ones((1, 3))), "more than one value per channel"),
        (lambda: nn.Conv2d(1, 1, 5)(xpnn.xp.ones((1, 1, 3, 3))), r"Conv2d expects a kernel|kernel"),
        (lambda: nn.Flatten(2, 1)(xpnn.xp.ones((1, 1, 3, 3))), "Flatten expects start_dim not behind"),
        (lambda: nn.Unflatten(1, (2, 2))(xpnn.xp.ones((1, 5))), "Unflatten expects an axis 1 that divides"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, match: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=match):
        make()


@pytest.mark.parametrize("shape", [(0, 2), (0, 2, 3), (4, 2, 0)])
def test_batch_norm_of_no_elements_keeps_its_statistics(shape):
    norm = nn.BatchNorm1d(2, momentum=0.3)
    norm.running_mean.array, norm.running_var.array = np.full(2, 1, np.float32), np.full(2, 2, np.float32)
    assert norm(Tensor(np.zeros(shape, np.float32))).shape == shape
    assert (norm.running_mean.tolist(), norm.running_var.tolist()) == ([1.0, 1.0], [2.0, 2.0])


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 2, 0)])
def test_instance_norm_of_no_elements_keeps_its_statistics(shape):
    norm = nn.InstanceNorm1d(2, momentum=0.3, track_running_stats=True)
    norm.running_mean.array, norm.running_var.array = np.full(2, 1, np.float32), np.full(2, 2, np.float32)
    assert norm(Tensor(np.zeros(shape, np.float32))).shape == shape
    assert (norm.running_mean.tolist(), norm.running_var.tolist()) == ([1.0, 1.0], [2.0, 2.0])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("LSTM", {"input_size": 2, "hidden_size": 3, "batch_first": "False"}),
        ("Linear", {"in_features": 2, "out_features": 3, "bias": "False"}),
        ("Conv2d", {"in_channels": 2, "out_channels": 3, "kernel_size": 1, "bias": 2}),
        ("BatchNorm2d", {"num_features": 2, "affine": "no"}),
        ("MaxPool2d", {"kernel_size": 2, "ceil_mode": "False"}),
        ("MultiheadAttention", {"embed_dim": 2, "num_heads": 1, "batch_first": None}),
    ],
)
def test_switches_are_true_or_false(name: str, arguments: dict[str, Any]) -> None:
    """The string "False" would count as true."""
    with pytest.raises(ArgumentError, match=rf"{name} expects {list(arguments)[-1]} as True or False"):
        getattr(nn, name)(**arguments)


def test_switches_may_be_1_or_0() -> None:
    """As in PyTorch; programs write `nn.Linear(8, 16, 1)`."""
    assert repr(nn.Linear(2, 3, 1)) == repr(nn.Linear(2, 3))
    assert nn.Conv2d(2, 3, 1, bias=0).bias is None
    assert nn.LSTM(2, 3, batch_first=1)(xpnn.ones(1, 4, 2))[0].shape == (1, 4, 3)


def test_bed_of_nails_is_its_function() -> None:
    layer, x = nn.BedOfNails((1, 2)), xpnn.ones(1, 2, 3, 2)
    np.testing.assert_array_equal(layer(x).numpy(), xpnn.functional.bed_of_nails(x, (1, 2)).numpy())
    assert repr(layer) == "BedOfNails(scale_factor=(1, 2))"
