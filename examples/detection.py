"""Detection: a network puts a box around each disc, square and triangle, and colours their cells.

It looks once: at each place of two maps it scores anchors, boxes of a fixed size, and says how the edges of a
thing differ from theirs. Of boxes that overlap much the one with the highest score stays. A small head draws
the mask in each box. Measured by the mean average precision.

    python detection.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

from xpnn import optim, viz
from xpnn.data import DataLoader
from xpnn.data.synthetic import SHAPES, shapes
from xpnn.metrics import MeanAveragePrecision, mean_average_precision
from xpnn.models import Detector

SIZE = 48


def true_things(masks, boxes, labels) -> list[dict]:
    """For each image what is there, without the rows of padding."""
    rows = [label > 0 for label in labels]
    return [
        {"boxes": box[there], "labels": label[there], "masks": mask[there]}
        for mask, box, label, there in zip(masks, boxes, labels, rows)
    ]


def drawn(image, found, title: str):
    names = [SHAPES[int(label)] for label in found["labels"]]
    scores = found.get("scores")
    return viz.plot_detections(image, None, found["boxes"], names, scores, found["masks"], title)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    training = shapes(160 if options.fast else 1000, SIZE, noise=0.1, seed=1)
    images, *truth = shapes(20 if options.fast else 200, SIZE, noise=0.1, seed=2).tensors
    true = true_things(*truth)
    model = Detector(len(SHAPES) - 1, sides=((13,), (20,)))
    loader = DataLoader(training, batch_size=16 if options.fast else 32, shuffle=True)
    epochs = 3 if options.fast else 8
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * len(loader))
    losses, precisions = [], {"mAP at IoU 0.5": [], "mAP at IoU 0.75": []}
    for epoch in range(1, epochs + 1):
        model.train()
        for batch, masks, boxes, labels in loader:
            optimizer.zero_grad()
            parts = model.loss(batch, boxes, labels, masks)
            loss = sum(parts)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        found = model.detect(images)
        for values, threshold in zip(precisions.values(), (0.5, 0.75)):
            values.append(mean_average_precision(found, true, threshold).item())
        print(f"epoch {epoch}: loss {losses[-1]:.3f}, mAP at IoU 0.5 {precisions['mAP at IoU 0.5'][-1]:.3f}")

    results = {name: values[-1] for name, values in precisions.items()}
    results["COCO's mAP"] = mean_average_precision(found, true).item()
    results["mAP of masks at IoU 0.5"] = mean_average_precision(found, true, 0.5, region="masks").item()
    each = MeanAveragePrecision(0.5)
    each.update(found, true)
    results |= {SHAPES[label]: value for label, value in each.by_class().items()}
    print(", ".join(f"{name} {value:.3f}" for name, value in results.items()))
    crowded = sorted(range(len(true)), key=lambda i: -len(true[i]["labels"]))[:5]
    sure = [{name: x[found[i]["scores"] > 0.5] for name, x in found[i].items()} for i in crowded]
    numbers = [*range(1, epochs + 1)]
    curves = {name: (numbers, values) for name, values in precisions.items()}
    save(
        options.out / "detection.png",
        *(drawn(images[i], one, "") for i, one in zip(crowded, sure)),
        plot_lines(curves, "epoch", "mean average precision", "Held-out images", ylim=(0, 1)),
        width=1000,
        colours=64,
    )
    return results | {"first loss": losses[0], "loss": losses[-1]}


if __name__ == "__main__":
    main()
