"""What the case of a loss cannot say: arguments of old, broadcasting, whole numbers as targets, lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn.functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad, jacobian
from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError, cheap_to_read, to_numpy
from xpnn.testing import assert_close, gradcheck, gradgradcheck

X, T = np.asarray([[1.0, 2.0], [3.0, 5.0]]), np.asarray([[1.0, 0.0], [0.0, 1.0]])

OLD = [
    (size_average, reduce)
    for size_average in (None, True, False)
    for reduce in (None, True, False)
    if (size_average, reduce) != (None, None)
]


@pytest.mark.parametrize(("size_average", "reduce"), OLD)
def test_arguments_of_old(size_average: bool | None, reduce: bool | None) -> None:
    """size_average and reduce are named in a warning, and mean what they mean in PyTorch."""
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    expected = F.mse_loss(X, T, reduction=meant)
    with pytest.warns(UserWarning, match=f"mse_loss: size_average .* use reduction='{meant}'"):
        assert_close(F.mse_loss(X, T, size_average=size_average, reduce=reduce), expected)
    with pytest.warns(UserWarning, match="mse_loss: size_average"):
        assert_close(F.mse_loss(X, T, size_average, reduce), expected)
    with pytest.warns(UserWarning, match="MSELoss: size_average"):
        loss = nn.MSELoss(size_average, reduce)
    assert_close(to_numpy(loss(Tensor(X), Tensor(T))), expected)


def test_a_reduction_in_the_place_of_size_average() -> None:
    """A string counts as true: PyTorch takes the mean."""
    with pytest.raises(ArgumentError, match=r"got 'sum'\. Did you mean reduction='sum'\?"):
        F.l1_loss(X, T, "sum")
    with pytest.raises(ArgumentError, match=r"KLDivLoss expects .* Did you mean reduction='batchmean'\?"):
        nn.KLDivLoss("batchmean")
    with pytest.warns(UserWarning, match="use reduction='none'"):
        assert_close(F.l1_loss(X, T, reduce=0, size_average=1), np.abs(X - T))
    with pytest.raises(ArgumentError, match="expects reduce as True, False or None"):
        F.l1_loss(X, T, reduce=np.ones(2))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"])
def test_broadcasting(name: str, backend: Target) -> None:
    """As in PyTorch, gradients too; with a warning, as it is rarely meant."""
    torch = pytest.importorskip("torch")
    column, row = np.asarray([[0.5], [2.5]]), np.asarray([1.0, 0.25, 3.0])
    x, t = (Tensor(backend.array(a), requires_grad=True) for a in (column, row))
    with pytest.warns(UserWarning, match=rf"{name} broadcasts .* \(2, 1\) and \(3,\) to \(2, 3\)"):
        loss = getattr(F, name)(x, t, reduction="sum")
    native = [torch.tensor(a, requires_grad=True) for a in (column, row)]
    getattr(torch.nn.functional, name)(*torch.broadcast_tensors(*native), reduction="sum").backward()
    for mine, theirs in zip(grad([loss], [x, t]), native, strict=True):
        assert_close(to_numpy(mine), theirs.grad.numpy(), rtol=1e-12)
    with pytest.warns(UserWarning, match=r"Did you mean target.reshape\(3, 1\)\?"):
        getattr(F, name)(backend.array(row[:, None]), backend.array(row))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_what_does_not_broadcast(name: str) -> None:
    with pytest.raises(ShapeError, match=r"of one shape, got \(2, 1\) and \(2,\)"):
        getattr(F, name)(np.full((2, 1), 0.5), np.ones(2))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_whole_numbers_as_targets(dtype: str, backend: Target) -> None:
    """They become numbers like the input's: float32 stays float32."""
    x = Tensor(backend.array(np.asarray([0.5, 0.25], np.float32)), requires_grad=True)
    whole, floats = (backend.array(np.asarray([1, 0]).astype(kind)) for kind in (dtype, "float32"))
    names = ["mse_loss", "soft_margin_loss", "hinge_embedding_loss", "binary_cross_entropy_with_logits"]
    for name in (*names, "poisson_nll_loss", "sigmoid_focal_loss", "dice_loss", "hinge_loss"):
        function = getattr(F, name)
        loss = function(x, whole, reduction="sum")
        assert str(loss.dtype).endswith("float32")
        assert_close(to_numpy(loss), to_numpy(function(x, floats, reduction="sum")))
        assert grad([loss], [x])[0].dtype == x.dtype


