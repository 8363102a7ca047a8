"""The safetensors reader and writer: against the reference package, on strided arrays, on damaged files."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError, DTypeError, backend_of
from xpnn.io import load_file, read_safetensors, save_file

ARRAYS = {
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "reversed": np.arange(5)[::-1],
    "strided": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2],
    "scalar": np.full((), 3, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "big endian": np.arange(3, dtype=">i4"),
    "half": np.linspace(0, 1, 7).astype(np.float16),
    "mask": np.array([True, False, True]),
    'name with ünïcode and "quotes"': np.arange(3, dtype=np.uint8),
    **{
        f"integers {name}": np.array([1, 2, 3], name)
        for name in ("int8", "int16", "uint16", "uint32", "uint64")
    },
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.safetensors"


def raw_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(dtype="F32", shape=(2,), start=0, stop=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def test_round_trip(path):
    save_file(ARRAYS, path, metadata={"key": "value"})
    arrays, metadata = read_safetensors(path)
    assert metadata == {"key": "value"}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype.newbyteorder("=")
        assert arrays[name].shape == array.shape
        assert np.array_equal(arrays[name], array)
        assert arrays[name].flags.writeable
        assert arrays[name].flags.aligned


def test_round_trip_on_each_backend(path, backend):
    array = backend.array(np.arange(6, dtype=np.float32).reshape(2, 3))
    save_file({"raw": array, "tensor": Tensor(array)}, path)
    for loaded in load_file(path).values():
        assert backend_of(loaded).name == backend.backend
        assert np.array_equal(backend.numpy(loaded), backend.numpy(array))


def test_the_reference_package_reads_what_we_write(path):
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {name: array for name, array in ARRAYS.items() if name != "big endian"}
    save_file(arrays, path, metadata={"key": "value"})
    for name, array in reference.load_file(path).items():
        assert array.shape == ARRAYS[name].shape
        assert np.array_equal(array, ARRAYS[name])


def test_we_read_what_the_reference_package_writes(path):
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items() if name != "big endian"}
    reference.save_file(arrays, path, metadata={"key": "value"})
    found, metadata = read_safetensors(path)
    assert metadata == {"key": "value"}
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)


def test_bfloat16_is_read_as_float32(path):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    values = torch.tensor([1.5, -2.25, 1e30, float("inf")], dtype=torch.bfloat16)
    reference.save_file({"x": values}, path)
    array = load_file(path)["x"]
    assert array.dtype == np.float32
    assert np.array_equal(array, values.float().numpy())


def test_no_array_at_all(path):
    save_file({}, path)
    assert read_safetensors(path) == ({}, {})


def test_every_cut_is_noticed(path):
    save_file({"a": np.arange(3.0), "b": np.ones(2, np.float32)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(
            CheckpointError, match=rf"arrays.safetensors' is cut short: it has {length} bytes"
        ):
            load_file(path)


@pytest.mark.parametrize(
    ("message", "header", "data"),
    [
        ("header is not JSON", b"{nonsense", b""),
        ("header is not a JSON object", [1], b""),
        ("a name occurs twice", b'{"a": 1, "a": 2}', b""),
        ("describes 'a' as", {"a": {"dtype": "F32"}}, b""),
        ("describes 'a' as", {"a": entry(shape=(-2,))}, bytes(8)),
        ("describes 'a' as", {"a": entry(start=-8, stop=0)}, bytes(8)),
        ("describes 'a' as", {"a": {**entry(), "shape": "ab"}}, bytes(8)),
        ("describes 'a' as", {"a": {**entry(), "shape": {}}}, bytes(4)),
        ("describes 'a' as", {"a": entry(shape=(True, 2))}, bytes(8)),
        ("describes 'a' as", {"a": entry(shape=(1,) * 65, stop=4)}, bytes(4)),
        ("describes 'a' as", {"a": entry(shape=(10**30,), stop=4 * 10**30)}, bytes(8)),
        ("describes 'a' as", {"a": {**entry(), "dtype": ["F32"]}}, bytes(8)),
        ("describes 'a' as", {"a": [[[[[[[[[[1]]]]]]]]]]}, bytes(8)),
        ("describes 'a' as of shape", {"a": entry(shape=(0, 2**40, 2**40), stop=0)}, b""),
        ("metadata are not strings", {"__metadata__": {"epoch": 3}}, b""),
        ("metadata are not strings", {"__metadata__": ["epoch"]}, b""),
        (r"nested too deeply", b'{"a":' + b"[" * 100_000, b""),
        ("needs 8 bytes and has 7", {"a": entry(stop=7)}, bytes(8)),
        ("element type 'F8_E4M3', which is not supported", {"a": entry("F8_E4M3")}, bytes(8)),
        ("starts at byte 4 of the data, expected 0", {"a": entry(start=4, stop=12)}, bytes(12)),
        ("starts at byte 0 of the data, expected 8", {"a": entry(), "b": entry()}, bytes(8)),
        ("its header describes", {"a": entry()}, bytes(9)),
    ],
)
def test_damaged_files(path, message, header, data):
    raw_file(path, header, data)
    with pytest.raises(CheckpointError, match=message):
        load_file(path)


def test_other_files(path, tmp_path):
    path.write_bytes(b"PK\x03\x04 a zip file, as pickled checkpoints are")
    with pytest.raises(CheckpointError, match="header length of"):
        load_file(path)
    with pytest.raises(CheckpointError, match=r"does not exist; the folder has arrays\.safetensors"):
        load_file(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="neither does the folder"):
        load_file(tmp_path / "missing" / "missing")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe", "/dev/full"):
        with pytest.raises(CheckpointError, match="is no file"):
            load_file(tmp_path / name)


def test_changed_bits_are_noticed(path):
    """In the data and in the header, the name of the digest included."""
    arrays = {"a": np.arange(3.0), "ä": np.ones(2, np.float16), "c": np.zeros((2, 0), bool)}
    save_file(arrays, path, metadata={"key": "value"})
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in {at % 8, 7 * at % 8}:
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(CheckpointError):
                load_file(path)


def test_the_digest_is_of_the_contents(path):
    """Another program that writes the same arrays and metadata in its own way leaves a file that loads."""
    save_file({"a": np.arange(3.0), "b": np.ones(2)}, path, metadata={"key": "value"})
    content = path.read_bytes()
    at = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:at]), content[at:]
    turned = dict(reversed(header.items()))
    turned["a"]["data_offsets"], turned["b"]["data_offsets"] = [16, 40], [0, 16]
    raw_file(path, json.dumps(turned, indent=1).encode(), data[24:] + data[:24])
    arrays, metadata = read_safetensors(path)
    assert metadata == {"key": "value"}
    assert arrays["a"].tolist() == [0, 1, 2]
    turned["a"]["data_offsets"], turned["b"]["data_offsets"] = [0, 24], [24, 40]
    raw_file(path, turned, data[24:] + data[:24])  # swapped
    with pytest.raises(CheckpointError, match="do not have the digest"):
        load_file(path)
    del header["__metadata__"]["xpnn_digest"]
    raw_file(path, header, bytes(40))  # nothing to compare with
    assert read_safetensors(path)[1] == {"key": "value"}


class Trickle(io.BytesIO):
    """A file that gives one byte at a time, and ends before it should."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:1])


