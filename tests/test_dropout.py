"""Dropout's random masks: how often, where, the same everywhere, and what the gradient sees of them."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from targets import Target

import xpnn.functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad, no_grad
from xpnn.backend import ArgumentError, manual_seed, reference_only, to_numpy
from xpnn.testing import assert_close, gradcheck


def test_dropout_scales_what_it_keeps(backend: Target) -> None:
    manual_seed(0)
    x = backend.array(np.ones((100, 50), np.float32))
    y = to_numpy(F.dropout(x, p=0.25))
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert abs(y.mean() - 1) < 0.03


def test_dropout_is_the_same_everywhere(backend: Target) -> None:
    """The mask is a function of the seed and of the number of draws, not of the library."""
    manual_seed(5)
    x = np.arange(1.0, 13.0).reshape(3, 4)
    expected = [F.dropout(x), F.dropout(x, p=0.7)]
    manual_seed(5)
    for values in expected:
        p = 0.5 if values is expected[0] else 0.7
        assert np.array_equal(to_numpy(F.dropout(backend.array(x), p=p)), values)
    assert not np.array_equal(expected[0] == 0, expected[1] == 0)


def test_dropout_gradient_uses_the_mask_of_the_forward(backend: Target) -> None:
    def dropped(x):
        manual_seed(1)
        return F.dropout(x, p=0.4)

    gradcheck(dropped, [backend.array(np.random.default_rng(0).standard_normal((4, 3)))])


def test_dropout_at_the_ends(backend: Target) -> None:
    x = Tensor(backend.array(np.asarray([1.0, -2.0])), requires_grad=True)
    assert F.dropout(x, p=0.0) is x
    assert F.dropout(x, training=False) is x
    y = F.dropout(x, p=1.0)
    assert to_numpy(y).tolist() == [0.0, 0.0]
    assert to_numpy(grad([y.sum()], [x])[0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ArgumentError, match=r"dropout expects p between 0 and 1"):
        F.dropout(np.ones(3), p=p)


@pytest.mark.parametrize(
    ("function", "spatial"),
    [
        (F.dropout1d, (5,)),
        (F.dropout2d, (2, 3)),
        (F.dropout3d, (2, 1, 3)),
        (F.feature_alpha_dropout, (2, 3)),
        (lambda x: F.stochastic_depth(x.reshape(48, *x.shape[2:]), 0.5, "row"), (2, 3)),
        (lambda x: F.drop_path(x.reshape(48, *x.shape[2:]), 0.5, training=True), (2, 3)),
    ],
)
def test_dropout_of_channels(function, spatial: tuple[int, ...]) -> None:
    """A channel, or a sample, is kept or dropped as one, each on its own."""
    manual_seed(0)
    options = {"training": True} if function is F.feature_alpha_dropout else {}
    y = function(np.ones((8, 6, *spatial), np.float32), **options).reshape(8, 6, -1)
    values = np.unique(y)
    assert len(values) == 2
    if function is not F.feature_alpha_dropout:
        assert values.tolist() == [0.0, 2.0]
    assert (y == y[..., :1]).all()
    assert len({tuple(sample[:, 0]) for sample in y}) > 1


@pytest.mark.parametrize(
    ("function", "shape", "masked", "warning"),
    [
        (F.dropout1d, (6, 5), (6, 1), ""),
        (F.dropout2d, (4, 6), (4, 6), "got an input of 2 axes"),
        (F.dropout2d, (4, 6, 5), (4, 6, 1), r"takes it as \(N, C, L\). Use dropout1d"),
        (F.dropout2d, (2, 6, 1, 2, 3), (2, 6, 1, 1, 1), "got an input of 5 axes"),
        (F.dropout3d, (6, 2, 2, 3), (6, 1, 1, 1), ""),
        (F.dropout3d, (6, 5), (6, 1), r"takes it as \(C, ...\)"),
    ],
)
def test_axes_of_channels_are_those_of_pytorch(function, shape, masked, warning: str) -> None:
    """Which axes share a mask; PyTorch warns where ours does."""
    torch = pytest.importorskip("torch")
    ones = np.ones(shape)
    shared = tuple(i for i, size in enumerate(masked) if size == 1)
    theirs = getattr(torch.nn.functional, function.__name__)
    for call in (lambda: function(ones), lambda: theirs(torch.tensor(ones)).numpy()):
        with pytest.warns(UserWarning, match="dropout") if warning else nullcontext():
            y = call()
        assert y.shape == shape
        assert (y == y.max(axis=shared, keepdims=True)).all()
    if warning:
        with pytest.warns(UserWarning, match=warning) as caught:
            function(ones)
        assert caught[0].filename == __file__


def test_alpha_dropout_keeps_mean_and_variance(backend: Target) -> None:
    """Kept and dropped values are PyTorch's; the gradient is that of a x m."""
    manual_seed(0)
    x = np.random.default_rng(0).standard_normal((200, 100))
    leaf = Tensor(backend.array(x), requires_grad=True)
    y = F.alpha_dropout(leaf, p=0.3, training=True)
    values, saturation = to_numpy(y.detach()), -1.7580993408473766
    a = ((1 - 0.3) * (1 + 0.3 * saturation**2)) ** -0.5
    b = -a * 0.3 * saturation
    kept = np.isclose(values, a * x + b)
    assert abs(kept.mean() - 0.7) < 0.02
    assert_close(values[~kept], np.full((~kept).sum(), a * saturation + b), rtol=1e-12)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert_close(to_numpy(grad([y.sum()], [leaf])[0]), a * kept, rtol=1e-12)


