"""Segmentation: a U-Net says for each pixel whether it belongs to a disc, a square, a triangle or the ground.

The way down sees more and more of the image, the way up brings that to each pixel, and the maps of each size
are passed across, so that edges stay sharp. Measured by the mean over the classes of intersection over union.

    python unet.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import optim, viz
from xpnn.data import DataLoader, TensorDataset
from xpnn.data.synthetic import SHAPES, shapes
from xpnn.models import UNet


def pictures(count: int, seed: int) -> TensorDataset:
    """Images (N, 3, 32, 32) and the class of each pixel (N, 32, 32)."""
    images, masks, _, labels = shapes(count, size=32, noise=0.1, seed=seed).tensors
    return TensorDataset(images, (masks.long() * labels[:, :, None, None]).sum(1))


def class_ious(said, true) -> list[float]:
    """The cells that are of a class in both maps, as a part of those that are in either."""
    pairs = [(said == kind, true == kind) for kind in range(len(SHAPES))]
    return [((a & b).sum() / (a | b).sum()).item() for a, b in pairs]


def coloured(maps):
    """Maps of classes (N, H, W) to images: black, and a colour for each shape."""
    return F.one_hot(maps, len(SHAPES)).permute(0, 3, 1, 2)[:, 1:].float()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    training = pictures(256 if options.fast else 2000, seed=1)
    images, true = pictures(50 if options.fast else 300, seed=2).tensors
    model = UNet(3, len(SHAPES), channels=8, depth=3)
    loader = DataLoader(training, batch_size=32, shuffle=True)
    epochs = 2 if options.fast else 4
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * len(loader))
    ious = []
    for epoch in range(1, epochs + 1):
        model.train()
        for batch, maps in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), maps)
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with xpnn.no_grad():
            said = model(images).argmax(1)
        ious.append(class_ious(said, true))
        print(f"epoch {epoch}: loss {loss.item():.4f}, mean IoU {sum(ious[-1]) / len(SHAPES):.3f}")

    found = dict(zip(SHAPES, ious[-1])) | {"mean IoU": sum(ious[-1]) / len(SHAPES)}
    found["right pixels"] = (said == true).float().mean().item()
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    rows = xpnn.cat([images[:8], coloured(true[:8]), coloured(said[:8])])
    titles = ["image"] * 8 + ["true"] * 8 + ["said"] * 8
    numbers = [*range(1, epochs + 1)]
    save(
        options.out / "unet.png",
        viz.plot_images(rows, titles=titles, title="Disc red, square green, triangle blue"),
        plot_lines(
            {name: (numbers, [row[kind] for row in ious]) for kind, name in enumerate(SHAPES)},
            "epoch",
            "intersection over union",
            "Held-out images",
        ),
        width=1300,
        colours=64,
    )
    return found


if __name__ == "__main__":
    main()
