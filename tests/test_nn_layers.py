"""Every layer and loss against the one of the same name in PyTorch, with the same arguments and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.autograd import Tensor

# name, arguments, shape of the input
LAYERS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Linear", {"in_features": 5, "out_features": 3}, (2, 4, 5)),
    ("Linear", {"in_features": 5, "out_features": 3, "bias": False}, (2, 5)),
    ("Identity", {}, (2, 5)),
    ("ReLU", {}, (3, 4)),
    ("ReLU", {"inplace": True}, (3, 4)),
    ("LeakyReLU", {"negative_slope": 0.2}, (3, 4)),
    ("PReLU", {}, (3, 4)),
    ("PReLU", {"num_parameters": 4}, (3, 4, 2)),
    ("ELU", {"alpha": 0.7}, (3, 4)),
    ("CELU", {"alpha": 0.5}, (3, 4)),
    ("SELU", {}, (3, 4)),
    ("GELU", {}, (3, 4)),
    ("GELU", {"approximate": "tanh"}, (3, 4)),
    ("SiLU", {}, (3, 4)),
    ("Hardtanh", {"min_val": -0.5, "max_val": 0.7}, (3, 4)),
    ("ReLU6", {"inplace": True}, (3, 4)),
    ("Hardswish", {}, (3, 4)),
    ("Softplus", {}, (3, 4)),
    ("Softplus", {"beta": 2.0, "threshold": 1.0}, (3, 4)),
    ("Sigmoid", {}, (3, 4)),
    ("LogSigmoid", {}, (3, 4)),
    ("Tanh", {}, (3, 4)),
    ("Softmax", {"dim": 1}, (3, 4)),
    ("LogSoftmax", {"dim": -1}, (3, 4)),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3}, (2, 4, 7, 6)),
    (
        "Conv2d",
        {
            "in_channels": 4,
            "out_channels": 6,
            "kernel_size": (3, 2),
            "stride": (2, 1),
            "padding": 1,
            "dilation": (1, 2),
            "groups": 2,
            "bias": False,
        },
        (2, 4, 7, 6),
    ),
    ("Conv2d", {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": "same"}, (2, 2, 5, 6)),
    ("ConvTranspose2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3}, (2, 4, 3, 4)),
    (
        "ConvTranspose2d",
        {
            "in_channels": 4,
            "out_channels": 6,
            "kernel_size": (3, 2),
            "stride": 2,
            "padding": (1, 0),
            "output_padding": 1,
            "groups": 2,
            "bias": False,
            "dilation": 2,
        },
        (2, 4, 3, 4),
    ),
    ("MaxPool2d", {"kernel_size": 2}, (2, 3, 5, 6)),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 5, 6)),
    ("AvgPool2d", {"kernel_size": (2, 3), "stride": 1}, (2, 3, 5, 6)),
    ("AvgPool2d", {"kernel_size": 3, "padding": 1, "count_include_pad": False}, (2, 3, 5, 6)),
    ("AdaptiveAvgPool2d", {"output_size": 1}, (2, 3, 5, 6)),
    ("AdaptiveAvgPool2d", {"output_size": (2, 3)}, (2, 3, 5, 6)),
    ("AdaptiveMaxPool2d", {"output_size": 2}, (2, 3, 5, 6)),
    ("BatchNorm1d", {"num_features": 3}, (4, 3)),
    ("BatchNorm1d", {"num_features": 3, "affine": False}, (4, 3, 5)),
    ("BatchNorm2d", {"num_features": 3, "momentum": 0.3, "eps": 1e-3}, (2, 3, 4, 4)),
    ("BatchNorm2d", {"num_features": 3, "momentum": None}, (2, 3, 4, 4)),
    ("BatchNorm2d", {"num_features": 3, "track_running_stats": False}, (2, 3, 4, 4)),
    ("BatchNorm3d", {"num_features": 2}, (2, 2, 3, 2, 2)),
    ("LayerNorm", {"normalized_shape": 4}, (2, 3, 4)),
    ("LayerNorm", {"normalized_shape": (3, 4), "bias": False}, (2, 3, 4)),
    ("LayerNorm", {"normalized_shape": [4], "elementwise_affine": False, "eps": 1e-3}, (2, 3, 4)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (3, 4, 2, 3)),
    ("GroupNorm", {"num_groups": 1, "num_channels": 4, "affine": False, "eps": 1e-3}, (3, 4)),
    ("InstanceNorm1d", {"num_features": 3}, (2, 3, 4)),
    ("InstanceNorm2d", {"num_features": 3, "affine": True, "track_running_stats": True}, (2, 3, 4, 2)),
    ("InstanceNorm2d", {"num_features": 3, "momentum": 0.3, "track_running_stats": True}, (3, 4, 2)),
    ("InstanceNorm3d", {"num_features": 2, "eps": 1e-3}, (2, 2, 3, 2, 2)),
    ("RMSNorm", {"normalized_shape": 4}, (2, 3, 4)),
    ("RMSNorm", {"normalized_shape": (3, 4), "eps": 1e-3, "elementwise_affine": False}, (2, 3, 4)),
    ("Dropout", {"p": 0.0}, (2, 3)),
    ("Flatten", {}, (2, 3, 4)),
    ("Flatten", {"start_dim": 0, "end_dim": 1}, (2, 3, 4)),
    ("Unflatten", {"dim": 1, "unflattened_size": (2, 3)}, (2, 6)),
]
LOSSES: list[tuple[str, dict[str, Any], str]] = [
    *[
        (name, {"reduction": r}, "regression")
        for name in ("MSELoss", "L1Loss")
        for r in ("mean", "sum", "none")
    ],
    ("HuberLoss", {"delta": 0.5}, "regression"),
    ("SmoothL1Loss", {"beta": 0.5}, "regression"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, "labels"),
    ("CrossEntropyLoss", {"ignore_index": 1, "reduction": "sum"}, "labels"),
    ("NLLLoss", {}, "labels"),
    ("BCEWithLogitsLoss", {}, "probabilities"),
    ("BCELoss", {}, "probabilities of probabilities"),
    ("KLDivLoss", {"reduction": "batchmean"}, "probabilities"),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(LAYERS)]


def text(module: Any) -> str:
    """The repr, without the argument `bias` of normalisations that some versions of PyTorch print."""
    return repr(module).replace(", bias=True)", ")").replace("affine=True, bias=True,", "affine=True,")


def pair(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The module of that name in xpnn and in PyTorch, in float64, with PyTorch's weights."""
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(**options).double()
    mine = getattr(nn, name)(**options).double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return mine, theirs


