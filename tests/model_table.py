"""Writes the table of networks into examples/README.md: their parameters, and who published the number.

    python tests/model_table.py

`test_models.py` counts the parameters of each, and compares the table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from xpnn import models

GALLERY = Path(__file__).parent.parent / "examples" / "README.md"
BEGIN, END = "<!-- networks: begin -->\n", "<!-- networks: end -->\n"


class Row(NamedTuple):
    """Parameters as counted and as published, where that was, and what makes a network without a name."""

    count: int
    published: str
    source: str
    make: Callable[[], Any] | None = None


def _torchvision(count: int) -> Row:
    return Row(count, f"{count:,}", "torchvision, `num_params` of its weights")


def _resnet(count: int, published: str) -> Row:
    return Row(count, published, "He et al. (2016), table 6")


def _by_hand(count: int, make: Callable[[], Any] | None = None) -> Row:
    return Row(count, "none", "counted by hand", make)


def _conv(inputs: int, outputs: int, side: int, bias: bool = True) -> int:
    return inputs * outputs * side**2 + bias * outputs


def _linear(inputs: int, outputs: int) -> int:
    return _conv(inputs, outputs, 1)


def _block(inputs: int, outputs: int) -> int:
    """A residual block of two convolutions, with a third one beside them, each with its norm."""
    sides = ((inputs, 3), (outputs, 3), (inputs, 1))
    return sum(_conv(count, outputs, side, bias=False) + 2 * outputs for count, side in sides)


def _recurrent(inputs: int, hidden: int, gates: int) -> int:
    return gates * hidden * (inputs + hidden + 2)


def _transformer(width: int, layers: int) -> int:
    """Layers of attention and a part four times as wide, each with its norm, and a norm at the end."""
    each = 4 * _linear(width, width) + _linear(width, 4 * width) + _linear(4 * width, width) + 4 * width
    return layers * each + 2 * width


# VGG-16's convolutions with biases, of which FCN and SegNet are made, and SegNet's weights of norms.
_VGG, _NORMS = 14_714_688, 2 * (4224 + 3712)
# The two layers of 1 x 1 at the end of PixelCNN and PixelRNN.
_PIXEL_LEVELS = _linear(64, 32) + _linear(32, 2)

ROWS = {
    "lenet": Row(61_706, "60,000", "LeCun et al. (1998), section II B, whose maps are joined in part only"),
    "mlp": _by_hand(784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10),
    "alexnet": _torchvision(61_100_840),
    "alexnet_two_columns": Row(60_965_224, "60 million", "Krizhevsky et al. (2012), abstract"),
    "zfnet": _by_hand(62_357_608),
    "vgg11": _torchvision(132_863_336),
    "vgg13": _torchvision(133_047_848),
    "vgg16": _torchvision(138_357_544),
    "vgg19": _torchvision(143_667_240),
    "vgg11_bn": _torchvision(132_868_840),
    "vgg13_bn": _torchvision(133_053_736),
    "vgg16_bn": _torchvision(138_365_992),
    "vgg19_bn": _torchvision(143_678_248),
    "small_vgg": _by_hand(14_728_266),
    "googlenet": Row(
        13_004_888,
        "6,624,904",
        "torchvision, without the auxiliary classifiers, which are 6,379,984 more",
    ),
    "resnet18": _torchvision(11_689_512),
    "resnet34": _torchvision(21_797_672),
    "resnet50": _torchvision(25_557_032),
    "resnet101": _torchvision(44_549_160),
    "resnet152": _torchvision(60_192_808),
    "resnet20": _resnet(269_722, "0.27 million"),
    "resnet32": _resnet(464_154, "0.46 million"),
    "resnet44": _resnet(658_586, "0.66 million"),
    "resnet56": _resnet(853_018, "0.85 million"),
    "resnet110": _resnet(1_727_962, "1.7 million"),
    "densenet121": _torchvision(7_978_856),
    "small_densenet": Row(769_162, "0.8 million", "Huang et al. (2017), table 2: L = 100, k = 12, BC"),
    "mobilenet_v2": _torchvision(3_504_872),
    "small_mobilenet_v2": _by_hand(2_236_682),
    "shufflenet_v2_x0_5": _torchvision(1_366_792),
    "shufflenet_v2_x1_0": _torchvision(2_278_604),
    "efficientnet_b0": _torchvision(5_288_548),
    "convnext_tiny": _torchvision(28_589_128),
    "vit_b_16": _torchvision(86_567_656),
    "small_vit": _by_hand(1_205_898),
    "UNet": Row(
        31_030_658,
        "none",
        "Ronneberger et al. (2015), added up by hand from figure 1",
        lambda: models.UNet(1, 2, batch_norm=False),
    ),
    "SegNet": Row(
        2 * (_VGG - 4224) - 3 * 64 * 9 + _NORMS + 64 * 12 * 9 + 12,
        "29.4 million",
        "twice the 14.7 million of its encoder, Badrinarayanan et al. (2017), section 3",
        lambda: models.SegNet(12),
    ),
    "FCN": Row(
        _VGG + 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 21 + 21 + 21 * 513 + 21 * 257,
        "134 million",
        "Long et al. (2015), table 1, for the stride of 32",
        models.FCN,
    ),
    "Detector": _by_hand(
        sum(
            (
                *(_conv(3, 16, 3, bias=False) + 2 * 16, _block(16, 32), _block(32, 64)),
                *(_linear(32, 32), _linear(64, 32), 5 * _conv(32, 32, 3), _conv(32, 3, 3), _conv(32, 4, 3)),
                *(_conv(32, 32, 2), _linear(32, 1)),
            )
        ),
        lambda: models.Detector(3),
    ),
    "GPT": Row(124_439_808, "124 million", "OpenAI's release of the smallest GPT-2", models.GPT),
    "MaskedAutoencoder": _by_hand(
        sum(
            (
                *(_linear(48, 128), 64 * 128, _transformer(128, 6)),
                *(_linear(128, 64), 64, 64 * 64, _transformer(64, 2), _linear(64, 48)),
            )
        ),
        models.MaskedAutoencoder,
    ),
    "Seq2Seq": _by_hand(
        sum(
            (
                *(30 * 64, 2 * _recurrent(64, 32, 3), _linear(64, 64), _recurrent(128, 64, 3)),
                *(64 * 64 + _linear(64, 64) + 64, _linear(128, 30)),
            )
        ),
        lambda: models.Seq2Seq(30),
    ),
    "SequenceClassifier": _by_hand(
        100 * 64 + _recurrent(64, 64, 4) + _linear(64, 8),
        lambda: models.SequenceClassifier(100, 8, 64, "lstm"),
    ),
    "Tagger": _by_hand(
        100 * 64 + _recurrent(64, 64, 3) + _linear(64, 8), lambda: models.Tagger(100, 8, 64, "gru")
    ),
    "StripRecogniser": _by_hand(
        _conv(1, 16, 3, bias=False)
        + 32
        + _conv(16, 32, 3, bias=False)
        + 64
        + 2 * _recurrent(32 * 5, 64, 4)
        + _linear(128, 11),
        lambda: models.StripRecogniser(20, 11),
    ),
    "VAE": _by_hand(
        _linear(784, 400) + _linear(400, 32) + _linear(16, 400) + _linear(400, 784),
        lambda: models.VAE((1, 28, 28), 16, 400),
    ),
    "Generator": _by_hand(
        (100 * 128 + 128 * 64 + 64 * 32 + 32) * 16 + 2 * (128 + 64 + 32) + 1, models.Generator
    ),
    "Discriminator": _by_hand(
        (32 + 32 * 64 + 64 * 128 + 128) * 16 + 32 + 2 * (64 + 128) + 1, models.Discriminator
    ),
    "MADE": _by_hand(_linear(784, 500) + _linear(500, 784), lambda: models.MADE(784)),
    "NADE": _by_hand(2 * 784 * 500 + 784 + 500, lambda: models.NADE(784)),
    "PixelCNN": _by_hand(
        _conv(1, 64, 7) + 5 * (_linear(64, 32) + _conv(32, 32, 3) + _linear(32, 64)) + _PIXEL_LEVELS,
        models.PixelCNN,
    ),
    "PixelRNN": _by_hand(
        _conv(1, 64, 7) + 2 * (64 * 128 * 3 + 128 + 32 * 128 * 3 + _linear(32, 64)) + _PIXEL_LEVELS,
        models.PixelRNN,
    ),
    "RBM": _by_hand(784 * 500 + 784 + 500, lambda: models.RBM(784, 500)),
    "GSN": _by_hand(_linear(784, 500) + _linear(500, 784), lambda: models.GSN(784)),
    "SkipGram": _by_hand(2 * 1000 * 100, lambda: models.SkipGram([1.0] * 1000)),
}
TORCHVISION = tuple(name for name, row in ROWS.items() if "torchvision" in row.source)


def make(name: str) -> Any:
    """The network of a row, as it is by default."""
    return (ROWS[name].make or (lambda: models.create(name)))()


def table() -> str:
    lines = ["| network | parameters | published | where |", "|---|---:|---:|---|"]
    for name, row in ROWS.items():
        lines.append(f"| `{name}` | {row.count:,} | {row.published} | {row.source} |")
    return "\n".join(lines) + "\n"


def parts() -> tuple[str, str, str]:
    """What the gallery has before the table, the table, and what is behind it."""
    before, begin, rest = GALLERY.read_text().partition(BEGIN)
    found, end, after = rest.partition(END)
    return before + begin, found, end + after


if __name__ == "__main__":
    first, _, last = parts()
    GALLERY.write_text(first + table() + last)
