"""Style transfer: one picture is painted with the texture of another.

A small network learns to tell textures apart. How often its features occur together, their Gram matrices,
says what a texture is, and not where; what a deep layer sees at each place is the content. The pixels of a
picture are changed until it has the Gram matrices of one image and the content of another.

    python style_transfer.py
"""

from __future__ import annotations

import math

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import nn, optim, viz
from xpnn.data.synthetic import shapes

KINDS = ("stripes", "checks", "waves", "rings")


def textures(kinds, size: int):
    """Images (N, 3, size, size) of the kinds (N,), of two colours each, turned and scaled at random."""
    count = len(kinds)
    turn, scale = 2 * math.pi * xpnn.rand(count, 1, 1), 0.5 + 0.5 * xpnn.rand(count, 1, 1)
    y, x = xpnn.meshgrid(xpnn.arange(size) * 1.0, xpnn.arange(size) * 1.0, indexing="ij")
    u, v = (x * turn.cos() + y * turn.sin()) * scale, (y * turn.cos() - x * turn.sin()) * scale
    radius = ((x - size / 2) ** 2 + (y - size / 2) ** 2).sqrt() * scale
    waves = [u.sin(), u.sin() * v.sin(), (u + 2 * (0.5 * v).sin()).sin(), radius.sin()]
    share = 0.5 + 0.5 * sum((kinds == i)[:, None, None] * wave for i, wave in enumerate(waves))
    first = xpnn.rand(count, 3, 1, 1)
    return first + ((first + 0.5) % 1 - first) * share[:, None]  # two colours that are far apart


class Reader(nn.Module):
    """Convolutions whose maps are kept, and a linear layer that names the texture."""

    def __init__(self, widths: tuple[int, ...] = (16, 16, 32, 32)) -> None:
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in zip((3, *widths), widths)])
        self.head = nn.Linear(widths[-1], len(KINDS))
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def maps(self, images) -> list:
        found, x = [], images - 0.5
        for number, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            found.append(x)
            x = F.avg_pool2d(x, 2) if number % 2 else x
        return found

    def forward(self, images):
        return self.head(self.maps(images)[-1].mean((2, 3)))


def train(model: Reader, steps: int) -> float:
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    rights = []
    for _ in range(steps):
        kinds = xpnn.randint(0, len(KINDS), (32,))
        scores = model(textures(kinds, 32))
        optimizer.zero_grad()
        F.cross_entropy(scores, kinds).backward()
        optimizer.step()
        rights.append((scores.argmax(1) == kinds).float().mean().item())
    return sum(rights[-10:]) / 10


def grams(maps: list) -> list:
    """For each layer the mean product of each two of its features, (N, C, C)."""
    return [x.flatten(2) @ x.flatten(2).mT / (x.shape[2] * x.shape[3]) for x in maps]


def distance(a, b):
    """The squared distance, relative to b."""
    return ((a - b) ** 2).sum() / (b**2).sum()


def paint(model: Reader, contents, styles, steps: int) -> tuple:
    """The painted images, and the distances from style and content at each step."""
    with xpnn.no_grad():
        wanted, there = grams(model.maps(styles)), model.maps(contents)[-1]
    images = nn.Parameter(contents.clone())
    optimizer = optim.Adam([images], lr=0.03)
    curves = {"style": [], "content": []}
    for _ in range(steps):
        optimizer.zero_grad()
        maps = model.maps(images)
        style, content = sum(map(distance, grams(maps), wanted)), distance(maps[-1], there)
        (style + 0.03 * content).backward()
        optimizer.step()
        with xpnn.no_grad():
            images.clamp_(0, 1)
        curves["style"].append(style.item())
        curves["content"].append(content.item())
    return images.detach(), curves


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    model = Reader()
    found = {"textures read": train(model, 40 if options.fast else 500)}
    size = 32 if options.fast else 64
    contents, styles = shapes(4, size, 3, 0.0, seed=4).tensors[0], textures(xpnn.arange(4), size)
    painted, curves = paint(model, contents, styles, 20 if options.fast else 300)
    style, content = curves.values()
    found |= {"first style": style[0], "style": style[-1], "content": content[-1]}
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    titles = ["content"] * 4 + [*KINDS] + ["painted"] * 4
    sheet = viz.plot_images(xpnn.cat([contents, styles, painted]), titles=titles, columns=4)
    lines = {name: (range(len(values)), values) for name, values in curves.items()}
    lines = plot_lines(lines, "step", "distance, relative", "Style and content", "y")
    save(options.out / "style_transfer.png", sheet, lines, width=1000)
    return found


if __name__ == "__main__":
    main()