def test_infinite_weights_of_ignored_classes(backend: Target) -> None:
    """0 times infinity is no part of the loss."""
    scores = Tensor(backend.array(np.asarray([[0.0, 0.0], [1.0, 2.0]])), requires_grad=True)
    labels, weight = backend.array(np.asarray([0, 1])), backend.array(np.asarray([np.inf, 2.0]))
    loss = F.cross_entropy(scores, labels, weight, ignore_index=0)
    assert to_numpy(loss) == pytest.approx(np.log1p(np.exp(-1.0)))
    assert np.isfinite(to_numpy(F.nll_loss(scores, labels, weight, ignore_index=0)))


def test_labels_of_weight_0(backend: Target) -> None:
    """The mean is 0 / 0, and PyTorch's gradient is NaN where it depends on it; ignored labels have none."""
    values = np.asarray([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]], np.float32)
    weight, nan = backend.array(np.asarray([1, 0, 1], np.float32)), np.nan
    expected = {
        (F.nll_loss, (1, 1)): [[0, nan, 0]] * 2,
        (F.nll_loss, (1, -1)): [[0, nan, 0], [0, 0, 0]],
        (F.nll_loss, (-1, -1)): [[0, 0, 0]] * 2,
        (F.cross_entropy, (1, -1)): [[nan, nan, nan], [0, 0, 0]],
        (F.cross_entropy, (-1, -1)): [[0, 0, 0]] * 2,
    }
    for (loss, labels), gradient in expected.items():
        scores = Tensor(backend.array(values), requires_grad=True)
        y = loss(scores, backend.array(np.asarray(labels)), weight, ignore_index=-1)
        y.backward()
        assert np.isnan(to_numpy(y))
        np.testing.assert_array_equal(to_numpy(scores.grad), gradient)


# ctc_loss


def test_lengths_of_ctc(backend: Target) -> None:
    """Arrays, tuples and numbers; padding and what comes after the last label are not looked at."""
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (4, 2)))
    arrays = [backend.array(a) for a in (log_probs, np.asarray([[1, 2, -7], [2, 99, 0]]))]
    kinds = (tuple, list, lambda values: backend.array(np.asarray(values)))
    losses = [to_numpy(F.ctc_loss(*arrays, kind([4, 3]), kind([2, 1]))) for kind in kinds]
    losses.append(to_numpy(F.ctc_loss(arrays[0], backend.array(np.asarray([1, 2, 2])), (4, 3), (2, 1))))
    assert len(set(map(float, losses))) == 1
    one = F.ctc_loss(arrays[0][:, 0, :], backend.array(np.asarray([1, 2])), 4, 2, reduction="none")
    assert one.shape == ()
    with pytest.raises(ArgumentError, match=r"expects input_lengths as an integer, got 4\.5"):
        F.ctc_loss(*arrays, (4.5, 3), (2, 1))


def test_gradient_of_ctc_is_that_of_torch(backend: Target) -> None:
    """Of the log-probabilities themselves: p - q, infinite losses and times beyond the end included."""
    torch = pytest.importorskip("torch")
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (5, 4)))
    targets, times, lengths = np.asarray([[1, 2], [2, 2], [1, 1], [0, 0]]), [5, 4, 2, 3], [2, 2, 2, 0]
    for zero_infinity in (False, True):
        x = Tensor(backend.array(log_probs), requires_grad=True)
        loss = F.ctc_loss(x, backend.array(targets), times, lengths, 0, "sum", zero_infinity)
        y = torch.tensor(log_probs, requires_grad=True)
        arrays = [torch.tensor(a) for a in (targets, times, lengths)]
        torch.nn.functional.ctc_loss(y, *arrays, 0, "sum", zero_infinity).backward()
        assert np.isinf(to_numpy(loss)) != zero_infinity
        assert_close(to_numpy(grad([loss], [x])[0]), y.grad.numpy(), rtol=1e-9, atol=1e-12, equal_nan=True)


