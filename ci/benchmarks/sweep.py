"""Small networks at many sizes, between and beyond those of the workloads.

A sweep is one network, in training or inference, of which one size varies. Sizes go up, so that the largest
resident size of the process that serves them one after the other is that of the newest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.workloads import MOMENTUM, Workload, mlp

SGD = ("SGD", {"lr": 0.01})
FEATURES = 64  # of a recurrent network


@dataclass(frozen=True)
class Sweep:
    """A network, what of it varies, and a workload for each size."""

    title: str
    sizes: dict[int, Workload]


def sweep(title: str, sizes: Sequence[int], make: Callable[[int], Workload]) -> Sweep:
    return Sweep(title, {size: replace(make(size), title=f"{title} {size}") for size in sizes})


# Networks


def perceptron(width: int, nn: Any, F: Any) -> Any:
    return mlp(nn, F, 784, width, width, 10)


def tiny_layers(depth: int, nn: Any, F: Any) -> Any:
    return mlp(nn, F, *[32] * (depth + 1))


def cnn(channels: int, nn: Any, F: Any) -> Any:
    """Convolutions with batch norm, as most networks for images have them."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(2 * channels), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * channels, 10),
    )  # fmt: skip


def plain_cnn(channels: int, nn: Any, F: Any) -> Any:
    """Convolutions with biases, relu and pooling, as in LeNet; for images of 32 x 32."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2 * channels * 64, 10),
    )  # fmt: skip


def cnn_nd(axes: int, channels: int, nn: Any, F: Any) -> Any:
    """Convolutions of three cells along each axis, of sequences or volumes of 8 channels."""
    conv = getattr(nn, f"Conv{axes}d")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                conv(8, channels, 3, padding=1), nn.ReLU(),
                conv(channels, channels, 3, padding=1), nn.ReLU(),
                conv(channels, 2 * channels, 3, stride=2, padding=1), nn.ReLU(),
            )  # fmt: skip
            self.head = nn.Linear(2 * channels, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x).reshape(x.shape[0], 2 * channels, -1).mean(-1))

    return Net()


def transformer_layer(width: int, heads: int, nn: Any, F: Any) -> Any:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return pooled(nn, layer, width)


def attention(width: int, heads: int, nn: Any, F: Any) -> Any:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x, need_weights=False)[0]

    return pooled(nn, SelfAttention(), width)


def pooled(nn: Any, body: Any, width: int) -> Any:
    """Classes from the mean over a sequence (N, T, width)."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.head = nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x).mean(1))

    return Pooled()


def recurrent(kind: str, width: int, nn: Any, F: Any) -> Any:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = getattr(nn, kind)(FEATURES, width)
            self.head = nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            y, _ = self.layer(x)
            return self.head(y[-1])

    return Recurrent()


# Workloads


def mlp_of(width: int = 256, batch: int = 64, train: bool = True) -> Workload:
    return Workload("", partial(perceptron, width), (784,), batch, SGD if train else None)


def cnn_of(
    channels: int = 16, image: int = 32, batch: int = 8, train: bool = True, plain: bool = False
) -> Workload:
    network = partial(plain_cnn if plain else cnn, channels)
    return Workload("", network, (3, image, image), batch, MOMENTUM if train else None)


def cnn_nd_of(axes: int, size: int, channels: int, batch: int, train: bool = True) -> Workload:
    network = partial(cnn_nd, axes, channels)
    return Workload("", network, (8, *(size,) * axes), batch, SGD if train else None)


def transformer_of(
    length: int = 64,
    batch: int = 4,
    heads: int = 4,
    width: int = 128,
    train: bool = True,
    network: Callable[..., Any] = transformer_layer,
) -> Workload:
    return Workload("", partial(network, width, heads), (length, width), batch, SGD if train else None)


def recurrent_of(
    kind: str, length: int = 32, width: int = 64, batch: int = 16, train: bool = True
) -> Workload:
    network = partial(recurrent, kind, width)
    return Workload("", network, (length, FEATURES), batch, SGD if train else None, batch_axis=1)


def recurrent_sweeps(name: str, kind: str) -> dict[str, Sweep]:
    of = partial(recurrent_of, kind)
    return {
        f"{name}-length": sweep(f"{kind} 64-64 batch 16, length", (4, 16, 64, 256), lambda n: of(length=n)),
        f"{name}-width": sweep(f"{kind} length 32, width", (16, 128, 256, 512), lambda n: of(width=n)),
        f"{name}-batch": sweep(f"{kind} 64-64 length 32, batch", (1, 4, 64, 256), lambda n: of(batch=n)),
        f"{name}-inference": sweep(
            f"{kind} 64-64 length 32, inference, batch", (1, 16, 128), lambda n: of(batch=n, train=False)
        ),
    }


