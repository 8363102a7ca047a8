"""The networks: parameter counts and names known from the literature and torchvision, and their summaries."""

from __future__ import annotations

from typing import Any

import model_table
import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, random

LARGE = ("vgg", "alexnet", "zfnet", "FCN", "GPT")  # to draw their weights takes seconds
# Entries of torchvision's checkpoints, by hand.
TORCHVISION = {
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "bn1.num_batches_tracked": (),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.1.bn2.bias": (64,),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_mean": (128,),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
        "fc.weight": (1000, 512),
        "fc.bias": (1000,),
    },
    "resnet50": {
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer1.0.bn3.weight": (256,),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.2.conv1.weight": (64, 256, 1, 1),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "fc.weight": (1000, 2048),
    },
}
ENTRIES = {"resnet18": 122, "resnet50": 320}  # of the state dict


def size_of(net: nn.Module) -> int:
    return sum(p.size for p in net.parameters())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith(LARGE) else name
        for name in model_table.ROWS
    ],
)
def test_parameter_counts(name: str) -> None:
    assert size_of(model_table.make(name)) == model_table.ROWS[name].count


def test_the_gallery_has_the_counts() -> None:
    """`python tests/model_table.py` writes it; every network with a name is in it."""
    assert set(models.names()) <= set(model_table.ROWS)
    _, found, _ = model_table.parts()
    assert found == model_table.table()


@pytest.mark.parametrize(
    "name", [name for name, row in model_table.ROWS.items() if "million" in row.published]
)
def test_counts_round_to_what_was_published(name: str) -> None:
    row = model_table.ROWS[name]
    published = row.published.removesuffix(" million")
    _, _, digits = published.partition(".")
    assert row.count / 1e6 == pytest.approx(float(published), abs=10.0 ** -len(digits))


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_and_shapes_are_those_of_torchvision(name: str) -> None:
    state = models.create(name).state_dict()
    assert len(state) == ENTRIES[name]
    for entry, shape in TORCHVISION[name].items():
        assert state[entry].shape == shape
    assert list(state)[:6] == [
        *("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"),
        "bn1.num_batches_tracked",
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_layer_by_layer_against_torch(name: str) -> None:
    """The same network, spelled with PyTorch's layers, on the same weights."""
    torch = pytest.importorskip("torch")
    net = models.create(name, num_classes=5, in_channels=2).double()
    rng = np.random.default_rng(0)
    state = {}
    for key, value in net.state_dict().items():  # running statistics that are not 0 and 1
        noise = rng.random(value.shape) + 0.5 if value.shape else 0
        state[key] = torch.tensor(value.numpy() + (0.1 * noise if "weight" not in key else 0))
    net.load_state_dict({key: value.numpy() for key, value in state.items()})

    def norm(x: Any, path: str) -> Any:
        names = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *[state[f"{path}.{n}"] for n in names])

    def block(x: Any, path: str, stride: int) -> Any:
        y, last = x, 3 if f"{path}.conv3.weight" in state else 2
        for i in range(1, last + 1):
            weight = state[f"{path}.conv{i}.weight"]
            step = stride if i == last - 1 else 1
            y = torch.conv2d(y, weight, stride=step, padding=weight.shape[-1] // 2)
            y = norm(y, f"{path}.bn{i}")
            y = y.relu() if i < last else y
        if f"{path}.downsample.0.weight" in state:
            x = torch.conv2d(x, state[f"{path}.downsample.0.weight"], stride=stride)
            x = norm(x, f"{path}.downsample.1")
        return (x + y).relu()

    image = rng.standard_normal((2, 2, 40, 33))
    x = torch.conv2d(torch.tensor(image), state["conv1.weight"], stride=2, padding=3)
    x = torch.max_pool2d(norm(x, "bn1").relu(), 3, 2, 1)
    for stage in range(1, 5):
        for i in range(len(net.get_submodule(f"layer{stage}"))):
            x = block(x, f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1)
    expected = x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    np.testing.assert_allclose(net.eval()(image).detach().numpy(), expected.numpy(), rtol=1e-8)


def test_small_resnet_against_its_formula() -> None:
    net = models.SmallResNet(8, in_channels=1).double().eval()
    shortcut = net.layer2[0].downsample
    x = np.random.default_rng(0).standard_normal((2, 16, 6, 6))
    y = shortcut(Tensor(x)).numpy()
    np.testing.assert_array_equal(y[:, :16], x[:, :, ::2, ::2])
    assert np.all(y[:, 16:] == 0)
    assert size_of(models.SmallResNet(20, shortcut="projection")) == 272_474
    with pytest.raises(ArgumentError, match="expects depth 6 n"):
        models.SmallResNet(21)
    with pytest.raises(ArgumentError, match="expects shortcut 'padding' or 'projection'"):
        models.resnet20(shortcut="A")


def test_zero_init_residual_starts_as_the_identity() -> None:
    net = models.resnet20(zero_init_residual=True)
    x = abs(np.random.default_rng(0).standard_normal((2, 16, 4, 4)).astype("float32"))
    np.testing.assert_array_equal(net.layer1(x).detach().numpy(), x)
    assert models.resnet50(num_classes=2, zero_init_residual=True).layer4[2].bn3.weight.array.max() == 0


def test_weights_are_drawn_by_fan_out() -> None:
    weight = models.resnet20().layer3[1].conv1.weight.detach().numpy()
    assert weight.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.02)


