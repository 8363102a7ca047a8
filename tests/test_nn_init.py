"""Initial weights: their distribution, their bits on every backend, and PyTorch's bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, ShapeError
from xpnn.nn import init

SCHEMES = {
    "uniform": lambda t: init.uniform_(t, -1.0, 2.0),
    "normal": lambda t: init.normal_(t, 1.0, 2.0),
    "trunc_normal": lambda t: init.trunc_normal_(t, std=2.0, a=-1.0, b=3.0),
    "xavier_uniform": init.xavier_uniform_,
    "xavier_normal": init.xavier_normal_,
    "kaiming_uniform": lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)),
    "kaiming_normal": lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
    "orthogonal": lambda t: init.orthogonal_(t, gain=2.0),
    "constant": lambda t: init.constant_(t, 0.1),
    "eye": lambda t: init.eye_(t.reshape(6, 8)),
    "dirac": lambda t: init.dirac_(t, groups=2),
    "sparse": lambda t: init.sparse_(t.reshape(6, 8), sparsity=0.4),
}


def blank(*shape: int) -> Tensor:
    return Tensor(xpnn.asarray(np.zeros(shape, dtype="float32")))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_bits_on_every_backend(backend: Any, scheme: str) -> None:
    xpnn.manual_seed(3)
    drawn = SCHEMES[scheme](blank(6, 2, 4))
    with xpnn.use_backend("numpy"):
        xpnn.manual_seed(3)
        expected = SCHEMES[scheme](blank(6, 2, 4)).numpy()
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(backend.numpy(drawn), expected)


def test_a_net_starts_from_the_same_bits(backend: Any) -> None:
    def build() -> nn.Module:
        xpnn.manual_seed(1)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 2), nn.Embedding(3, 2))

    made = {name: backend.numpy(tensor) for name, tensor in build().state_dict().items()}
    with xpnn.use_backend("numpy"):
        expected = build().state_dict()
    for name, value in made.items():
        np.testing.assert_array_equal(value, expected[name].numpy())


def test_a_generator_of_ones_own() -> None:
    """Draws the same numbers whatever was drawn before; PyTorch's private names of fans are there."""
    shapes = {"orthogonal_": (4, 3), "sparse_": (4, 3)}
    for name in ("uniform_", "normal_", "trunc_normal_", "orthogonal_", "sparse_", *FANS):
        drawn = []
        for seed in (5, 5, 6):
            options = {"sparsity": 0.5} if name == "sparse_" else {}
            generator = xpnn.Generator().manual_seed(seed)
            drawn.append(
                getattr(init, name)(blank(*shapes.get(name, (3, 2))), **options, generator=generator)
            )
            xpnn.rand(1)
        np.testing.assert_array_equal(drawn[0].numpy(), drawn[1].numpy())
        assert (drawn[0] != drawn[2]).any(), name
    weight = nn.Conv2d(3, 4, 5).weight
    assert init._calculate_fan_in_and_fan_out(weight) == (75, 100)
    assert init._calculate_correct_fan(weight, "FAN_OUT") == 100


FANS = ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")


def test_float64_gets_the_numbers_of_float32() -> None:
    xpnn.manual_seed(0)
    single = nn.Linear(3, 2).weight.detach().numpy()
    xpnn.manual_seed(0)
    double = nn.Linear(3, 2, dtype="float64").weight.detach().numpy()
    assert double.dtype == np.float64
    np.testing.assert_array_equal(single, double)


