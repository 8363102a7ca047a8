"""`xpnn.save` and `xpnn.load`: whatever programs put into a checkpoint, and nothing that could run."""

from __future__ import annotations

import argparse
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn, optim
from xpnn.backend import CheckpointError, DTypeError, dtype_name, to_numpy
from xpnn.io import load_file, save_checkpoint


def roundtrip(value: Any) -> Any:
    file = io.BytesIO()
    xpnn.save(value, file)
    file.seek(0)
    return xpnn.load(file)


def test_a_training_run_goes_on(backend: Target, tmp_path: Path) -> None:
    def build() -> tuple[Any, Any]:
        xpnn.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        return model, optim.Adam(model.parameters(), lr=0.01)

    def step(model: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        (model(xpnn.randn(5, 3)) ** 2).mean().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer)
    path = tmp_path / "checkpoint.pt"
    state = {
        "epoch": 3,
        "model": model.state_dict(),
        "opt": optimizer.state_dict(),
        "rng": xpnn.get_rng_state(),
    }
    xpnn.save(state, path)
    step(model, optimizer)

    again, other = build()
    loaded = xpnn.load(str(path), map_location="cpu" if backend.device is None else None, weights_only=True)
    again.load_state_dict(loaded["model"])
    other.load_state_dict(loaded["opt"])
    xpnn.set_rng_state(loaded["rng"])
    step(again, other)
    assert loaded["epoch"] == 3
    for mine, its in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(to_numpy(mine.detach()), to_numpy(its.detach()))


@pytest.mark.parametrize(
    "value",
    [
        {"epoch": 3, "best": 0.5, "name": "run", "none": None, "flag": True},
        [1, 2.5, "a", [], {}, ()],
        (1, (2, [3])),
        {0: {"step": 1}, "a": 2, (1, 2): 3},
        {"$type": "tuple"},
        OrderedDict([("b", 1), ("a", 2)]),
        {"inf": float("inf"), "big": 2**70, "complex": 1 + 2j, "bytes": b"\x00\xff", "set": {1, 2}},
        {"dtype": xpnn.float16, "device": xpnn.device("cuda:1")},
        argparse.Namespace(lr=0.1, layers=[1, 2], inner=argparse.Namespace(name="run")),
        7,
    ],
)
def test_structures_come_back(value: Any) -> None:
    loaded = roundtrip(value)
    assert loaded == value
    assert type(loaded) is type(value)


def test_keys_that_are_no_strings_stay_what_they_are() -> None:
    loaded = roundtrip({0: "int", 1.5: "float", None: "none"})
    assert [type(key) for key in loaded] == [int, float, type(None)]


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", "complex64", "complex128"]
)
def test_element_types_and_shapes_come_back(dtype: str) -> None:
    for shape in [(), (0, 2), (3,), (2, 3)]:
        values = np.ones(shape).astype(dtype)
        loaded = roundtrip([xpnn.tensor(values), values])
        assert isinstance(loaded[0], xpnn.Tensor)
        assert isinstance(loaded[1], np.ndarray)
        for one in loaded:
            assert dtype_name(one.dtype) == dtype
            np.testing.assert_array_equal(to_numpy(one), values)


def test_bfloat16_comes_back() -> None:
    pytest.importorskip("torch")
    with xpnn.use_backend("torch"):
        assert dtype_name(roundtrip(xpnn.ones(2, dtype="bfloat16")).dtype) == "bfloat16"


def test_strides_and_gradients_and_sharing() -> None:
    x = xpnn.arange(6, dtype="float32").reshape(2, 3)
    weight = xpnn.ones(2, requires_grad=True)
    loaded = roundtrip({"t": x.T, "one": weight, "other": [weight], "taped": weight * 2})
    assert loaded["t"].tolist() == x.T.tolist()
    assert loaded["one"] is loaded["other"][0]
    assert loaded["one"].requires_grad
    assert not loaded["taped"].requires_grad


def test_a_state_dict_is_a_safetensors_file(tmp_path: Path) -> None:
    model, path = nn.Linear(2, 3), tmp_path / "model.safetensors"
    xpnn.save(model.state_dict(), path)
    assert set(load_file(path)) == {"weight", "bias"}
    safetensors = pytest.importorskip("safetensors.numpy")
    assert set(safetensors.load_file(path)) == {"weight", "bias"}


def test_other_programs_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    xpnn.io.save_file({"w": np.ones(2, np.float32)}, path)
    assert xpnn.load(path)["w"].tolist() == [1.0, 1.0]
    save_checkpoint(path, model=nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="load_checkpoint"):
        xpnn.load(path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (nn.Linear(1, 1), r"state_dict\(\)"),
        ({"model": nn.Linear(1, 1)}, r"'model'.*state_dict\(\)"),
        ({"f": [print]}, "'f.0'"),
        ([xpnn.float32, object()], "object"),
    ],
)
def test_objects_are_refused(value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match=words):
        xpnn.save(value, tmp_path / "x.pt")
    assert [*tmp_path.iterdir()] == []


def test_cycles_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DTypeError, match="too deeply"):
        roundtrip(endless)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    for file in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(CheckpointError, match="is a pickle"):
            xpnn.load(file)
    for kind in (CheckpointError, FileNotFoundError):
        with pytest.raises(kind, match="does not exist"):
            xpnn.load(tmp_path / "none.pt")


def test_damage_is_found(tmp_path: Path) -> None:
    file = io.BytesIO()
    xpnn.save({"w": xpnn.ones(4), "step": (1, 2)}, file)
    whole = file.getvalue()
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 0x10
        with pytest.raises(CheckpointError):
            xpnn.load(io.BytesIO(bytes(changed)))
    with pytest.raises(CheckpointError, match="cut short"):
        xpnn.load(io.BytesIO(whole[:-1]))


FORGED = [
    *('{"$type":"tensor","name":"x"}', '{"$type":"odd","items":[]}', '{"$type":["tuple"]}'),
    *('{"$type":"bytes"}', '{"$type":"dict","items":[1]}', '{"$type":"set","items":[[]]}'),
    *('{"$type":"DType","value":"q"}', "[" * 300, "{"),
]


@pytest.mark.parametrize("structure", FORGED)
def test_forged_structures_are_refused(structure: str, tmp_path: Path) -> None:
    path = tmp_path / "forged.pt"
    xpnn.io.save_file({"w": np.ones(2)}, path, metadata={"xpnn_saved": structure})
    with pytest.raises(CheckpointError, match="damaged"):
        xpnn.load(path)


def test_map_location() -> None:
    for place in (None, "cpu", xpnn.device("cpu"), lambda storage, location: storage, {"cuda:0": "cpu"}):
        file = io.BytesIO()
        xpnn.save(xpnn.ones(2), file)
        file.seek(0)
        assert xpnn.load(file, map_location=place).tolist() == [1.0, 1.0]
