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


def _by_hand(count: int) -> Row:
    return Row(count, "none", "counted by hand")


# VGG-16's convolutions with biases, of which FCN and SegNet are made, and SegNet's weights of norms.
_VGG, _NORMS = 14_714_688, 2 * (4224 + 3712)

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
    "GPT": Row(124_439_808, "124 million", "OpenAI's release of the smallest GPT-2", models.GPT),
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