@pytest.mark.parametrize(
    ("scheme", "torch_name", "options"),
    [
        (init.uniform_, "uniform_", {"a": -1.0, "b": 3.0}),
        (init.normal_, "normal_", {"mean": 1.0, "std": 0.5}),
        (init.trunc_normal_, "trunc_normal_", {"std": 2.0, "a": -1.0, "b": 3.0}),
        (init.xavier_uniform_, "xavier_uniform_", {"gain": 2.0}),
        (init.xavier_normal_, "xavier_normal_", {}),
        (init.kaiming_uniform_, "kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
        (init.kaiming_normal_, "kaiming_normal_", {"nonlinearity": "relu"}),
    ],
)
def test_distributions_are_those_of_torch(scheme: Any, torch_name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    mine = scheme(blank(150, 20, 3, 3), **options).numpy()
    theirs = getattr(torch.nn.init, torch_name)(torch.empty(150, 20, 3, 3), **options).numpy()
    assert abs(mine.mean() - theirs.mean()) < 0.03 * theirs.std()
    assert mine.std() == pytest.approx(theirs.std(), rel=0.02)
    if "normal" not in torch_name or "trunc" in torch_name:
        assert mine.min() == pytest.approx(theirs.min(), rel=0.01)
        assert mine.max() == pytest.approx(theirs.max(), rel=0.01)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(blank(*shape), gain=3.0).numpy().reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 9.0 * np.eye(len(product)), atol=1e-5)


@pytest.mark.parametrize(("shape", "groups"), [((6, 2, 3), 2), ((4, 4, 3, 5), 1), ((4, 2, 2, 3, 1), 1)])
def test_dirac_is_that_of_torch(shape: tuple[int, ...], groups: int) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(blank(*shape), groups).numpy(), theirs)


def test_sparse() -> None:
    w = init.sparse_(blank(30, 40), sparsity=0.25, std=2.0).numpy()
    assert ((w == 0).sum(axis=0) == 8).all()
    assert w[w != 0].std() == pytest.approx(2.0, rel=0.1)
    assert len({tuple(column) for column in (w == 0).T}) > 1


def test_old_names_are_deprecated() -> None:
    torch = pytest.importorskip("torch")
    old = [name for name in vars(torch.nn.init) if f"{name}_" in vars(torch.nn.init)]
    assert "xavier_uniform" in old
    assert not [name for name in old if name not in vars(init)]
    weight = nn.Parameter(blank(2, 3))
    with pytest.warns(FutureWarning, match=r"constant is deprecated in favour of nn.init.constant_"):
        assert init.constant(weight.data, 3.0).tolist() == [[3.0] * 3] * 2
    assert weight.tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(0, 5), lambda: nn.Linear(5, 0), lambda: nn.Conv2d(0, 3, 3)]
)
def test_layers_without_elements_warn_as_in_torch(make: Any) -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        layer = make()
    if layer.bias.shape[0]:
        assert (layer.bias.detach().numpy() == 0).all()
    for scheme in (init.xavier_uniform_, init.xavier_normal_, init.orthogonal_):
        assert scheme(blank(0, 3)).shape == (0, 3)
        assert scheme(blank(3, 0)).shape == (3, 0)
        assert scheme(blank(0, 0)).shape == (0, 0)


def test_gains_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv1d", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Linear", {"in_features": 30, "out_features": 200}),
        ("Conv2d", {"in_channels": 8, "out_channels": 40, "kernel_size": (3, 2), "groups": 2}),
        ("ConvTranspose2d", {"in_channels": 8, "out_channels": 40, "kernel_size": (3, 2), "groups": 2}),
    ],
)
def test_defaults_have_the_bounds_of_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    for p, p_torch in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert abs(p.detach().numpy()).max() == pytest.approx(p_torch.abs().max().item(), rel=0.1)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"kaiming_uniform_ expects a weight of two axes or more"):
        init.kaiming_uniform_(blank(3))
    with pytest.raises(ArgumentError, match="expects mode 'fan_in' or 'fan_out'"):
        init.kaiming_normal_(blank(3, 3), mode="fan")
    with pytest.raises(ArgumentError, match="calculate_gain expects one of 'linear'"):
        init.calculate_gain("mish")
    with pytest.raises(ArgumentError, match=r"holds next to nothing of N\(9.0, 1.0\^2\)"):
        init.trunc_normal_(blank(3), mean=9.0)
    with pytest.raises(ShapeError, match="eye_ expects a matrix"):
        init.eye_(blank(3))
    with pytest.raises(ShapeError, match="dirac_ expects a kernel of 3, 4 or 5 axes"):
        init.dirac_(blank(3, 3))
    with pytest.raises(ArgumentError, match="groups that divide the 4 outputs, got groups=3"):
        init.dirac_(blank(4, 2, 3), groups=3)
    with pytest.raises(ShapeError, match="sparse_ expects a matrix"):
        init.sparse_(blank(3), 0.5)
    with pytest.raises(ArgumentError, match="sparsity between 0 and 1"):
        init.sparse_(blank(3, 3), 2.0)
    with pytest.raises(ShapeError, match="orthogonal_ expects two axes"):
        init.orthogonal_(blank(3))
