"""The embedded digits, IDX files, MNIST folders and downloads, folders of images."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xpnn.backend import DataError
from xpnn.data import (
    MNIST,
    DataLoader,
    Digits,
    FashionMNIST,
    ImageFolder,
    Resize,
    Subset,
    TransformDataset,
    load_digits,
    read_idx,
    read_image,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], dtype=np.uint8)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """An IDX file, written down from the format's definition."""
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + big.tobytes()


def write_mnist(folder: Path, packed: bool = True, labels: np.ndarray = LABELS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        for name, array in (("images-idx3-ubyte", IMAGES), ("labels-idx1-ubyte", labels)):
            content = idx(array)
            path = folder / f"{part}-{name}"
            if packed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                path.write_bytes(content)
    return folder


# --- digits ---


def test_digits_are_the_uci_set() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0.0, 1.0)
    # Facts about the published set: images per class, the first image, the sum of all pixels.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (images[0, 0, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert int(np.rint(images.astype(np.float64).sum() * 16)) == 561718


def test_digits_split_is_fixed_stratified_and_complete() -> None:
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1442, 355)
    assert np.bincount(test.targets).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    everything = sorted(image.tobytes() for image in load_digits()[0])
    assert sorted(image.tobytes() for image in (*train.data, *test.data)) == everything
    assert len(set(everything)) == 1797  # no image is in both parts
    assert train.classes == tuple("0123456789")


def test_digits_can_be_told_apart() -> None:
    """The nearest training image has the right label: images and labels belong together."""
    train, test = (Digits(train=part) for part in (True, False))
    x, y = (dataset.data.reshape(len(dataset), -1) for dataset in (train, test))
    squared = (y**2).sum(1)[:, None] - 2 * y @ x.T + (x**2).sum(1)
    assert np.mean(train.targets[squared.argmin(1)] == test.targets) > 0.98