def test_every_small_network_trains_a_step(backend: Any) -> None:
    nets = {
        "lenet": {"num_classes": 3, "image_size": 16},
        "mlp": {"num_classes": 3, "image_size": 8, "hidden": [6]},
    }
    for name, options in nets.items():
        net = models.create(name, **options)
        side = options["image_size"]
        images = backend.array(np.random.default_rng(0).standard_normal((2, 1, side, side)).astype("float32"))
        F.cross_entropy(net(images), backend.array(np.asarray([0, 2]))).backward()
        assert all(p.grad.shape == p.shape for p in net.parameters())
        assert {str(p.grad.dtype) for p in net.parameters()} == {str(p.dtype) for p in net.parameters()}


def test_sizes_of_images() -> None:
    for side in (16, 20, 28, 32, 40):
        assert models.lenet(image_size=side)(xpnn.xp.ones((1, 1, side, side))).shape == (1, 10)
    small = models.create("lenet", image_size=8, num_classes=4, in_channels=2)
    assert small(xpnn.xp.ones((1, 2, 8, 8))).shape == (1, 4)
    with pytest.raises(ArgumentError, match="LeNet expects image_size of at least 16"):
        models.LeNet(image_size=8)
    assert models.create("resnet20", image_size=99)(xpnn.xp.ones((2, 3, 8, 8))).shape == (2, 10)
    assert models.input_shape("resnet20") == (3, 32, 32)


def test_unknown_models_and_options() -> None:
    with pytest.raises(ArgumentError, match=r"no model 'resnet19'. Did you mean 'resnet1\d"):
        models.create("resnet19")
    with pytest.raises(ArgumentError, match=r"'mlp' takes no option 'width'. Its options are: num_classes"):
        models.create("mlp", width=3)


# --- summary ---


def test_summary_of_resnet18() -> None:
    table = nn.summary(models.resnet18(), (1, 3, 64, 64))
    assert table.parameters == table.trainable == 11_689_512
    rows = {row.path: row for row in table.rows}
    assert rows["conv1"].output_shape == (1, 64, 32, 32)
    assert rows["conv1"].multiplications == 64 * 32 * 32 * 3 * 7 * 7
    assert rows["layer4.1.conv2"].parameters == 512 * 512 * 9
    assert rows["fc"].multiplications == 512_000
    assert sum(row.parameters for row in table.rows) == table.parameters
    assert "Parameters: 11,689,512 (11,689,512 trainable, 0 frozen)" in str(table)


def test_summary_knows_the_work_of_resnet50() -> None:
    """4.09 G multiply-adds at 224 x 224, as torchvision's documentation has it; a 49th at 32 x 32."""
    net = models.resnet50()
    convolutions = nn.summary(net, (1, 3, 32, 32)).multiplications - 2048 * 1000
    assert 49 * convolutions + 2048 * 1000 == pytest.approx(4.09e9, rel=0.002)


def test_summary_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.ConvTranspose2d(2, 1, 2))
    net[0].requires_grad_(False)
    net[1].eval()
    before = {name: value.numpy() for name, value in net.state_dict().items()}
    stream, host = random.default_stream().counter, random.host_generator().bit_generator.state
    table = nn.summary(net, xpnn.xp.ones((2, 1, 5, 5)))
    assert (table.parameters, table.trainable) == (20 + 4 + 9, 4 + 9)
    assert table.rows[4].multiplications == 2 * 2 * 3 * 3 * 1 * 2 * 2
    assert [module.training for module in net.modules()] == [True, True, False, True, True]
    assert (random.default_stream().counter, random.host_generator().bit_generator.state) == (stream, host)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    calls = []
    net.register_forward_hook(lambda *args: calls.append(1))
    net(xpnn.xp.ones((2, 1, 5, 5)))
    assert len(calls) == 1


def test_summary_where_the_model_is(backend: Any) -> None:
    shared = nn.Linear(3, 3)
    table = nn.summary(nn.Sequential(shared, nn.ReLU(), shared), (2, 3))
    assert (table.parameters, table.multiplications) == (12, 2 * 2 * 9)
    assert nn.summary(nn.ReLU(), (2, 3)).parameters == 0
    with pytest.raises(ArgumentError, match="summary expects an input or its shape, got 'image'"):
        nn.summary(shared, "image")
