"""Pictures: their pixels where they are exact, what is drawn where they are not, no global state changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, ShapeError
from xpnn.viz import figures, make_grid, save_confusion_matrix, save_curve, save_image, save_image_sheet

HISTORY = {"epoch": [1, 2, 3], "train_loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.5, 1.2], "lr": [1, 1, 1]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were saved."""
    pytest.importorskip("matplotlib")
    saved: list[Any] = []
    save = figures._save
    monkeypatch.setattr(
        figures, "_save", lambda figure, *rest: (saved.append(figure), save(figure, *rest))[1]
    )
    return saved


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


def test_image_errors() -> None:
    with pytest.raises(ShapeError, match=r"one or three channels, got shape \(1, 2, 4, 4\)"):
        make_grid(np.zeros((2, 4, 4)))
    with pytest.raises(ShapeError, match="got shape"):
        make_grid(np.zeros((0, 1, 4, 4)))
    with pytest.raises(ArgumentError, match="nrow >= 1"):
        make_grid(np.zeros((1, 1, 4, 4)), nrow=0)


# --- figures ---


def test_curve_shows_the_history(drawn: list[Any], tmp_path: Path) -> None:
    path = save_curve({**HISTORY, "val_accuracy": [0.5, 0.6, 0.9]}, tmp_path / "curve.png", title="a net")
    assert pixels(path).shape[1] > 1000
    loss, accuracy = drawn[0].axes
    assert [line.get_label() for line in loss.lines] == ["train", "val"]
    assert loss.lines[1].get_xydata().tolist() == [[1, 2.1], [2, 1.5], [3, 1.2]]
    assert accuracy.lines[0].get_ydata().tolist() == [0.5, 0.6, 0.9]
    assert accuracy.get_legend() is None
    assert drawn[0].get_suptitle() == "a net"


def test_curve_of_one_epoch_and_of_arrays(drawn: list[Any], tmp_path: Path, backend: Target) -> None:
    save_curve({"loss": [backend.array(np.float32(2.0))]}, tmp_path / "curve.svg")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 2.0]]
    assert axes.lines[0].get_marker() == "o"


def test_confusion_matrix_shows_counts_and_names(drawn: list[Any], tmp_path: Path, backend: Target) -> None:
    path = save_confusion_matrix(backend.array([[7, 2], [0, 11]]), tmp_path / "matrix.png", ["cat", "zebra"])
    assert path.is_file()
    (axes,) = drawn[0].axes
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "7", (1, 0): "2", (1, 1): "11"}  # (column, row); no zeros
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "zebra"]
    assert axes.get_title(loc="left") == "18 of 20 right (90.0 %)"


def test_large_and_empty_confusion_matrices(drawn: list[Any], tmp_path: Path) -> None:
    save_confusion_matrix(np.eye(40, dtype=int), tmp_path / "large.png")
    save_confusion_matrix(np.zeros((2, 2), dtype=int), tmp_path / "empty.png")
    assert not drawn[0].axes[0].texts
    assert drawn[1].axes[0].get_title(loc="left") == "0 of 0 right (0.0 %)"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_image_sheet(drawn: list[Any], tmp_path: Path, count: int, channels: int) -> None:
    images = np.random.default_rng(0).normal(size=(count, channels, 8, 8))
    titles = [f"true {i}, said {i + 1}" for i in range(count)]
    save_image_sheet(images, tmp_path / "sheet.png", titles)
    shown = [axes for axes in drawn[0].axes if axes.images]
    assert [axes.get_title() for axes in shown] == [title.replace(", ", "\n") for title in titles]
    array = np.asarray(shown[0].images[0].get_array())
    expected = (images[0] - images.min()) / (images.max() - images.min())
    np.testing.assert_allclose(array, np.broadcast_to(expected, (3, 8, 8)).transpose(1, 2, 0), atol=1e-5)


def test_nothing_of_pyplot_is_touched(drawn: list[Any], tmp_path: Path) -> None:
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
    assert not path.exists()


def test_a_full_disk_is_said_with_the_file(tmp_path: Path) -> None:
    """Neither Pillow nor matplotlib says which file it was."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    path.symlink_to("/dev/full")
    for save, content in ((save_image, np.ones((1, 1, 400, 400))), (save_curve, HISTORY)):
        with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
            save(content, path)