@pytest.mark.parametrize(("name", "options", "shape"), LAYERS, ids=IDS)
def test_layer_is_that_of_torch(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = pair(name, options)
    rng = np.random.default_rng(0)
    for mode in (True, True, False):  # twice, so that running statistics have a past
        mine.train(mode), theirs.train(mode)
        values = rng.standard_normal(shape) + 0.1
        x, x_torch = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        y, y_torch = mine(x), theirs(x_torch.clone())
        np.testing.assert_allclose(y.detach().numpy(), y_torch.detach().numpy(), rtol=1e-9, atol=1e-11)
        above = rng.standard_normal(y.shape)
        y.backward(Tensor(above)), y_torch.backward(torch.tensor(above))
        np.testing.assert_allclose(x.grad.numpy(), x_torch.grad.numpy(), rtol=1e-9, atol=1e-11)
        for p, p_torch in zip(mine.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), p_torch.grad.numpy(), rtol=1e-9, atol=1e-11)
        for b, b_torch in zip(mine.buffers(), theirs.buffers(), strict=True):
            np.testing.assert_allclose(b.numpy(), b_torch.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "options", "shape"), LAYERS, ids=IDS)
def test_repr_is_that_of_torch(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    mine, theirs = pair(name, options)
    expected = text(theirs)
    if "Norm" in name:
        expected = expected.replace(", bias=False", "")
        assert text(mine).replace(", bias=False", "") == expected
    else:
        assert repr(mine) == repr(theirs)


@pytest.mark.parametrize(("name", "options", "shape"), LAYERS, ids=IDS)
def test_float32_stays_float32(backend: Any, name: str, options: dict[str, Any], shape: tuple) -> None:
    layer = getattr(nn, name)(**options)
    x = Tensor(backend.array(np.random.default_rng(0).standard_normal(shape).astype("float32")), True)
    y = layer(x)
    y.sum().backward()
    float32 = backend.array(np.float32(0)).dtype
    assert y.dtype == x.grad.dtype == float32
    assert all(p.grad.dtype == float32 and p.dtype == float32 for p in layer.parameters())
    assert all(b.dtype == float32 for name, b in layer.named_buffers() if "num_batches" not in name)


@pytest.mark.parametrize(("name", "options", "target"), LOSSES)
def test_loss_is_that_of_torch(name: str, options: dict[str, Any], target: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 3))
    if target.endswith("of probabilities"):
        values = rng.random((6, 3))
    targets: Any = {"regression": rng.standard_normal((6, 3)), "labels": rng.integers(0, 3, 6)}.get(
        target, rng.random((6, 3))
    )
    x, x_torch = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    mine, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(mine) == repr(theirs)
    loss, loss_torch = mine(x, targets), theirs(x_torch, torch.tensor(targets))
    np.testing.assert_allclose(loss.detach().numpy(), loss_torch.detach().numpy(), rtol=1e-9)
    loss.sum().backward(), loss_torch.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x_torch.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_loss_weights_are_buffers() -> None:
    torch = pytest.importorskip("torch")
    weight = np.asarray([1.0, 2.0, 0.5])
    scores, labels = np.random.default_rng(0).standard_normal((5, 3)), np.asarray([0, 2, 1, 1, 0])
    for name in ("CrossEntropyLoss", "NLLLoss"):
        mine, theirs = getattr(nn, name)(weight), getattr(torch.nn, name)(torch.tensor(weight))
        assert list(mine.state_dict()) == list(theirs.state_dict()) == ["weight"]
        expected = theirs(torch.tensor(scores), torch.tensor(labels)).item()
        assert mine(Tensor(scores), labels).item() == pytest.approx(expected)
    mine = nn.BCEWithLogitsLoss(pos_weight=weight)
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))
    expected = theirs(torch.tensor(scores), torch.tensor(scores > 0).double()).item()
    assert mine(Tensor(scores), (scores > 0) * 1.0).item() == pytest.approx(expected)


