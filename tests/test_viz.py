"""Pictures: their pixels where they are exact, what is drawn where they are not, no global state changed."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import optim
from xpnn.backend import ArgumentError, DTypeError, ShapeError
from xpnn.viz import (
    learning_rates,
    make_grid,
    plot_confusion_matrix,
    plot_curves,
    plot_decision_regions,
    plot_detections,
    plot_images,
    plot_lr_finder,
    plot_precision_recall,
    plot_roc,
    plot_runs,
    plot_schedules,
    save_confusion_matrix,
    save_curve,
    save_image,
    save_image_sheet,
)

pytest.importorskip("matplotlib")

HISTORY = {"epoch": [1, 2, 3], "train_loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.5, 1.2], "lr": [1, 1, 1]}


def pixels(path: Path) -> np.ndarray:
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(path) as image:
        return np.asarray(image)


# --- images ---


@pytest.mark.parametrize(("count", "nrow", "padding"), [(5, 3, 2), (1, 8, 0), (8, 8, 1), (3, 1, 2)])
def test_make_grid_puts_each_image_in_its_place(count: int, nrow: int, padding: int) -> None:
    images = np.arange(count * 3 * 4 * 6, dtype=np.float32).reshape(count, 3, 4, 6) + 1
    grid = make_grid(images, nrow=nrow, padding=padding, pad_value=-1)
    columns = min(nrow, count)
    rows = -(-count // columns)
    assert grid.shape == (3, rows * (4 + padding) + padding, columns * (6 + padding) + padding)
    for i in range(count):
        top = padding + (i // columns) * (4 + padding)
        left = padding + (i % columns) * (6 + padding)
        np.testing.assert_array_equal(grid[:, top : top + 4, left : left + 6], images[i])
    assert np.sum(grid == -1) == grid.size - images.size


def test_make_grid_takes_what_torchvision_takes(backend: Target) -> None:
    image = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    expected = np.repeat(image, 3, axis=0)
    for tensor in (image[None], image, image[0], [image], xpnn.tensor(image)):
        given = backend.array(tensor) if isinstance(tensor, np.ndarray) else tensor
        np.testing.assert_array_equal(make_grid(given, padding=0), expected)


def test_make_grid_normalizes() -> None:
    images = np.stack([np.full((1, 2, 2), 3.0), np.full((1, 2, 2), 5.0)])
    images[0, 0, 0, 0] = 1.0
    together = make_grid(images, padding=0, normalize=True)
    np.testing.assert_allclose(together[0], [[0, 0.5, 1, 1], [0.5, 0.5, 1, 1]])
    each = make_grid(images, padding=0, normalize=True, scale_each=True)
    np.testing.assert_allclose(each[0, :, :2], [[0, 1], [1, 1]])
    ranged = make_grid(images, padding=0, normalize=True, value_range=(2, 4))
    np.testing.assert_allclose(ranged[0], [[0, 0.5, 1, 1], [0.5, 0.5, 1, 1]])


def test_save_image_writes_the_pixels(tmp_path: Path) -> None:
    image = np.array([[[0.0, 0.5], [1.0, 2.0]]])
    path = save_image(image, tmp_path / "a.png", padding=0)
    assert pixels(path).tolist() == [[[0] * 3, [128] * 3], [[255] * 3, [255] * 3]]
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    np.testing.assert_array_equal(
        pixels(save_image(colours, tmp_path / "b.png", padding=0)), colours.transpose(1, 2, 0)
    )


def test_a_grid_of_tensors_is_a_tensor_and_one_image_has_no_border(backend: Target) -> None:
    images = np.arange(48, dtype=np.float32).reshape(4, 1, 3, 4)
    grid = make_grid(xpnn.Tensor(backend.array(images)), nrow=2)
    assert isinstance(grid, xpnn.Tensor)
    assert type(grid.array) is type(backend.array(images))
    np.testing.assert_array_equal(grid.numpy(), make_grid(images, nrow=2))
    assert make_grid(images[:1]).shape == (3, 3, 4)


def test_save_image_takes_an_open_file_and_a_format(tmp_path: Path) -> None:
    file = io.BytesIO()
    assert save_image(np.zeros((1, 4, 4)), file, "PNG") is file
    assert file.getvalue()[1:4] == b"PNG"
    assert save_image(np.zeros((1, 4, 4)), tmp_path / "a", format="jpeg").read_bytes()[6:10] == b"JFIF"


def test_image_errors() -> None:
    with pytest.raises(ShapeError, match=r"one or three channels, got shape \(1, 2, 4, 4\)"):
        make_grid(np.zeros((2, 4, 4)))
    with pytest.raises(ShapeError, match="got shape"):
        make_grid(np.zeros((0, 1, 4, 4)))
    with pytest.raises(ArgumentError, match="nrow >= 1"):
        make_grid(np.zeros((1, 1, 4, 4)), nrow=0)


# --- figures ---


def labels(axes: Any) -> list[str]:
    """The lines of the legend."""
    return [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]


def test_curves_show_the_history(tmp_path: Path) -> None:
    figure = plot_curves({**HISTORY, "val_accuracy": [0.5, 0.6, 0.9]}, tmp_path / "curve.png", title="a net")
    assert pixels(tmp_path / "curve.png").shape[1] > 1000
    loss, accuracy = figure.axes
    assert labels(loss) == ["train", "val"]
    assert loss.lines[1].get_xydata().tolist() == [[1, 2.1], [2, 1.5], [3, 1.2]]
    assert accuracy.lines[0].get_ydata().tolist() == [0.5, 0.6, 0.9]
    assert accuracy.get_legend() is None
    assert figure.get_suptitle() == "a net"
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")


def test_curves_of_one_epoch_and_of_arrays(tmp_path: Path, backend: Target) -> None:
    (axes,) = plot_curves({"loss": [backend.array(np.float32(2.0))]}, tmp_path / "curve.svg").axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 2.0]]
    assert axes.lines[0].get_marker() == "o"


@pytest.mark.parametrize("at", [0, 4, 9])
def test_one_outlier_does_not_press_the_curves_flat(at: int) -> None:
    """Wherever it is; it is marked with its value, and so are the epochs that measured no number."""
    calm = [2.0, 1.2, 0.8, 0.6, 0.5, 0.45, 0.4, 0.38, 0.37, 0.36]
    (before,) = plot_curves({"loss": calm}).axes
    assert before.get_ylim()[1] > 2.0
    assert not before.texts
    wild = [*calm[:at], 5e6, *calm[at + 1 :]]
    wild[6] = math.nan
    (axes,) = plot_curves({"loss": wild}).axes
    assert axes.get_ylim()[1] < 2.2
    assert [text.get_text() for text in axes.texts] == ["5e+06"]
    marks = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert marks["_not finite"] == [7]
    assert list(marks["_outside"]) == [at + 1]


def test_curves_leave_out_what_was_not_measured() -> None:
    history = {"epoch": [3, 4, 5], "val_loss": [None, 0.5, 0.25], "lr": [1, 1, 1]}
    (axes,) = plot_curves(history, log=True).axes
    assert axes.lines[0].get_xydata().tolist() == [[4, 0.5], [5, 0.25]]
    assert axes.get_yscale() == "log"
    assert plot_curves({"loss": [math.nan, math.inf]}).axes[0].get_ylim() != (0, 0)


def test_runs_share_panels() -> None:
    runs = {"a": HISTORY, "b": {"val_loss": [1.0, 0.5], "val_accuracy": [0.1, 0.2]}}
    loss, accuracy = plot_runs(runs).axes
    assert labels(loss) == ["a", "b"]
    assert loss.lines[0].get_ydata().tolist() == [2.1, 1.5, 1.2]
    assert labels(accuracy) == ["b"]
    assert [axes.get_ylabel() for axes in plot_runs(runs, metrics=["lr"]).axes] == ["learning rate"]
    many = plot_runs({str(i): {"loss": [i, i + 1]} for i in range(20)}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in many}) == 20


def test_learning_rates_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rates = learning_rates(lambda o: optim.CosineAnnealingLR(o, T_max=7), 10, lr=0.3)
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=7)
    for rate in rates:
        assert rate == pytest.approx(schedule.get_last_lr()[0], abs=1e-8)
        reference.step()
        schedule.step()


def test_schedules_and_the_learning_rate_finder() -> None:
    (axes,) = plot_schedules({"step": [0.1, 0.01], "flat": np.array([0.1, 0.1])}).axes
    assert labels(axes) == ["step", "flat"]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.01]
    (axes,) = plot_lr_finder([1e-4, 1e-3, 1e-2, 1e-1], [2.0, 1.0, 0.5, 1e9], suggestion=1e-3).axes
    assert axes.get_ylim()[1] < 10
    assert axes.texts[0].get_text() == "0.001"
    assert "$" not in axes.get_xticklabels()[0].get_text()


def test_confusion_matrix_shows_counts_and_names(tmp_path: Path, backend: Target) -> None:
    matrix = backend.array([[7, 2], [0, 11]])
    (axes,) = plot_confusion_matrix(matrix, tmp_path / "matrix.png", ["cat", "$zebra$"]).axes
    assert (tmp_path / "matrix.png").is_file()
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "7", (1, 0): "2", (1, 1): "11"}  # (column, row); no zeros
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "$zebra$"]
    assert axes.get_title(loc="left") == "18 of 20 right (90.0 %)"


def test_large_and_empty_confusion_matrices() -> None:
    assert not plot_confusion_matrix(np.eye(40, dtype=int)).axes[0].texts
    empty = plot_confusion_matrix(np.zeros((2, 2), dtype=int))
    assert empty.axes[0].get_title(loc="left") == "0 of 0 right (0.0 %)"


def test_roc_and_precision_recall_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    target = random.integers(0, 3, 60)
    scores = random.normal(size=(60, 3)).round(1) + np.eye(3)[target]
    (axes,) = plot_roc(scores, target, class_names=["a", "b", "c"]).axes
    for label, line in enumerate(axes.lines[:3]):
        x, y, _ = metrics.roc_curve(target == label, scores[:, label], drop_intermediate=False)
        np.testing.assert_allclose(line.get_xydata(), np.stack([x, y], axis=1))
        area = metrics.roc_auc_score(target == label, scores[:, label])
        assert line.get_label() == f"{'abc'[label]}: area {area:.3f}"
    (axes,) = plot_precision_recall(scores[:, 1], target == 1).axes
    precision, recall, _ = metrics.precision_recall_curve(target == 1, scores[:, 1])
    np.testing.assert_allclose(axes.lines[0].get_xydata(), np.stack([recall, precision], axis=1))
    average = metrics.average_precision_score(target == 1, scores[:, 1])
    assert axes.lines[0].get_label() == f"average precision {average:.3f}"


def test_decision_regions_are_the_models(backend: Target) -> None:
    """Left of x1 = 1 and right of it; points in the colours and marks of their classes."""
    points, target = np.array([[0.0, 0.0], [0.5, 1.0], [2.0, 0.5]]), np.array([0, 0, 1])
    for model in (
        lambda x: x[:, :1] - 1.0,
        lambda x: x @ xpnn.tensor([[-1.0, 1.0], [0, 0]]) - xpnn.tensor([0, 2.0]),
    ):
        (axes,) = plot_decision_regions(model, points, backend.array(target), class_names=["no", "yes"]).axes
        boundary = np.concatenate(
            [p.vertices for c in axes.collections for p in c.get_paths() if c.get_linewidth()[0] == 0.8]
        )
        assert abs(boundary[:, 0] - 1).max() < 0.02
        shown = {
            c.get_label(): c.get_offsets().tolist()
            for c in axes.collections
            if c.get_label() in ("no", "yes")
        }
        assert shown == {"no": points[:2].tolist(), "yes": points[2:].tolist()}
    with pytest.raises(ShapeError, match=r"points \(N, 2\)"):
        plot_decision_regions(model, np.zeros((2, 3)), [0, 1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_image_sheet(tmp_path: Path, count: int, channels: int) -> None:
    images = np.random.default_rng(0).normal(size=(count, channels, 8, 8))
    titles = [f"true {i}, said {i + 1}" for i in range(count)]
    shown = [axes for axes in plot_images(images, tmp_path / "sheet.png", titles).axes if axes.images]
    assert [axes.get_title() for axes in shown] == [title.replace(", ", "\n") for title in titles]
    array = np.asarray(shown[0].images[0].get_array())
    expected = (images[0] - images.min()) / (images.max() - images.min())
    np.testing.assert_allclose(array, np.broadcast_to(expected, (3, 8, 8)).transpose(1, 2, 0), atol=1e-5)
    assert pixels(tmp_path / "sheet.png").shape[0] > 8 * 15, "small images are enlarged"


def test_detections_stand_where_they_are(backend: Target) -> None:
    boxes, mask = np.array([[4.0, 8, 20, 16], [0, 0, 5, 6]]), np.zeros((2, 24, 32))
    mask[0, 8:16, 4:20] = 1
    figure = plot_detections(
        backend.array(np.zeros((3, 24, 32), dtype=np.float32)), boxes=backend.array(boxes), masks=mask,
        labels=["cat", "dog"], scores=[0.9, 0.25],
    )  # fmt: skip
    (axes,) = figure.axes
    corners = [
        (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()) for patch in axes.patches
    ]
    assert corners == [(3.5, 7.5, 16, 8)] * 2 + [(-0.5, -0.5, 5, 6)] * 2
    assert [text.get_text() for text in axes.texts] == ["cat 0.90", "dog 0.25"]
    shade = np.asarray(axes.images[1].get_array())[..., 3]
    np.testing.assert_array_equal(shade > 0, mask[0] > 0)
    classes = plot_detections(np.zeros((4, 4)), masks=np.array([[0, 0, 1, 2]] * 4)).axes[0].images
    assert len(classes) == 3, "the image, and a layer for each class but the background"
    with pytest.raises(ShapeError, match="each of 2 boxes, got 1"):
        plot_detections(np.zeros((4, 4)), boxes=boxes, labels=["one"])
    with pytest.raises(ShapeError, match=r"masks \(N, 4, 4\)"):
        plot_detections(np.zeros((4, 4)), masks=mask)


def test_nothing_of_pyplot_is_touched(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = dict(matplotlib.rcParams)
    figure = pyplot.figure()
    save_curve(HISTORY, tmp_path / "curve.png")
    save_image_sheet(np.zeros((2, 1, 8, 8), dtype=np.uint8), tmp_path / "sheet.png")
    assert pyplot.get_fignums() == [figure.number]
    pyplot.close(figure)
    assert dict(matplotlib.rcParams) == before


def test_figure_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(ArgumentError, match="one of loss, accuracy, got lr"):
        save_curve({"lr": [1]}, path)
    with pytest.raises(ArgumentError, match="got an empty one"):
        save_curve({}, path)
    with pytest.raises(ShapeError, match=r"got shape \(2, 2\) and 1 names"):
        save_confusion_matrix(np.eye(2), path, ["cat"])
    with pytest.raises(ShapeError, match=r"got shape \(2, 3\)"):
        save_confusion_matrix(np.zeros((2, 3)), path)
    with pytest.raises(ArgumentError, match="got 2 images and 1 titles"):
        save_image_sheet(np.zeros((2, 1, 8, 8)), path, ["one"])
    with pytest.raises(ArgumentError, match="got 0 images"):
        save_image_sheet(np.zeros((0, 1, 8, 8)), path)
    with pytest.raises(ShapeError, match=r"\(C, C\) matrix"):
        plot_confusion_matrix(np.zeros((0, 0)))
    with pytest.raises(ArgumentError, match=r"ends in .*\.png.*, got"):
        plot_curves(HISTORY, tmp_path / "x.nothing")
    with pytest.raises(DTypeError, match="expects a number to draw, got 'a'"):
        plot_curves({"loss": ["a"]})
    with pytest.raises(ArgumentError, match="'f1' has several"):
        plot_curves({"f1": [[0.1, 0.2]]}, metrics=["f1"])
    with pytest.raises(ShapeError, match=r"images \(N, C, H, W\), got shape \(8, 8\)"):
        plot_images(np.zeros((8, 8)))
    with pytest.raises(ArgumentError, match="columns of at least 1"):
        plot_images(np.zeros((1, 1, 8, 8)), columns=0)
    with pytest.raises(ShapeError, match=r"boxes \(N, 4\), got shape \(2, 3\)"):
        plot_detections(np.zeros((8, 8)), boxes=np.zeros((2, 3)))
    with pytest.raises(ArgumentError, match="finite points, and classes from 0 on"):
        plot_decision_regions(lambda x: x, [[0.0, math.nan]], [0])
    assert not path.exists()


def test_a_full_disk_is_said_with_the_file(tmp_path: Path) -> None:
    """Neither Pillow nor matplotlib says which file it was."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    path.symlink_to("/dev/full")
    for save, content in ((save_image, np.ones((1, 1, 400, 400))), (save_curve, HISTORY)):
        with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
            save(content, path)
