"""Files that others wrote: PyTorch's archives, configurations in TOML, tables. They are read or refused.

Refused means an error of xpnn on printable lines, in bounded memory; nothing of a file is run.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks.test_data_files import mutated

import xpnn
from xpnn.backend import CheckpointError, DataError, XpnnError
from xpnn.cli.config import fill_in, read_toml
from xpnn.data import TabularDataset

Tally = Callable[[str, int, int], None]
TRIES = 300


def attack(read: Callable[[], Any], what: object, most: int = 3 * 10**7) -> bool:
    """Whether it was read; else there was a clear error. Raises: AssertionError for anything else."""
    tracemalloc.start()
    try:
        read()
    except (XpnnError, OSError) as error:
        text = str(error)
        assert len(text) < 3000, what
        assert all(line.isprintable() for line in text.split("\n")), what
        return False
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} {error}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most, what
    return True


# PyTorch's archives


def archive(structure: bytes, numbers: bytes = bytes(range(48)), name: str = "a/data/0") -> bytes:
    """What torch.save would write around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as entries:
        entries.writestr("a/data.pkl", structure)
        entries.writestr("a/byteorder", "little")
        entries.writestr(name, numbers)
    return file.getvalue()


def called(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


# A dictionary with a Tensor of 3 x 4 elements, as PyTorch pickles it.
STORAGE = (
    b"(X\x07\x00\x00\x00storage"
    + called("torch", "FloatStorage")
    + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
)
TENSOR = (
    called("torch._utils", "_rebuild_tensor_v2") + b"(" + STORAGE + b"K\x00(K\x03K\x04t(K\x04K\x01t\x89)RtR"
)
WHOLE = (
    b"\x80\x02}X\x01\x00\x00\x00x"
    + TENSOR.replace(b"\x89)RtR", b"\x89" + called("collections", "OrderedDict") + b")RtR")
    + b"s."
)

# What a forged pickle calls, and how.
NAMES = [
    *(("os", "mkdir"), ("posix", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("torch", "load")),
    *(("torch.nn", "Linear"), ("xpnn.io", "save_file"), ("numpy", "ones"), ("functools", "partial")),
    *(("torch", "Size"), ("torch", "device"), ("torch", "float32"), ("torch", "FloatStorage")),
    *(("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2")),
    ("torch._utils", "_rebuild_parameter"),
]
PARTS = [
    *(
        b"(",
        b")",
        b"]",
        b"}",
        b"N",
        b"\x88",
        b"K\x05",
        b"J\xff\xff\xff\xff",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    ),
    *(
        b"X\x04\x00\x00\x00evil",
        b"U\x02ab",
        b"G" + struct.pack(">d", 1e300),
        b"t",
        b"R",
        b"b",
        b"s",
        b"a",
        b"e",
    ),
    *(b"u", b"Q", b"0", b"2", b"\x81", b"\x85", b"\x86", b"\x87", b"q\x01", b"h\x01", b"o", b"\x8f", b"\x90"),
    *(
        b"r\xff\xff\xff\x0f",
        b"r\xff\xff\xff\xff",
        b"\x82\x01",
        b"\x8e" + b"\xff" * 8,
        b"\x8b\xff\xff\xff\x7f",
    ),
    *(b"\x93", b"\x94", b"\x95" + b"\xff" * 8, b"imade\nby\n", b"Pjunk\n", b"I01\n", b"p99999999999\n", b"."),
    *(TENSOR, STORAGE),
]


def test_forged_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally) -> None:
    """Programs of random instructions of pickle; the names that they call include dangerous ones."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    parts = (
        PARTS
        + [called(*name) for name in NAMES]
        + [called(*name) + b"(X\x04\x00\x00\x00evilKtR" for name in NAMES]
    )
    assert xpnn.load(io.BytesIO(archive(WHOLE)))["x"].shape == (3, 4)
    for number in range(TRIES):
        program = b"".join(parts[i] for i in rng.integers(len(parts), size=rng.integers(1, 12)))
        content = archive(b"\x80\x02" + program + b".")
        attack(lambda: xpnn.load(io.BytesIO(content)), (number, program))  # noqa: B023
    assert not os.listdir(tmp_path)
    tally("forged pickles of PyTorch's", TRIES, TRIES)


def test_a_number_that_makes_the_unpickler_take_gigabytes() -> None:
    with pytest.raises(CheckpointError, match="it numbers 268435455 values in"):
        xpnn.load(io.BytesIO(archive(b"\x80\x02Nr\xff\xff\xff\x0f.")))


def test_functions_of_the_reader_are_not_written_into() -> None:
    name = called("torch._utils", "_rebuild_tensor_v2")
    with pytest.raises(CheckpointError):
        xpnn.load(io.BytesIO(archive(b"\x80\x02" + name + b"}X\x04\x00\x00\x00evilK\x01sb.")))


def test_damaged_archives(tally: Tally) -> None:
    """Of the archive's bytes; of the pickle's and the numbers', under a sum that is right."""
    rng = np.random.default_rng(1)
    for number in range(TRIES):
        if number % 3 == 0:
            content = mutated(archive(WHOLE), rng)
        elif number % 3 == 1:
            content = archive(mutated(WHOLE, rng))
        else:
            content = archive(WHOLE, bytes(48)[: rng.integers(60)], f"a/data/{rng.integers(2)}")
        attack(lambda: xpnn.load(io.BytesIO(content)), number)  # noqa: B023
    tally("damaged archives of PyTorch's", TRIES, TRIES)


# configurations


SETTINGS = (
    b'data = "digits"\nmodel = "mlp"\nlr = 0.01\nepochs = 3\nbatch-size = 32\n[optimizer]\nname = "adam"\n'
)
ODD_VALUES = [
    *('"a', "[" * 2000, "{a = 1}", "1e999", "nan", "-inf", "9" * 5000, "0x", "[1, [2]]", "'\\u0000'", "true"),
    *('"\\ud800"', '"""\n"""', "1979-05-27", "12:00:00", "[]", '"\x1b[2J"', "{a = {b = {c = 1}}}", '""'),
]


def test_toml_files(tmp_path: Path, tally: Tally) -> None:
    """Bytes of a configuration are changed, its values replaced; what is read goes to a command's options."""
    rng = np.random.default_rng(2)
    path, read = tmp_path / "run.toml", 0

    def options() -> None:
        parser = argparse.ArgumentParser()
        for name, kind in {"data": str, "model": str, "lr": float, "epochs": int, "batch-size": int}.items():
            parser.add_argument(f"--{name}", type=kind)
        parser.add_argument("--augment", action="store_true")
        fill_in(parser.parse_args([]), parser, read_toml(path), path.name)

    for number in range(TRIES):
        lines = SETTINGS.split(b"\n")[:5]
        if number % 2:
            content = mutated(b"\n".join(lines), rng)
        else:
            key = lines[rng.integers(5)].partition(b" =")[0]
            content = key + b" = " + ODD_VALUES[rng.integers(len(ODD_VALUES))].encode("utf-8", "replace")
        path.write_bytes(content)
        read += attack(options, content)
    assert 10 < read < TRIES - 10
    tally("damaged TOML files", TRIES, TRIES)


# tables


TABLE = 'age,kind,"height, cm"\n1,a,2.5\n2,"b ""x""",3.5\n3,a,\n4,b,1e3\n5,a,7\n'
ODD_CELLS = [
    *(
        '"',
        '"open',
        'a"b',
        "\0",
        "\r",
        "\ufeff",
        "nan",
        "inf",
        "1e999",
        "x" * 200_000,
        "=1+1",
        "\x1b[2J",
        ",,,",
    ),
    *("\u2028", "\n\n", "١٢", "1_000", "0x10", "true", ";", "\t", "é"),
]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32")


def test_tables(tmp_path: Path, tally: Tally) -> None:
    """Quotes left open, other encodings, marks of byte order, huge cells, what is missing."""
    rng = np.random.default_rng(3)
    path, read = tmp_path / "table.csv", 0
    path.write_text(TABLE)
    assert TabularDataset(path, "kind").classes == ["a", "b", 'b "x"']

    def rows() -> None:
        table = TabularDataset(path, target)
        assert len(table[0]) == 2
        assert len(table) == len(table.tensors[1])

    for number in range(TRIES):
        target = ("kind", "height, cm", "age", "missing")[rng.integers(4)]
        if number % 3 == 0:
            content = mutated(TABLE.encode(), rng)
        else:
            cells = [line.split(",") for line in TABLE.split("\n")]
            line = cells[rng.integers(len(cells))]
            line[rng.integers(len(line))] = str(ODD_CELLS[rng.integers(len(ODD_CELLS))])
            text = "\n".join(map(",".join, cells))
            content = text.encode(ENCODINGS[rng.integers(len(ENCODINGS))], "replace")
        path.write_bytes(content)
        read += attack(rows, content[:200])
    assert 10 < read < TRIES - 10
    tally("damaged tables", TRIES, TRIES)


def test_what_a_table_of_another_encoding_says(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(TABLE.encode("utf-16"))
    with pytest.raises(DataError, match=r"table\.csv"):
        TabularDataset(path, "kind")