def test_embedding_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    options = {"num_embeddings": 5, "embedding_dim": 3, "padding_idx": -1}
    mine, theirs = pair("Embedding", options)
    assert repr(mine) == repr(theirs)
    indices = np.asarray([[0, 4], [2, 0]])
    y, y_torch = mine(indices), theirs(torch.tensor(indices))
    y.sum().backward(), y_torch.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), y_torch.detach().numpy())
    np.testing.assert_allclose(mine.weight.grad.numpy(), theirs.weight.grad.numpy())
    assert nn.Embedding(5, 3, padding_idx=1).weight[1].tolist() == [0.0, 0.0, 0.0]


def test_dropout_drops_in_training_only() -> None:
    x = xpnn.xp.ones((50, 40))
    layer = nn.Dropout(0.25)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.05
    assert layer.eval()(x) is x
    channels = nn.Dropout2d(0.5)(xpnn.xp.ones((8, 8, 3, 3))).numpy()
    assert np.all(channels.min(axis=(2, 3)) == channels.max(axis=(2, 3)))


def test_max_pool_returns_indices() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4))
    _, indices = nn.MaxPool2d(2, return_indices=True)(Tensor(x))
    _, expected = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(indices.numpy(), expected.numpy())


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
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx among 3 rows"),
        (lambda: nn.MSELoss("average"), "MSELoss expects reduction"),
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