# --- idx ---


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_read_idx(tmp_path: Path, code: int, dtype: str, packed: bool) -> None:
    array = np.arange(-12, 12).astype(dtype).reshape(2, 3, 4)
    content = idx(array, code)
    (tmp_path / "file").write_bytes(gzip.compress(content, mtime=0) if packed else content)
    back = read_idx(tmp_path / "file")
    assert back.dtype == np.dtype(dtype)
    assert back.dtype.isnative
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES)[:-1], r"expects 3936 bytes for an array of shape \(5, 28, 28\), got 3935"),
        (idx(IMAGES) + b"x", "got 3937"),
        (idx(IMAGES)[:9], "got 9"),
        (b"<!DOCTYPE html>", "00 00, a type .* got 3c 21 44 4f"),
        (b"", "got no bytes at all"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 0]), "got 00 00 07 01"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-100], "whole gzip file, got .* bytes that do not unpack"),
        (gzip.compress(idx(IMAGES), mtime=0)[:40] + b"garbage", "do not unpack"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-8] + b"\0" * 8, "CRC"),
        (b"\x1f\x8b\x08", "do not unpack"),
        (gzip.compress(idx(IMAGES) + b"x", mtime=0), "got 3937"),
        (bytes([0, 0, 8, 65]) + bytes(4 * 65), "got 00 00 08 41"),
        (bytes([0, 0, 8, 255]), "got 00 00 08 ff"),
        (struct.pack(">HBB4I", 0, 8, 4, *[1000] * 4), "expects 1000000000020 bytes .* got 20"),
        (
            gzip.compress(struct.pack(">HBB4I", 0, 8, 4, *[1000] * 4), mtime=0),
            "expects 1000000000020 .* got 20",
        ),
        (struct.pack(">HBB64I", 0, 14, 64, *[2**32 - 1] * 64), "got 260"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "ownload it again" in str(caught.value)


def test_sizes_beside_a_zero(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(struct.pack(">HBB4I", 0, 8, 4, 0, *[2**32 - 1] * 3))
    with pytest.raises(DataError, match="an array that there cannot be"):
        read_idx(path)


def test_what_is_no_idx_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="a folder, a device or a pipe"):
            read_idx(tmp_path / name)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Memory is bounded by what the header promises: here 8 bytes, of 400 MB."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(struct.pack(">HBB1I", 0, 8, 1, 8))
        for _ in range(400):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"expects 16 bytes for an array of shape \(8,\), got 17"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_missing_idx_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent cannot be read: No such file"):
        read_idx(tmp_path / "absent")


# --- MNIST ---


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_mnist_from_a_folder(tmp_path: Path, packed: bool, below: str) -> None:
    write_mnist(tmp_path / below, packed)
    for train in (True, False):
        mnist = MNIST(tmp_path, train=train)
        assert len(mnist) == 5
        image, label = mnist[2]
        np.testing.assert_array_equal(image[0], IMAGES[2])
        assert image.dtype == np.uint8
        assert label == 4
        assert mnist.targets.dtype == np.int64
        assert mnist.data.shape == (5, 1, 28, 28)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_mnist(tmp_path, labels=LABELS[:4])
    with pytest.raises(DataError, match=r"got \(5, 28, 28\) in .*images.* and \(4,\) in .*labels"):
        MNIST(tmp_path)
    write_mnist(tmp_path, labels=IMAGES)
    with pytest.raises(DataError, match="different sets"):
        MNIST(tmp_path)


@pytest.mark.parametrize("labels", [[3, 1, 10, 1, 5], [3, 1, 255, 1, 5]])
def test_labels_of_no_class(tmp_path: Path, labels: list[int]) -> None:
    write_mnist(tmp_path, labels=np.array(labels, dtype=np.uint8))
    with pytest.raises(DataError, match=rf"labels.* expects labels below 10, got 1 to {max(labels)}"):
        MNIST(tmp_path)


def test_a_folder_without_mnist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MNIST finds no t10k-images-idx3-ubyte\(.gz\) in .*download=True"):
        MNIST(tmp_path, train=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A mirror on this machine that serves tmp_path/served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def served_mnist(tmp_path: Path, server: str, *mirrors: str) -> type[MNIST]:
    """MNIST with checksums of the served files, and mirrors below the server."""
    (tmp_path / "served" / "torn").mkdir()
    sums = {}
    for path in write_mnist(tmp_path / "served" / "good").iterdir():
        sums[path.name] = "md5:" + hashlib.md5(path.read_bytes()).hexdigest()
        (tmp_path / "served" / "torn" / path.name).write_bytes(path.read_bytes()[:-10])

    class Served(MNIST):
        checksums = sums

    Served.mirrors = [server + mirror for mirror in mirrors]
    return Served


@pytest.mark.parametrize("first", ["good/", "absent/", "torn/"])
def test_download_tries_the_mirrors_in_turn(tmp_path: Path, server: str, first: str) -> None:
    pytest.importorskip("pooch")
    dataset = served_mnist(tmp_path, server, first, "good/")(tmp_path / "root", download=True)
    np.testing.assert_array_equal(dataset.data[:, 0], IMAGES)
    raw = tmp_path / "root" / "Served" / "raw"
    names = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}
    assert {path.name for path in raw.iterdir()} == names
    type(dataset).mirrors = []  # found where it was put, nothing is fetched again
    assert len(type(dataset)(tmp_path / "root", download=True)) == 5


def test_a_download_that_fails_leaves_nothing_behind(tmp_path: Path, server: str) -> None:
    pytest.importorskip("pooch")
    served = served_mnist(tmp_path, server, "absent/", "torn/")
    with pytest.raises(
        DataError, match=r"train-images.* cannot be downloaded. Tried .*absent.*404.*torn.*(hash|broke)"
    ):
        served(tmp_path / "root", download=True)
    assert not [path for path in (tmp_path / "root").rglob("*") if path.is_file()]


def test_checksums_are_of_the_known_files() -> None:
    for dataset in (MNIST, FashionMNIST):
        assert len(dataset.checksums) == 4
        assert all(len(value) == 36 for value in dataset.checksums.values())
        assert len(dataset.classes) == 10
        assert all(mirror.endswith("/") for mirror in dataset.mirrors)
    assert not set(MNIST.checksums.values()) & set(FashionMNIST.checksums.values())


# --- folders of images ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, size in (("cat/2.png", (6, 4)), ("cat/1.png", (6, 4)), ("dog/deep/0.BMP", (9, 8))):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pillow.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not an image")
    return tmp_path / "pets"


def test_image_folder(folder: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pets = ImageFolder(folder)
    assert pets.classes == ["cat", "dog"]
    assert pets.class_to_idx == {"cat": 0, "dog": 1}
    assert [path.name for path, _ in pets.samples] == ["1.png", "2.png", "0.BMP"]
    assert pets.targets == [0, 0, 1]
    image, label = pets[2]
    assert image.shape == (3, 9, 8)
    assert label == 1
    with pillow.open(folder / "dog/deep/0.BMP") as original:
        assert image[:, 5, 3].tolist() == list(original.getpixel((3, 5)))
        grey = np.asarray(original.convert("L"))
    np.testing.assert_array_equal(ImageFolder(folder, mode="L")[2][0], grey[None])


def test_image_folder_resized_in_a_loader(folder: Path) -> None:
    pets = ImageFolder(folder, transform=Resize((5, 5)), target_transform=lambda label: 10 * label)
    (batch,) = DataLoader(pets, batch_size=3, num_workers=2)
    assert batch[0].shape == (3, 3, 5, 5)
    assert batch[1].tolist() == [0, 0, 10]
    # Transformed after the split, image by image: they have one shape only afterwards.
    part = TransformDataset(Subset(ImageFolder(folder), [2, 0]), transform=Resize((5, 5)))
    (again,) = DataLoader(part, batch_size=2)
    np.testing.assert_array_equal(again[0], batch[0][[2, 0]])


def test_image_folder_errors(folder: Path) -> None:
    with pytest.raises(DataError, match="expects a folder with one folder of images per class"):
        ImageFolder(folder / "cat")
    (folder / "eel").mkdir()
    (folder / "fox").mkdir()
    with pytest.raises(DataError, match=r"finds no images .* for eel, fox in"):
        ImageFolder(folder)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_images(folder: Path, content: bytes) -> None:
    (folder / "cat" / "0.png").write_bytes(content)
    with pytest.raises(DataError, match=r"0.png cannot be read as an image: .*Remove or replace"):
        ImageFolder(folder)[0]


def test_an_image_that_is_cut_short(folder: Path) -> None:
    path = folder / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(path)


def test_hidden_folders_and_files_are_left_out(folder: Path) -> None:
    before = ImageFolder(folder).samples
    for name in (".ipynb_checkpoints/1.png", "cat/.ipynb_checkpoints/1.png", "cat/._1.png", ".git/x/0.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((folder / "cat" / "1.png").read_bytes())
    assert ImageFolder(folder).samples == before
    assert ImageFolder(folder).classes == ["cat", "dog"]


def test_linked_folders(folder: Path, tmp_path: Path) -> None:
    more = tmp_path / "elsewhere" / "more"
    more.mkdir(parents=True)
    (more / "9.png").write_bytes((folder / "cat" / "1.png").read_bytes())
    (folder / "cat" / "linked").symlink_to(more)
    (folder / "cat" / "linked again").symlink_to(more)
    (folder / "eel").symlink_to(more, target_is_directory=True)
    pets = ImageFolder(folder)
    assert pets.classes == ["cat", "dog", "eel"]
    assert sorted(path.name for path, label in pets.samples if label == 0) == ["1.png", "2.png", "9.png"]
    assert pets.targets.count(2) == 1
    for target in (more, more.parent, folder, folder / "cat"):
        (more / "loop").symlink_to(target)
        with pytest.raises(DataError, match="is a link back to a folder above it"):
            ImageFolder(folder)
        (more / "loop").unlink()


def test_only_files_are_images(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "folder.png").mkdir()
    assert len(ImageFolder(folder)) == 3
    with pytest.raises(DataError, match="it is no file"):
        read_image(folder / "cat" / "pipe.png")
    (folder / "cat" / "dangling.png").symlink_to("no such file")
    pets = ImageFolder(folder)
    with pytest.raises(DataError, match=r"dangling.png cannot be read as an image: it does not exist"):
        [pets[i] for i in range(len(pets))]


@pytest.mark.parametrize("kind", ["png", "tiff", "pgm"])
def test_grey_of_16_bits_is_scaled(tmp_path: Path, kind: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    values = np.array([[0, 1, 127, 128, 129, 255, 256, 257, 32768, 65407, 65408, 65535]], np.uint16)
    path = tmp_path / f"x.{kind}"
    if kind == "pgm":
        path.write_bytes(b"P5 12 1 65535\n" + values.astype(">u2").tobytes())
    else:
        pillow.fromarray(values).save(path)
    expected = np.rint(values / 257)
    assert np.array_equal(read_image(path, "L")[0], expected)
    assert np.array_equal(read_image(path, "RGB"), np.stack([expected] * 3))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range(tmp_path: Path, dtype: type) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(np.ones((2, 2), dtype)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match="whose range is unknown"):
        read_image(tmp_path / "x.tiff")


def test_images_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pillow.new("L", (30, 30)).save(tmp_path / "x.png")
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"x.png cannot be read as an image: .*exceeds limit"):
        read_image(tmp_path / "x.png")


def test_names_that_are_not_utf8(folder: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    (folder / "cat" / name).write_bytes(b"no image")
    pets = ImageFolder(folder)
    (index,) = (i for i, (path, _) in enumerate(pets.samples) if path.name == name)
    with pytest.raises(DataError) as caught:
        pets[index]
    assert r"\udcff\udcfe.png cannot be read as an image" in str(caught.value).encode().decode()


def test_only_image_formats_are_opened(tmp_path: Path) -> None:
    """An EPS file would start Ghostscript."""
    pytest.importorskip("PIL.Image")
    for name, content in (
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("pdf", b"%PDF-1.7"),
    ):
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot identify image file"):
            read_image(path)
