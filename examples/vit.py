"""A vision transformer reads digits: 16 patches of 2 x 2 pixels and a token that gathers what they say.

Attention does not know where a patch comes from; each place has a vector of its own for that. Without these
vectors an image is a bag of patches. The network finds by itself which places are neighbours.

    python vit.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import functional as F
from xpnn import optim, viz
from xpnn.data import DataLoader, Digits
from xpnn.data.transforms import RandomCrop
from xpnn.models import small_vit


def train(model, digits, held_out, epochs: int) -> list[float]:
    """The part of the held-out digits that is read rightly, after each epoch."""
    optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    loader = DataLoader(digits, batch_size=64, shuffle=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * len(loader))
    images, labels = xpnn.as_tensor(held_out.data), xpnn.as_tensor(held_out.targets)
    right = []
    for _ in range(epochs):
        model.train()
        for batch, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(batch), targets).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with xpnn.no_grad():
            right.append((model(images).argmax(1) == labels).float().mean().item())
    return right


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    digits, held_out = Digits(transform=RandomCrop(8, padding=1)), Digits(train=False)
    epochs = 2 if options.fast else 60
    curves = {}
    for name in ("without places", "with places"):
        model = small_vit(10, 1, 8, patch_size=2, num_layers=3, hidden_dim=64, mlp_dim=128)
        if name == "without places":
            model.encoder.pos_embedding.requires_grad_(False).zero_()
        curves[name] = train(model, digits, held_out, epochs)
        print(f"{name}: {curves[name][-1]:.1%} of held-out digits are right")

    places = F.normalize(model.encoder.pos_embedding[0, 1:].detach(), dim=1)
    alike = (places @ places.mT).reshape(4, 4, 4, 4)
    near = [alike[i, j, k, m].item() for i, j, k, m in quadruples() if abs(i - k) + abs(j - m) == 1]
    far = [alike[i, j, k, m].item() for i, j, k, m in quadruples() if abs(i - k) + abs(j - m) > 2]
    found = {name: values[-1] for name, values in curves.items()}
    found |= {"likeness of neighbours": sum(near) / len(near), "of others": sum(far) / len(far)}
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    images = xpnn.as_tensor(held_out.data)
    with xpnn.no_grad():
        said = model(images).argmax(1).tolist()
    wrong = [i for i, (a, b) in enumerate(zip(said, held_out.targets.tolist())) if a != b][:4]
    shown = [*wrong, *range(16 - len(wrong))]
    titles = [f"{int(held_out.targets[i])}, read {said[i]}" for i in shown]
    save(
        options.out / "vit.png",
        plot_lines(
            {name: ([*range(1, epochs + 1)], values) for name, values in curves.items()},
            "epoch",
            "right",
            "Held-out digits",
        ),
        viz.plot_images(
            F.interpolate(alike.reshape(16, 1, 4, 4), scale_factor=8), columns=4, title="How alike places are"
        ),
        viz.plot_images(images[shown], titles=titles, columns=4, title="Held-out digits"),
        width=1200,
        colours=64,
    )
    return found


def quadruples():
    return [(i, j, k, m) for i in range(4) for j in range(4) for k in range(4) for m in range(4)]


if __name__ == "__main__":
    main()
