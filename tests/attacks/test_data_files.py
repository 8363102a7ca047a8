"""Data files and folders are attacked: whatever is in them, they are read, or refused with their name."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn.backend import DataError
from xpnn.data import ImageFolder, read_idx, read_image

Tally = Callable[[str, int, int], None]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A few changes: bits, bytes, blocks, cuts, repetitions."""
    for _ in range(rng.integers(1, 4)):
        changed = bytearray(content)
        at = int(rng.integers(len(changed))) if changed else 0
        kind = rng.integers(6)
        size = int(rng.integers(1, 40))
        if kind == 0 and changed:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and changed:
            at %= min(len(changed), 64)  # headers are where it hurts
            changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        elif kind == 2:
            changed[at : at + size] = rng.bytes(size)
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            changed[at:at] = changed[at : at + size]
        else:
            changed[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
        content = bytes(changed)
    return content


def attack(path: Path, content: bytes, read: Callable[[Path], Any], most: int) -> None:
    """Read a file: an array or a DataError that names it, in bounded memory."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert isinstance(read(path), np.ndarray)
    except DataError as error:
        text = str(error)
        assert text.isprintable()
        assert path.name in text
        assert len(text) < 3000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path: Path, tally: Tally, packed: bool) -> None:
    rng = np.random.default_rng(0)
    whole = idx(rng.integers(0, 256, (5, 6, 7), dtype=np.uint8))
    tries = 500
    for number in range(tries):
        if packed and number % 2:
            content = gzip.compress(mutated(whole, rng))
        else:
            content = mutated(gzip.compress(whole) if packed else whole, rng)
        attack(tmp_path / "file.idx", content, read_idx, 10**7)
    tally(f"fuzzed IDX files{', gzipped' if packed else ''}", tries, tries)


def test_forged_idx_headers(tmp_path: Path, tally: Tally) -> None:
    rng = np.random.default_rng(1)
    tries = 300
    for _ in range(tries):
        axes = int(rng.integers(0, 256))
        sizes = rng.choice([0, 1, 2, 1000, 2**31, 2**32 - 1], axes).astype(">u4")
        head = bytes([0, 0, int(rng.choice([8, 9, 11, 12, 13, 14, 7, 255])), axes]) + sizes.tobytes()
        attack(tmp_path / "file.idx", head + rng.bytes(int(rng.integers(20))), read_idx, 10**7)
    tally("forged IDX headers", tries, tries)


def pictures() -> Iterator[tuple[str, bytes]]:
    """A small image in each format and kind of pixels."""
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(2)
    grey, colour = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((9, 7), (9, 7, 3)))
    images = {
        "L": pillow.fromarray(grey),
        "RGB": pillow.fromarray(colour),
        "RGBA": pillow.fromarray(colour).convert("RGBA"),
        "P": pillow.fromarray(colour).convert("P"),
        "1": pillow.fromarray(grey).convert("1"),
        "I;16": pillow.fromarray(grey.astype(np.uint16) * 257),
        "F": pillow.fromarray(grey.astype(np.float32)),
        "CMYK": pillow.fromarray(colour).convert("CMYK"),
    }
    for kind in ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP", "GIF"):
        for mode, image in images.items():
            file = io.BytesIO()
            try:
                image.save(file, kind)
            except (OSError, KeyError, ValueError):  # a mode that the format does not have
                continue
            yield f"{kind} {mode}", file.getvalue()


def test_images(tmp_path: Path, tally: Tally) -> None:
    rng = np.random.default_rng(3)
    tries = 0
    for number, (_, content) in enumerate(pictures()):
        attack(tmp_path / "image", content, read_image, 10**7)
        for _ in range(15):
            attack(tmp_path / "image", mutated(content, rng), read_image, 10**9)
            tries += 1
        for mode in ("L", "RGB"):
            attack(tmp_path / "image", rng.bytes(5 * number), lambda path: read_image(path, mode), 10**7)  # noqa: B023
            tries += 1
    assert tries > 500
    tally("fuzzed images", tries, tries)


def forged_tree(root: Path, rng: np.random.Generator, image: bytes) -> None:
    """Folders, files, links, pipes of odd names, in each other."""
    names = [
        b"cat",
        b"dog",
        b".hidden",
        b"a.png",
        b"b.PNG",
        b"\xff.png",
        b"\x1b[2J.png",
        b"new\nline",
        b"x" * 250,
    ]
    folders, files = [os.fsencode(root)], [os.fsencode(root)]
    for _ in range(int(rng.integers(5, 40))):
        parent = folders[rng.integers(len(folders))]
        path = os.path.join(parent, names[rng.integers(len(names))])
        if len(path) > 2000 or os.path.lexists(path):
            continue
        kind = rng.integers(6)
        if kind < 2:
            os.mkdir(path)
            folders.append(path)
        elif kind == 2:
            Path(os.fsdecode(path)).write_bytes(image)
            files.append(path)
        elif kind == 3:
            os.symlink(folders[rng.integers(len(folders))], path)
        elif kind == 4:
            os.symlink(rng.choice([files[rng.integers(len(files))], b"nothing", path]), path)
        else:
            os.mkfifo(path)


def test_folder_trees(tmp_path: Path, tally: Tally) -> None:
    rng = np.random.default_rng(4)
    image = next(iter(pictures()))[1]
    tries, read = 300, 0
    for number in range(tries):
        root = tmp_path / str(number)
        root.mkdir()
        forged_tree(root, rng, image)
        try:
            folder = ImageFolder(root)
            assert all(folder.targets.count(label) for label in range(len(folder.classes)))
            for i in range(len(folder)):
                folder[i]
            read += 1
        except DataError as error:
            text = str(error)
            assert all(line.isprintable() for line in text.split("\n"))
            assert len(text) < 3000
    assert read > 3
    tally("forged folder trees", tries, tries)


def test_many_ways_to_one_folder(tmp_path: Path) -> None:
    """Two links to the next of forty folders: 2**40 ways, which are not all walked."""
    pytest.importorskip("PIL.Image")
    folders = [tmp_path / "root" / "cat", *(tmp_path / f"{number}" for number in range(40))]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder, following in itertools.pairwise(folders):
        (folder / "one").symlink_to(following)
        (folder / "two").symlink_to(following)
    (folders[-1] / "x.png").write_bytes(next(iter(pictures()))[1])
    assert len(ImageFolder(tmp_path / "root")) == 1
