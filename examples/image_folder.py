"""A folder of images, one folder inside for each class: read, augmented, and classified with and without.

The digits are drawn upright for training; those of the test lean and are moved. Augmentation shows the
network such changes; it belongs on the training images alone. `xpnn train FOLDER` reads such a folder too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import parse, plot_lines, save

import xpnn
from xpnn import metrics, nn, optim, viz
from xpnn.data import DataLoader, ImageFolder
from xpnn.data.synthetic import stroke_digits
from xpnn.data.transforms import Compose, RandomAffine, Resize, ToFloat
from xpnn.nn import functional as F
from xpnn.train import Trainer

PLAIN = Compose([Resize((20, 20)), ToFloat()])
SHAKE = RandomAffine(20, translate=(0.15, 0.15), scale=(0.8, 1.2), shear=20, interpolation="bilinear")
SHAKEN = Compose([Resize((20, 20)), SHAKE, ToFloat()])
MOVE = RandomAffine(0, translate=(0.15, 0.15))


def write_images(folder: Path, count: int, slant: float, seed: int) -> None:
    """PNG files of digits in folder/0 ... folder/9, those that lean moved as well."""
    for number, (image, label) in enumerate(stroke_digits(count, slant=slant, seed=seed)):
        place = folder / f"{int(label)}"
        place.mkdir(parents=True, exist_ok=True)
        viz.save_image(MOVE(image) if slant else image, place / f"{number:04d}.png")


def network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 10),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    count, epochs = (200, 12) if options.fast else (300, 40)
    found, curves = {}, {}
    with tempfile.TemporaryDirectory() as name:
        train_folder, test_folder = Path(name) / "train", Path(name) / "test"
        write_images(train_folder, count, 0.0, 1)
        write_images(test_folder, 2 * count, 0.6, 2)
        test_set = ImageFolder(test_folder, PLAIN, mode="L")
        for name, transform in (("as they are", PLAIN), ("augmented", SHAKEN)):
            xpnn.manual_seed(0)
            model = network()
            loader = DataLoader(ImageFolder(train_folder, transform, mode="L"), 25, shuffle=True)
            trainer = Trainer(
                model, optim.Adam(model.parameters(), lr=2e-3), F.cross_entropy,
                metrics={"accuracy": metrics.accuracy}, progress=False,
            )  # fmt: skip
            history = trainer.fit(loader, DataLoader(test_set, 200), epochs=epochs)
            found[name] = history["val_accuracy"][-1]
            print(f"{name}: {history['accuracy'][-1]:.1%} of training, {found[name]:.1%} of test images")
            curves[f"training, {name}"] = (range(1, epochs + 1), history["accuracy"])
            curves[f"test, {name}"] = (range(1, epochs + 1), history["val_accuracy"])
        images, labels = next(iter(loader))
    save(
        options.out / "image_folder.png",
        plot_lines(curves, "epoch", "accuracy", "Digits from a folder", ylim=(0, 1.02)),
        viz.plot_images(
            images[:20], titles=[str(k) for k in labels[:20].tolist()], columns=5, title="Augmented"
        ),
    )
    return found


if __name__ == "__main__":
    main()