def test_ctc_of_long_sequences(backend: Target) -> None:
    """300 times of float32, whose probability is far below its smallest number."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((300, 2, 5)).astype(np.float32)
    log_probs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    targets, times, lengths = rng.integers(1, 5, (2, 40)), [300, 250], [40, 33]
    x = Tensor(backend.array(log_probs), requires_grad=True)
    loss = F.ctc_loss(x, backend.array(targets), times, lengths)
    y = torch.tensor(log_probs.astype(float), requires_grad=True)
    expected = torch.nn.functional.ctc_loss(y, *(torch.tensor(a) for a in (targets, times, lengths)))
    expected.backward()
    assert_close(to_numpy(loss), expected.detach().numpy(), rtol=1e-5, check_dtype=False)
    assert_close(to_numpy(grad([loss], [x])[0]), y.grad.numpy(), rtol=1e-2, atol=1e-5, check_dtype=False)


def test_derivatives_of_ctc_of_impossible_labels() -> None:
    """Of an impossible class neither loss nor derivatives are NaN where others will do."""
    scores = np.asarray([[[0.0, 1.0, -1.0]], [[0.5, 0.0, 0.2]], [[0.1, 0.3, 0.0]]])

    def loss(x: Any) -> Any:
        return F.ctc_loss(F.log_softmax(x, -1), np.asarray([[1]]), (3,), (1,))

    assert gradcheck(loss, [scores])
    assert gradgradcheck(loss, [scores])
    scores[0, 0, 2] = -np.inf
    x = Tensor(scores, requires_grad=True)
    (first,) = grad([loss(x)], [x], create_graph=True)
    assert np.isfinite(to_numpy(first)).all()


def test_labels_and_lengths_under_jit() -> None:
    """Where no value can be read, what is out of range gives NaN."""
    jax = pytest.importorskip("jax")
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (4, 2)))
    targets, flat, lengths = np.asarray([[1, 2], [2, 0]]), np.asarray([1, 2, 2]), np.asarray([2, 1])
    compiled = jax.jit(lambda *arrays: F.ctc_loss(*arrays, reduction="none"))
    expected = F.ctc_loss(log_probs, targets, (4, 4), (2, 1), reduction="none")
    for labels in (targets, flat):
        found = compiled(log_probs, labels, np.asarray([4, 4]), lengths)
        assert_close(found, expected, rtol=1e-5, check_dtype=False)
    found = compiled(log_probs, np.asarray([[1, 3], [2, 0]]), np.asarray([4, 4]), lengths)
    assert np.isnan(found).tolist() == [True, False]
    scores = jax.numpy.asarray([[0.0, 1.0], [1.0, 0.0]])
    margins = jax.jit(lambda labels: F.multi_margin_loss(scores, labels, reduction="none"))
    assert np.isnan(margins(np.asarray([0, 2]))).tolist() == [False, True]
    with pytest.raises(IndexOutOfRangeError):
        F.multi_margin_loss(to_numpy(scores), np.asarray([0, 2]))


# relations between losses


def test_divergence_entropy_and_cross_entropy(backend: Target) -> None:
    """H(p, q) = H(p) + KL(p || q), and the Jensen-Shannon divergence of p and p is 0."""
    rng = np.random.default_rng(0)
    p, q = (backend.array(rng.dirichlet(np.ones(4), 3)) for _ in range(2))
    log_q = backend.array(np.log(to_numpy(q)))
    cross = F.cross_entropy_of_probabilities(q, p, reduction="sum")
    parts = F.entropy(p, reduction="sum") + F.kl_div(log_q, p, reduction="sum")
    assert_close(to_numpy(cross), to_numpy(parts), rtol=1e-12)
    assert_close(to_numpy(F.js_div(p, q)), to_numpy(F.js_div(q, p)), rtol=1e-12)
    assert abs(to_numpy(F.js_div(p, p))) < 1e-15


def test_certain_probabilities(backend: Target) -> None:
    """0 ln 0 is 0, and the logarithm of 0 is cut off at -100."""
    p = Tensor(backend.array(np.asarray([[1.0, 0.0]])), requires_grad=True)
    certain = backend.array(np.asarray([[0.0, 1.0]]))
    values = [
        (F.entropy(p), 0.0),
        (F.cross_entropy_of_probabilities(p, backend.array(np.asarray([1]))), 100.0),
        (F.cross_entropy_of_probabilities(p, certain), 100.0),
        (F.js_div(p, certain, reduction="sum"), np.log(2)),
        (F.cross_entropy_per_cell(p, backend.array(np.asarray([1]))), 100.0),
    ]
    for value, expected in values:
        assert float(to_numpy(value)) == pytest.approx(expected)
        assert np.isfinite(to_numpy(grad([value], [p])[0])).all()


def test_dice_of_empty_regions() -> None:
    assert F.dice_loss(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_focal_loss_without_focus(backend: Target) -> None:
    x, t = (backend.array(a) for a in (np.asarray([-2.0, 0.5]), np.asarray([1.0, 0.0])))
    entropy = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert_close(to_numpy(F.sigmoid_focal_loss(x, t, alpha=-1, gamma=0)), to_numpy(entropy), rtol=1e-12)


def test_half_squared_error_is_half_of_the_summed_squares() -> None:
    (gradient,) = jacobian(lambda x: F.half_squared_error(x, T), [Tensor(X)])
    assert_close(to_numpy(gradient), X - T)
    assert F.half_squared_error(X, T) == 14.5


def test_equal_vectors_have_a_gradient() -> None:
    """The norm's is 0 at 0; eps in `pairwise_distance` makes it one."""
    x = Tensor(np.ones((1, 2)), requires_grad=True)
    for function in (lambda: F.pairwise_distance(x, x * 1, eps=0.0), lambda: F.normalize(x * 0.0)):
        assert to_numpy(grad([function().sum()], [x])[0]).tolist() == [[0.0, 0.0]]
    assert np.isfinite(to_numpy(grad([F.cosine_similarity(x * 0.0, x).sum()], [x])[0])).all()