def test_short_reads(path, monkeypatch):
    save_file({"a": np.arange(3.0)}, path)
    content = path.read_bytes()
    size = os.stat(path)

    def opened(data):
        monkeypatch.setattr("builtins.open", lambda *args: Trickle(data))
        monkeypatch.setattr(os, "fstat", lambda descriptor: size)
        monkeypatch.setattr(Trickle, "fileno", lambda self: 0)
        try:
            return load_file(path)
        finally:
            monkeypatch.undo()

    assert opened(content)["a"].tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError, match="cut short"):
        opened(content[:-1])


def test_messages_are_short_and_clean(path):
    name = "\x1b[2Jevil\r" + "long" * 100_000
    raw_file(path, {name: entry(stop=7)}, bytes(7))
    with pytest.raises(CheckpointError) as caught:
        load_file(path)
    assert len(str(caught.value)) < 3000
    assert str(caught.value).isprintable()
    assert "\\x1b[2Jevil\\r" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "arrays", "metadata", "message"),
    [
        (DTypeError, {}, {"epoch": 3}, "expects strings as metadata, got 3 for 'epoch'"),
        (DTypeError, {}, {3: "epoch"}, "expects strings as metadata"),
        (DTypeError, {}, ["epoch"], "expects metadata by name, got list"),
        (DTypeError, [np.zeros(1)], {}, "expects arrays by name, got list"),
        (DTypeError, {3: np.zeros(1)}, {}, "expects strings as names, got 3"),
        (ArgumentError, {"__metadata__": np.zeros(1)}, {}, "an array of the name '__metadata__'"),
        (ArgumentError, {"\udc80": np.zeros(1)}, {}, r"cannot write '\\udc80'"),
        (ArgumentError, {}, {"name": "\udc80"}, r"cannot write '\\udc80'"),
    ],
)
def test_what_the_format_does_not_allow(path, error, arrays, metadata, message):
    with pytest.raises(error, match=message):
        save_file(arrays, path, metadata)
    assert not path.exists()


def test_element_types_that_the_format_lacks(path):
    with pytest.raises(DTypeError, match="cannot write 'z': the format has no complex128"):
        save_file({"z": np.ones(2, np.complex128)}, path)
    assert not path.exists()
