"""What a `Case` cannot say: random masks, extremes of float32, running statistics, labels under a trace."""

from __future__ import annotations

import numpy as np
import pytest
from halves import PRECISION, half_types, in_float64, in_half
from targets import Target

import xpnn.functional as F
from xpnn.autograd import Tensor, grad
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    GradientError,
    cheap_to_read,
    dtype_name,
    manual_seed,
    to_numpy,
)
from xpnn.testing import assert_close

ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "sigmoid": F.sigmoid,
    "logsigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "tanh": F.tanh,
    "silu": F.silu,
    "mish": F.mish,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softmax": lambda x: F.softmax(x, dim=0),
    "log_softmax": lambda x: F.log_softmax(x, dim=0),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, x * 0 + 1, reduction="none"),
}


@pytest.mark.parametrize("name", [*ACTIVATIONS, "cross_entropy"])
def test_extremes(name: str, backend: Target) -> None:
    """At +-1e4 in float32 neither values nor first nor second derivatives overflow; no warning is given."""
    extremes = np.asarray([-1e4, -100.0, -1.5, 2.5, 100.0, 1e4], np.float32)
    x = Tensor(backend.array(extremes), requires_grad=True)
    if name == "cross_entropy":
        y = F.cross_entropy(x, backend.array(0))
    else:
        y = ACTIVATIONS[name](x)
    (first,) = grad([y.sum()], [x], create_graph=True)
    (second,) = grad([first.sum()], [x], allow_unused=True) if first.requires_grad else (None,)
    for values in (y, first, second):
        if values is not None:
            assert np.isfinite(to_numpy(values)).all()
            assert to_numpy(values).dtype == np.float32


INF = float("inf")


@pytest.mark.parametrize(
    ("function", "x", "y", "gx"),
    [
        (F.relu, [-1.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, INF]),
        (F.relu6, [-1.0, 2.0, 7.0], [0.0, 2.0, 6.0], [0.0, INF, 0.0]),
        (lambda x: F.step(x, 0.5), [-INF, 0.0, 3.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.0]),
        (F.hardsigmoid, [-4.0, 4.0], [0.0, 1.0], [0.0, 0.0]),
        (F.hardswish, [-4.0, 4.0], [0.0, 4.0], [0.0, INF]),
        (F.sigmoid, [-INF, INF], [0.0, 1.0], None),
        (lambda x: F.leaky_relu(x, 0.0), [-1.0, INF], [0.0, INF], None),
        (lambda x: F.softplus(x, 2.0, -100.0), [-3.0, 2.0], [-3.0, 2.0], [INF, INF]),
        (lambda x: F.prelu(x, x[:1] * 0 + INF), [1.0, 2.0], [1.0, 2.0], None),
    ],
)
def test_infinity_stays_where_it_belongs(function, x, y, gx, backend: Target) -> None:
    """Values at infinity, and gradients of infinity from above: what is cut off is 0, not NaN."""
    leaf = Tensor(backend.array(np.asarray(x)), requires_grad=True)
    result = function(leaf)
    assert to_numpy(result).tolist() == y
    if gx is not None:
        above = Tensor(backend.array(np.full(len(x), INF)))
        assert to_numpy(grad([result], [leaf], [above])[0]).tolist() == gx


def test_gradient_of_prelu_at_infinity(backend: Target) -> None:
    x = Tensor(backend.array(np.asarray([[INF, -2.0]])))
    weight = Tensor(backend.array(np.asarray([0.5, 0.5])), requires_grad=True)
    assert to_numpy(grad([F.prelu(x, weight).sum()], [weight])[0]).tolist() == [0.0, -2.0]


def test_gelu_is_exact(backend: Target) -> None:
    """Phi is exact to the last digits in float64, also in the far lower tail (relative)."""
    from math import erfc, sqrt

    x = np.linspace(-9, 9, 1001)
    expected = np.asarray([v * erfc(-v / sqrt(2)) / 2 for v in x])
    y = to_numpy(F.gelu(backend.array(x)))
    assert_close(y, expected, rtol=1e-13, atol=1e-300)


def test_sigmoid_of_very_negative_numbers(backend: Target) -> None:
    """The left tail keeps its digits: e^-80 is no zero in float32."""
    y = to_numpy(F.sigmoid(backend.array(np.asarray([-80.0], np.float32))))
    assert_close(y, np.exp(np.asarray([-80.0])).astype(np.float32), rtol=1e-5)