def test_probabilities_on_the_host(backend: Target) -> None:
    if not cheap_to_read(backend.array(X)):
        pytest.skip("values on a GPU are not read")
    with pytest.raises(ArgumentError, match=r"got 5\.0\. For scores use cross_entropy"):
        F.cross_entropy_of_probabilities(backend.array(X), backend.array(T))


# the adaptive softmax


def test_adaptive_softmax(backend: Target) -> None:
    """All log-probabilities and the best classes are PyTorch's."""
    torch = pytest.importorskip("torch")
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0).double()
    mine = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0).double()
    mine.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    mine.to(backend.backend)
    features = np.random.default_rng(0).standard_normal((40, 8))
    x, y = backend.array(features), torch.tensor(features)
    assert_close(to_numpy(mine.log_prob(x)), theirs.log_prob(y).detach().numpy(), rtol=1e-9)
    assert to_numpy(mine.predict(x)).tolist() == theirs.predict(y).tolist()
    log_p, labels = to_numpy(mine.log_prob(x)), np.arange(40) % 12
    assert_close(to_numpy(mine(x, backend.array(labels)).output), log_p[np.arange(40), labels], rtol=1e-9)


def test_adaptive_softmax_under_jit() -> None:
    jax = pytest.importorskip("jax")
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0).double().to("jax")
    x, labels = jax.numpy.ones((12, 8)) / 8, jax.numpy.arange(12)
    found = jax.jit(lambda labels: layer(Tensor(x), labels).output.array)(labels)
    assert_close(found, layer(Tensor(x), labels).output.array, rtol=1e-5)


@pytest.mark.parametrize("cutoffs", [[], [0], [3, 2], [2, 2], [10]])
def test_cutoffs(cutoffs: list[int]) -> None:
    with pytest.raises(ArgumentError, match="expects cutoffs as rising integers from 1 to 9"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs)


def test_targets_of_the_adaptive_softmax() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 10, [2])
    with pytest.raises(IndexOutOfRangeError, match=r"expects target between 0 and 9, got 10 at position 1"):
        layer(np.ones((2, 8), np.float32), np.asarray([0, 10]))
    with pytest.raises(ShapeError, match=r"got \(2, 8\) and \(3,\)"):
        layer(np.ones((2, 8), np.float32), np.asarray([0, 1, 2]))
