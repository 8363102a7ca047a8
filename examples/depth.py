"""Depth with and without shortcuts: residual nets against plain ones, and nets with a block taken out.

Both nets have the same layers and the same weights at the start; the plain one lacks the sums.
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import nn, optim
from xpnn.data import DataLoader, Digits
from xpnn.models import BasicBlock, SmallResNet
from xpnn.nn import functional as F


class PlainBlock(BasicBlock):
    """The two convolutions of a residual block, without its shortcut."""

    def forward(self, input):
        x = self.relu(self.bn1(self.conv1(input)))
        return self.relu(self.bn2(self.conv2(x)))


def network(depth: int, residual: bool) -> SmallResNet:
    xpnn.manual_seed(0)
    model = SmallResNet(depth, in_channels=1)
    if not residual:
        for _, block in blocks(model):
            block.__class__ = PlainBlock
    return model


def blocks(model: SmallResNet) -> list[tuple[str, BasicBlock]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, BasicBlock)]


def train(model: nn.Module, data: Digits, epochs: int) -> list[float]:
    """The mean loss of each epoch."""
    loader = DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * len(loader))
    losses = []
    for _ in range(epochs):
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


def accuracy(model: nn.Module, data: Digits) -> float:
    model.eval()
    images, labels = xpnn.tensor(data.data), xpnn.tensor(data.targets)
    with xpnn.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


def without_each_block(model: SmallResNet, data: Digits) -> list[float]:
    """The accuracy without one block, for each that keeps the shape of its input."""
    found = []
    for name, block in blocks(model):
        if block.downsample is None:
            stage, _, number = name.rpartition(".")
            getattr(model, stage)[int(number)] = nn.Identity()
            found.append(accuracy(model, data))
            getattr(model, stage)[int(number)] = block
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    depths, epochs = ((8, 20), 5) if options.fast else ((8, 20, 44), 12)
    train_set, test_set = Digits(train=True), Digits(train=False)
    found, losses, removed = {}, {}, {}
    for depth in depths:
        for kind in ("residual", "plain"):
            model = network(depth, kind == "residual")
            name = f"{kind}, {depth} layers"
            losses[name] = (range(1, epochs + 1), curve := train(model, train_set, epochs))
            found[name], found[f"{name}, loss"] = accuracy(model, test_set), curve[-1]
            print(f"{name}: loss {curve[-1]:.4f}, {found[name]:.1%} of the test digits right")
            if (
                found[name] > 0.9 and depth > depths[0]
            ):  # of a net that has learnt nothing there is nothing lost
                without = without_each_block(model, test_set)
                places = [(i + 0.5) / len(without) for i in range(len(without))]
                removed[name] = (places, without)
                found[f"{name}, a block less"] = mean = sum(without) / len(without)
                print(f"  without one of {len(without)} blocks: {mean:.1%} in the mean")
    save(
        options.out / "depth.png",
        plot_lines(losses, "epoch", "training loss", "Losses by depth", log="y"),
        plot_lines(
            removed,
            "place of the block that is taken out",
            "test accuracy",
            "One block less",
            xlim=(0, 1),
            ylim=(0, 1.02),
        ),
    )
    return found


if __name__ == "__main__":
    main()