def test_random_slopes(backend: Target) -> None:
    """Drawn evenly from [lower, upper), the same ones everywhere; those of the forward scale the gradient."""
    x = -np.ones((40, 50), np.float32)
    manual_seed(3)
    expected = -to_numpy(F.rrelu(x, 0.25, 0.75, training=True))
    leaf = Tensor(backend.array(x), requires_grad=True)
    manual_seed(3)
    y = F.rrelu(leaf, 0.25, 0.75, training=True)
    np.testing.assert_array_equal(-to_numpy(y.detach()), expected)
    np.testing.assert_array_equal(to_numpy(grad([y.sum()], [leaf])[0]), expected)
    assert 0.25 <= expected.min() < 0.26
    assert 0.74 < expected.max() < 0.75
    assert abs(expected.mean() - 0.5) < 0.01


def test_gumbel_softmax_draws_its_categories(backend: Target) -> None:
    """As often as softmax says; `hard` is 1 there and 0 elsewhere, with the gradient of the soft sample."""
    probabilities = np.asarray([0.5, 0.3, 0.2])
    logits = Tensor(backend.array(np.tile(np.log(probabilities), (4000, 1))), requires_grad=True)
    manual_seed(0)
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    manual_seed(0)
    soft = F.gumbel_softmax(logits, tau=0.5)
    values = to_numpy(hard.detach())
    assert set(np.unique(values)) == {0.0, 1.0}
    np.testing.assert_array_equal(values.argmax(-1), to_numpy(soft.detach()).argmax(-1))
    assert abs(values.mean(axis=0) - probabilities).max() < 0.03
    above = Tensor(backend.array(np.random.default_rng(0).standard_normal(values.shape)))
    gradients = [to_numpy(grad([y], [logits], [above])[0]) for y in (hard, soft)]
    np.testing.assert_array_equal(*gradients)


# batch norm


def test_gradient_reversal_between_functions(backend: Target) -> None:
    """Of exp(rev(x^2)) the rule's derivatives of first and second order, as PyTorch's `Function` has them."""
    torch = pytest.importorskip("torch")

    class Reversal(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, alpha):
            ctx.alpha = alpha
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gy):
            return -ctx.alpha * gy, None

    values = np.array([[0.3, -0.7], [1.1, 0.0]])
    theirs = torch.tensor(values, requires_grad=True)
    (first,) = torch.autograd.grad(Reversal.apply(theirs**2, 0.7).exp().sum(), theirs, create_graph=True)
    (second,) = torch.autograd.grad((first**3).sum(), theirs)
    x = Tensor(backend.array(values), requires_grad=True)
    (gx,) = grad(F.gradient_reversal(x**2, 0.7).exp().sum(), x, create_graph=True)
    assert_close(gx, first.detach().numpy(), rtol=1e-12)
    assert_close(gx, -0.7 * 2 * values * np.exp(values**2), rtol=1e-12)
    assert_close(grad((gx**3).sum(), x)[0], second.numpy(), rtol=1e-12)


def test_batch_norm_moves_running_statistics_as_pytorch(backend: Target) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, mean, variance = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(3), rng.random(3)
    running = [Tensor(backend.array(v)) for v in (mean, variance)]
    expected = [torch.tensor(v) for v in (mean, variance)]
    F.batch_norm(Tensor(backend.array(x)), *running, training=True, momentum=0.3)
    torch.nn.functional.batch_norm(torch.tensor(x), *expected, training=True, momentum=0.3)
    assert_close(to_numpy(running[0]), expected[0].numpy(), rtol=1e-12)
    assert_close(to_numpy(running[1]), expected[1].numpy(), rtol=1e-12)


def test_batch_norm_refuses_to_write_into_raw_arrays() -> None:
    with pytest.raises(ArgumentError, match=r"running statistics as Tensors, got a raw array"):
        F.batch_norm(np.ones((4, 2)), np.zeros(2), np.ones(2), training=True)


def test_batch_norm_of_large_means_in_float32(backend: Target) -> None:
    """The variance is taken about the mean: x^2 - mean^2 would have lost all its digits here."""
    x = np.random.default_rng(0).standard_normal((64, 2)) + 1000
    y = to_numpy(F.batch_norm(backend.array(x.astype(np.float32)), None, None, training=True))
    assert abs(y.std(axis=0) - 1).max() < 1e-3


