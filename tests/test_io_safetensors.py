"""The safetensors reader and writer: against the reference package, on strided arrays, on damaged files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xpnn.autograd import Tensor
from xpnn.backend import CheckpointError, DTypeError, backend_of
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


def test_element_types_that_the_format_lacks(path):
    with pytest.raises(DTypeError, match="cannot write 'z': the format has no complex128"):
        save_file({"z": np.ones(2, np.complex128)}, path)
    assert not path.exists()