def test_alpha_dropout_gives_the_values_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for p in (0.1, 0.8):
        ours = F.alpha_dropout(np.ones(1000), p, training=True)
        theirs = torch.nn.functional.alpha_dropout(torch.ones(1000).double(), p, training=True).numpy()
        assert_close(np.unique(ours), np.unique(theirs), rtol=1e-9)


def test_drop_path_without_scaling_keeps_values() -> None:
    y = F.drop_path(np.full((50, 3), 0.1), 0.7, training=True, scale_by_keep=False)
    assert set(np.unique(y)) == {0.0, 0.1}


def test_stochastic_depth_of_a_batch() -> None:
    manual_seed(0)
    results = {tuple(np.unique(F.stochastic_depth(np.ones((6, 2)), 0.5, "batch"))) for _ in range(20)}
    assert results == {(0.0,), (2.0,)}


@pytest.mark.parametrize("p", [np.float32(0.3), np.float64(0.3), np.asarray(0.3), 1, 0])
def test_probabilities_of_other_types(p: object, backend: Target) -> None:
    """Numbers of NumPy and whole ones drop what the float does, kernels or not."""
    x = np.ones((100, 30), np.float32)
    results = []
    for number in (p, float(p)):  # type: ignore[arg-type]
        manual_seed(0)
        results.append(to_numpy(F.dropout(backend.array(x), number)))
    with reference_only():
        manual_seed(0)
        results.append(to_numpy(F.dropout(backend.array(x), p)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_dropout_of_a_number() -> None:
    assert set(np.unique([F.dropout(np.ones(())) for _ in range(50)])) == {0.0, 2.0}


def test_monte_carlo_dropout() -> None:
    """What drops does so in evaluation, as do layers with dropout inside; batch norm does not learn."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.AlphaDropout(0.5), nn.Dropout(0.5))
    model.append(nn.StochasticDepth(0.5, "row"))
    lstm = nn.LSTM(4, 8, num_layers=2, dropout=0.5)
    both = nn.ModuleList([model, lstm]).eval()
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    for predict in (lambda: model(x).numpy(), lambda: lstm(x)[0].numpy()):
        with no_grad():
            assert np.array_equal(predict(), predict())
            before = model[1].running_mean.numpy().copy()
            with nn.monte_carlo_dropout(both) as running:
                assert running is both
                assert not np.array_equal(predict(), predict())
            assert np.array_equal(predict(), predict())
            assert np.array_equal(model[1].running_mean.numpy(), before)
    assert not any(part.training for part in both.modules())