@pytest.mark.parametrize("name", ["layer", "group", "instance", "batch", "rms"])
def test_norms_of_half_precision_have_their_statistics_in_float32(name: str, backend: Target) -> None:
    """The squares of 300 and the sum of 100,000 values are no numbers of float16."""
    if backend.name == "strict":
        pytest.skip("has no float16")
    signs = np.resize(np.float16([1, -1]), (1, 2, 100_000))
    x = Tensor(backend.array(300 * signs), requires_grad=True)
    functions = {
        "layer": lambda: F.layer_norm(x, 100_000),
        "group": lambda: F.group_norm(x, 1),
        "instance": lambda: F.instance_norm(x),
        "batch": lambda: F.batch_norm(x, None, None, training=True),
        "rms": lambda: F.rms_norm(x, 100_000),
    }
    y = functions[name]()
    (gx,) = grad([y[0, 0, 0]], [x])
    assert to_numpy(y).dtype == to_numpy(gx).dtype == np.float16
    assert np.array_equal(to_numpy(y), signs)
    assert np.isfinite(to_numpy(gx)).all()


def test_running_statistics_of_half(backend: Target) -> None:
    """100,000 elements a channel, whose sums are no numbers of float16; small steps are rounded once."""
    for dtype in half_types(backend):
        eps = PRECISION[dtype][0]
        x, old = in_half(backend, dtype, [1 + np.resize([-0.5, 0.5], (4, 2, 25_000)), np.full(2, 0.5)])
        running = [Tensor(old), Tensor(old)]
        y = F.batch_norm(x, *running, training=True, momentum=0.25)
        assert np.abs(in_float64(y) - np.resize([-1, 1], (4, 2, 25_000))).max() <= eps
        for statistic, batch in zip(running, (1.0, 0.25), strict=True):
            assert dtype_name(statistic.dtype) == dtype
            assert np.abs(in_float64(statistic) - (0.75 * 0.5 + 0.25 * batch)).max() <= eps / 4
        again = F.batch_norm(x, *running)
        expected = (in_float64(x) - 0.625) / np.sqrt(0.4375 + 1e-5)
        assert np.abs(in_float64(again) - expected).max() <= 2 * eps


def test_rms_norm_of_half_adds_what_float32_has(backend: Target) -> None:
    """Its own distance from 1 to the next number would leave 0.03 of small inputs, where PyTorch has 0.94."""
    for dtype in half_types(backend):
        (x,) = in_half(backend, dtype, [np.full((1, 8), 1e-3)])
        y, square = F.rms_norm(x, 8), in_float64(x) ** 2
        expected = in_float64(x) / np.sqrt(square + np.finfo(np.float32).eps)
        assert np.abs(in_float64(y) - expected).max() <= PRECISION[dtype][0]


def test_averages_of_half(backend: Target) -> None:
    """Sums of four are no numbers of float16, their means are."""
    for dtype in half_types(backend):
        (x,) = in_half(backend, dtype, [np.full((1, 1, 4, 4), 40_960.0)])
        x = Tensor(x, requires_grad=True)
        for pool in (lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 3)):
            y = pool(x)
            assert dtype_name(y.dtype) == dtype
            assert np.unique(in_float64(y)).tolist() == [40_960]
            (gx,) = grad([y], [x], [y.detach() * 0 + 1])
            assert dtype_name(gx.dtype) == dtype
            assert in_float64(gx).sum() == np.prod(y.shape)


# losses


def test_losses_of_half_precision_add_up_in_float32(backend: Target) -> None:
    """160,000 is no number of float16, whose largest is 65,504; the gradient is rounded once, too."""
    if backend.name == "strict":
        pytest.skip("has no float16")
    zeros = Tensor(backend.array(np.zeros((4, 40_000), np.float16)), requires_grad=True)
    ones = Tensor(backend.array(np.ones((4, 40_000), np.float16)), requires_grad=True)
    loss = F.mse_loss(zeros, ones)
    gradients = grad([loss * 40_000], [zeros, ones])
    assert [to_numpy(a).dtype for a in (loss, *gradients)] == [np.float16] * 3
    assert to_numpy(loss) == 1
    assert [float(to_numpy(g)[0, 0]) for g in gradients] == [-0.5, 0.5]
    scores = backend.array(np.zeros((70_000, 2), np.float16))
    labels = backend.array(np.zeros(70_000, np.int64))
    assert abs(float(to_numpy(F.cross_entropy(scores, labels))) - np.log(2)) < 1e-3
    for dtype in (np.float16, np.float32, np.int64):  # a target of +-1 is of any element type
        pairs = [backend.array(np.full((2, 500), 300, np.float16)) for _ in range(2)]
        losses = F.cosine_embedding_loss(*pairs, backend.array(np.asarray([1, -1], dtype)), reduction="none")
        assert to_numpy(losses).dtype == np.float16
        assert to_numpy(losses).tolist() == [0, 1]