SWEEPS = {
    "mlp-batch": sweep(
        "MLP 784-256-256-10, batch", (1, 8, 32, 64, 128, 512, 2048), lambda n: mlp_of(batch=n)
    ),
    "mlp-width": sweep("MLP batch 64, width", (32, 128, 512, 1024, 2048), lambda n: mlp_of(width=n)),
    "mlp-inference": sweep(
        "MLP inference, batch", (1, 8, 64, 512, 2048), lambda n: mlp_of(batch=n, train=False)
    ),
    "tiny-depth": sweep(
        "layers of 32, batch 8, depth", (2, 10, 50, 250),
        lambda n: Workload("", partial(tiny_layers, n), (32,), 8, SGD),
    ),
    "cnn-batch": sweep("CNN of 16 channels, 32x32, batch", (1, 4, 32, 256), lambda n: cnn_of(batch=n)),
    "cnn-image": sweep("CNN of 16, batch 8, image", (8, 16, 32, 64, 128), lambda n: cnn_of(image=n)),
    "cnn-channels": sweep(
        "CNN 32x32, batch 16, channels", (4, 8, 16, 24, 32, 64, 128),
        lambda n: cnn_of(channels=n, batch=16),
    ),
    "cnn-inference": sweep(
        "CNN inference, batch", (1, 8, 64, 256), lambda n: cnn_of(batch=n, train=False)
    ),
    "plain-batch": sweep(
        "CNN of 8 without norm, batch", (1, 8, 64, 512), lambda n: cnn_of(8, batch=n, plain=True)
    ),
    "plain-inference": sweep(
        "CNN of 8 without norm, inference, batch", (1, 8, 64, 512),
        lambda n: cnn_of(8, batch=n, train=False, plain=True),
    ),
    "conv1d-length": sweep(
        "Conv1d of 32, batch 8, length", (64, 256, 1024), lambda n: cnn_nd_of(1, n, 32, 8)
    ),
    "conv1d-channels": sweep(
        "Conv1d, length 256, batch 8, channels", (16, 32, 64), lambda n: cnn_nd_of(1, 256, n, 8)
    ),
    "conv1d-inference": sweep(
        "Conv1d of 32, length 256, inference, batch", (1, 8, 64),
        lambda n: cnn_nd_of(1, 256, 32, n, train=False),
    ),
    "conv3d-size": sweep("Conv3d of 16, batch 2, size", (8, 16, 24), lambda n: cnn_nd_of(3, n, 16, 2)),
    "conv3d-channels": sweep(
        "Conv3d, 16x16x16, batch 2, channels", (8, 16, 32), lambda n: cnn_nd_of(3, 16, n, 2)
    ),
    "transformer-length": sweep(
        "transformer layer of 128, batch 4, length", (16, 64, 128, 256, 1024),
        lambda n: transformer_of(length=n),
    ),
    "transformer-heads": sweep(
        "transformer layer, length 128, head size 128 / heads", (1, 2, 8, 16),
        lambda n: transformer_of(length=128, heads=n),
    ),
    "transformer-width": sweep(
        "transformer layer, 4 heads, width", (32, 64, 256, 512), lambda n: transformer_of(width=n)
    ),
    "transformer-batch": sweep(
        "transformer layer, length 64, batch", (1, 16, 64), lambda n: transformer_of(batch=n)
    ),
    "transformer-inference": sweep(
        "transformer layer, batch 1, inference, length", (16, 64, 256, 1024),
        lambda n: transformer_of(length=n, batch=1, train=False),
    ),
    "attention-length": sweep(
        "attention of 128, 4 heads, batch 1, length", (128, 512, 2048, 4096),
        lambda n: transformer_of(length=n, batch=1, network=attention),
    ),
    **recurrent_sweeps("lstm", "LSTM"),
    **recurrent_sweeps("gru", "GRU"),
    **recurrent_sweeps("rnn", "RNN"),
}  # fmt: skip

SIZES = {f"{name}/{n}": made for name, swept in SWEEPS.items() for n, made in swept.sizes.items()}


def chosen(words: Iterable[str]) -> list[str]:
    """The names among SIZES that a user means by words like lstm, lstm-length or lstm-length/64.

    Raises: LookupError for a word that means none.
    """
    found: dict[str, None] = {}
    for word in words:
        meant = [name for name in SIZES if name == word or name.startswith((f"{word}-", f"{word}/"))]
        if not meant:
            raise LookupError(word)
        found |= dict.fromkeys(meant)
    return list(found)
