"""The workloads, each written once: `nn` and `F` are xpnn's or PyTorch's, and the code is a user's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

BATCHES = 4  # different ones, taken in turn


@dataclass(frozen=True)
class Workload:
    """A network, the shape of one example, and how it is used.

    Attributes:
        model: `model(nn, F)` makes the network.
        optimizer: (class, options); None is inference: eval mode, and nothing recorded.
        batch_axis: where the examples of a batch lie.
        targets: bounds on step and memory, as shares of PyTorch's: numpy, numba, memory.
    """

    title: str
    model: Callable[[Any, Any], Any]
    shape: tuple[int, ...]
    batch: int
    optimizer: tuple[str, dict[str, float]] | None
    batch_axis: int = 0
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def images(self) -> bool:
        """Whether the inputs are images, which may lie in memory with their channels last."""
        return len(self.shape) == 3


def mlp(nn: Any, F: Any, *sizes: int) -> Any:
    layers: list[Any] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def lenet(nn: Any, F: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet(
    nn: Any, F: Any, counts: tuple[int, ...], width: int, classes: int, bottleneck: bool, small: bool
) -> Any:
    """A residual network with torchvision's names; `small` is the one for images of 32 x 32.

    See: He, Zhang, Ren & Sun (2016), "Deep residual learning for image recognition".
    """

    def conv(inside: int, outside: int, size: int, stride: int = 1) -> Any:
        return nn.Conv2d(inside, outside, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        expansion = 1

        def __init__(self, inside: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = conv(inside, channels, 3, stride)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = conv(channels, channels, 3)
            self.bn2 = nn.BatchNorm2d(channels)
            self.downsample = shortcut(inside, channels, stride)

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return F.relu(y + self.downsample(x))

    class Bottleneck(nn.Module):
        expansion = 4

        def __init__(self, inside: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = conv(inside, channels, 1)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = conv(channels, channels, 3, stride)
            self.bn2 = nn.BatchNorm2d(channels)
            self.conv3 = conv(channels, 4 * channels, 1)
            self.bn3 = nn.BatchNorm2d(4 * channels)
            self.downsample = shortcut(inside, 4 * channels, stride)

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            y = F.relu(self.bn2(self.conv2(y)))
            y = self.bn3(self.conv3(y))
            return F.relu(y + self.downsample(x))

    def shortcut(inside: int, outside: int, stride: int) -> Any:
        if stride == 1 and inside == outside:
            return nn.Identity()
        return nn.Sequential(conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = conv(3, width, 3) if small else conv(3, width, 7, 2)
            self.bn1 = nn.BatchNorm2d(width)
            self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
            kind = Bottleneck if bottleneck else Block
            inside = width
            for i, count in enumerate(counts):
                blocks = []
                for j in range(count):
                    blocks.append(kind(inside, width << i, 2 if i and not j else 1))
                    inside = (width << i) * kind.expansion
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(inside, classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
            for i in range(len(counts)):
                x = getattr(self, f"layer{i + 1}")(x)
            return self.fc(self.flatten(self.avgpool(x)))

    return ResNet()


def transformer(nn: Any, F: Any) -> Any:
    def layer() -> Any:
        return nn.TransformerEncoderLayer(
            128, 4, 512, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*[layer() for _ in range(4)])
            self.norm = nn.LayerNorm(128)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.layers(x)).mean(1))

    return Transformer()


def lstm(nn: Any, F: Any) -> Any:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(128, 128)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            y, _ = self.lstm(x)
            return self.head(y[-1])

    return Recurrent()


ADAM = ("Adam", {"lr": 1e-3})
# A rate at which rounding does not drive the first losses of a ResNet apart, so that they can be compared.
MOMENTUM = ("SGD", {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4})

resnet20 = partial(resnet, counts=(3, 3, 3), width=16, classes=10, bottleneck=False, small=True)
resnet18 = partial(resnet, counts=(2, 2, 2, 2), width=64, classes=10, bottleneck=False, small=False)
resnet50 = partial(resnet, counts=(3, 4, 6, 3), width=64, classes=1000, bottleneck=True, small=False)


def _mlp(*sizes: int) -> Callable[[Any, Any], Any]:
    return lambda nn, F: mlp(nn, F, *sizes)


def _targets(numpy: float, numba: float, memory: float | None = None) -> dict[str, float]:
    targets = {"numpy": numpy, "numba": numba}
    return targets if memory is None else {**targets, "memory": memory}


WORKLOADS = {
    "mlp": Workload(
        "MLP 784-512-512-10, batch 128", _mlp(784, 512, 512, 10), (784,), 128, ADAM,
        targets=_targets(0.8, 0.8, 0.3),
    ),
    "mlp8": Workload(
        "MLP 784-128-10, batch 8", _mlp(784, 128, 10), (784,), 8, ("SGD", {"lr": 0.01}),
        targets=_targets(0.5, 0.5),
    ),
    "lenet": Workload(
        "LeNet 28x28, batch 128", lenet, (1, 28, 28), 128, ADAM, targets=_targets(0.7, 0.9, 0.35)
    ),
    "resnet20": Workload(
        "ResNet-20 32x32, batch 128", resnet20, (3, 32, 32), 128, MOMENTUM,
        targets=_targets(0.9, 1.0, 0.7),
    ),
    "resnet18": Workload(
        "ResNet-18 64x64, batch 32", resnet18, (3, 64, 64), 32, MOMENTUM, targets=_targets(0.8, 0.8, 0.8)
    ),
    "transformer": Workload(
        "Transformer d128 h4 L4 T128, batch 16", transformer, (128, 128), 16, ADAM,
        targets=_targets(0.9, 0.9, 0.6),
    ),
    "lstm": Workload(
        "LSTM 128-128 T64, batch 32", lstm, (64, 128), 32, ADAM, batch_axis=1,
        targets=_targets(1.2, 1.0, 0.4),
    ),
    "resnet50-1": Workload("ResNet-50 224x224 inference, batch 1", resnet50, (3, 224, 224), 1, None),
    "resnet50-8": Workload("ResNet-50 224x224 inference, batch 8", resnet50, (3, 224, 224), 8, None),
}  # fmt: skip


def data(workload: Workload) -> tuple[Any, Any]:
    """Batches of inputs and labels, the same for all: arrays of shape (BATCHES, ...) and (BATCHES, batch)."""
    import numpy as np

    rng = np.random.default_rng(0)
    shape = list(workload.shape)
    shape.insert(workload.batch_axis, workload.batch)
    inputs = rng.standard_normal((BATCHES, *shape), dtype=np.float32)
    return inputs, rng.integers(0, 10, (BATCHES, workload.batch))


def initial_values(name: str, shape: tuple[int, ...]) -> Any:
    """He's initialisation for weights; ones and zeros for normalisation layers and biases.

    They depend on the parameter's name alone, so that whoever names it so starts from the same numbers.
    """
    import numpy as np

    if len(shape) == 1:
        return np.full(shape, 0.0 if "bias" in name else 1.0, dtype=np.float32)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    fan_in = int(np.prod(shape[1:]))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)