def test_nothing_counted_is_nan_without_a_warning(backend: Target) -> None:
    """As in PyTorch: the mean over no label, and over an empty batch."""
    scores = Tensor(backend.array(np.zeros((2, 3))), requires_grad=True)
    loss = F.cross_entropy(scores, backend.array(np.asarray([-100, -100])))
    assert np.isnan(to_numpy(loss))
    assert np.isnan(to_numpy(F.mse_loss(*[backend.array(np.zeros((0, 2)))] * 2)))
    assert np.isnan(
        to_numpy(F.cross_entropy(backend.array(np.zeros((0, 2))), backend.array(np.zeros((0, 2)))))
    )


def test_excluded_classes(backend: Target) -> None:
    """A score of -inf rules a class out, and costs nothing where it is not the label or is ignored."""
    torch = pytest.importorskip("torch")
    scores = np.asarray([[0.5, -np.inf, 1.0], [-np.inf, 0.0, -np.inf]])
    labels = np.asarray([2, -100])
    x = Tensor(backend.array(scores), requires_grad=True)
    loss = F.cross_entropy(x, backend.array(labels))
    y = torch.tensor(scores, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(y, torch.tensor(labels))
    expected.backward()
    assert_close(to_numpy(loss), expected.detach().numpy(), rtol=1e-12)
    assert_close(to_numpy(grad([loss], [x])[0]), y.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_class_weights_have_no_gradient() -> None:
    weight = Tensor(np.ones(3), requires_grad=True)
    loss = F.cross_entropy(np.zeros((2, 3)), np.asarray([0, 1]), weight)
    with pytest.raises(GradientError, match="cross_entropy returned no gradient for its argument 2"):
        loss.backward()


def test_labels_of_small_integer_types(backend: Target) -> None:
    """uint8 labels, as MNIST's files have, compare with classes and with ignore_index as any others."""
    scores = backend.array(np.random.default_rng(0).standard_normal((3, 4)))
    wide = F.cross_entropy(scores, backend.array(np.asarray([3, 0, 1])))
    narrow = F.cross_entropy(scores, backend.array(np.asarray([3, 0, 1], np.uint8)))
    assert_close(to_numpy(narrow), to_numpy(wide), rtol=1e-12)


def test_wrong_indices_under_jit_are_nan() -> None:
    """Labels cannot be read while tracing: a wrong one must not pass for a good one."""
    jax = pytest.importorskip("jax")
    scores = jax.numpy.zeros((2, 3))
    loss = jax.jit(lambda labels: F.cross_entropy(scores, labels))
    assert abs(float(loss(jax.numpy.asarray([0, 2]))) - np.log(3)) < 1e-6
    assert np.isnan(float(loss(jax.numpy.asarray([0, 3]))))
    assert abs(float(loss(jax.numpy.asarray([0, -100]))) - np.log(3)) < 1e-6
    rows = jax.jit(lambda indices: F.embedding(indices, jax.numpy.ones((2, 1))))
    assert np.isnan(np.asarray(rows(jax.numpy.asarray([0, 2, -1])))).ravel().tolist() == [False, True, True]


@pytest.mark.parametrize("wrong", [3.0, [1.0, 2.0], "x", None])
@pytest.mark.parametrize(
    ("function", "more"),
    [
        (F.relu, ()),
        (F.softmax, (0,)),
        (F.conv2d, (np.ones((1, 1, 1, 1)),)),
        (F.max_pool2d, (2,)),
        (F.linear, (np.ones((1, 2)),)),
        (F.mse_loss, (np.ones(2),)),
        (F.cross_entropy, (np.asarray([0]),)),
        (F.layer_norm, ((2,),)),
        (F.batch_norm, (np.zeros(2), np.ones(2))),
        (F.dropout, ()),
    ],
)
def test_what_is_no_array_is_named(function, more, wrong: object) -> None:
    with pytest.raises(DTypeError, match=r"array|does not take"):
        function(wrong, *more)
    for others in [(np.ones((2, 2)), wrong)] if function in (F.mse_loss, F.cross_entropy) else []:
        with pytest.raises(DTypeError, match="target as an array or a Tensor"):
            function(*others)


def test_a_group_of_true_is_refused_whatever_passed_before() -> None:
    """What passed the checks is kept by its values, and True is equal to 1."""
    x = np.ones((1, 1, 2, 2))
    F.conv2d(x, x, groups=1)
    for wrong in (True, 1.0):
        with pytest.raises(ArgumentError, match="groups of at least 1"):
            F.conv2d(x, x, groups=wrong)


def test_jit_of_everything() -> None:
    """The functions trace: no value is read, no shape depends on one."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def step(x, w, labels):
        x = F.batch_norm(x, None, None, training=True)
        x = F.layer_norm(F.gelu(F.linear(x, w)), 3)
        x = F.dropout(x, p=0.0) + F.embedding(labels, w.T @ w)[:, :3]
        return F.cross_entropy(x, labels) + F.binary_cross_entropy(F.sigmoid(x), x * 0)

    x, w, labels = jnp.ones((2, 3)) * jnp.arange(2.0)[:, None], jnp.eye(3), jnp.asarray([0, 2])
    assert_close(np.asarray(jax.jit(step)(x, w, labels)), np.asarray(step(x, w, labels)), rtol=1e-5)


def test_softmax_of_another_type(backend: Target) -> None:
    """Integers are cast first."""
    scores = backend.array(np.asarray([1, 2, 3]))
    for function in (F.softmax, F.log_softmax):
        expected = function(np.asarray([1.0, 2.0, 3.0]), 0)
        assert_close(to_numpy(function(scores, 0, dtype="float64")), expected, rtol=1e-12)


def test_prelu_with_a_single_number_of_a_slope(backend: Target) -> None:
    y = F.prelu(backend.array(np.asarray([[-2.0, 3.0]])), backend.array(np.asarray(0.5)))
    assert to_numpy(y).tolist() == [[-1.0, 3.0]]
    assert F.prelu(backend.array(np.asarray(-2.0)), backend.array(np.asarray([0.5]))).shape == ()


def test_distributions_are_refused_that_are_none(backend: Target) -> None:
    scores = backend.array(np.zeros((2, 3)))
    if cheap_to_read(scores):
        with pytest.raises(ArgumentError, match="one-hot labels of 0 and 1, got 2"):
            F.cross_entropy(scores, backend.array(np.asarray([[0, 2, 0], [1, 0, 0]])))
    with pytest.raises(ArgumentError, match="class numbers as the target for ignore_index=0"):
        F.cross_entropy(scores, backend.array(np.full((2, 3), 1 / 3)), ignore_index=0)


@pytest.mark.parametrize("eps", [-1.0, float("nan"), "1"])
def test_eps_of_norms(eps: object) -> None:
    x = np.ones((2, 4, 3))
    for call in (
        lambda: F.batch_norm(x, None, None, training=True, eps=eps),
        lambda: F.group_norm(x, 2, eps=eps),
        lambda: F.instance_norm(x, eps=eps),
        lambda: F.layer_norm(x, 3, eps=eps),
        lambda: F.rms_norm(x, 3, eps=eps),
    ):
        with pytest.raises(ArgumentError, match="eps"):
            call()
    with pytest.raises(ArgumentError, match="eps above 0"):
        F.batch_norm(x, None, None, training=True, eps=0)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh"])
def test_cutting_off_whole_numbers(name: str, backend: Target) -> None:
    """Integers come out as integers, as in PyTorch."""
    y = getattr(F, name)(backend.array(np.asarray([-3, 0, 2, 9])))
    assert backend.numpy(y).dtype == np.int64
    assert backend.numpy(y).tolist() == {"relu": [0, 0, 2, 9], "relu6": [0, 0, 2, 6]}.get(name, [-1, 0, 1, 1])


def test_weights_of_a_padded_matrix_of_bags(backend: Target) -> None:
    """Places of `padding_idx` are left out of the bags, with their weights."""
    table, places = np.asarray([[1.0], [10.0], [np.nan]]), np.asarray([[0, 2], [1, 0]])
    weights = np.asarray([[2.0, np.nan], [3.0, 4.0]])
    table, places, weights = backend.array(table), backend.array(places), backend.array(weights)
    y = F.embedding_bag(places, table, mode="sum", per_sample_weights=weights, padding_idx=2)
    assert backend.numpy(y).tolist() == [[2.0], [34.0]]
