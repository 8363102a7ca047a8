"""Files of `torch.save`: read as PyTorch wrote them, and never run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.backend import CheckpointError, XpnnError

torch = pytest.importorskip("torch")


def saved(obj: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file)
    file.seek(0)
    return file


def tensors() -> dict[str, Any]:
    a = torch.arange(12.0).reshape(3, 4)
    return {
        "plain": a,
        "double": a.double(),
        "transposed": a.T,
        "column": a[:, 1],
        "behind": a[1:],
        "expanded": torch.ones(1).expand(3),
        "0-d": torch.tensor(3.0),
        "empty": torch.zeros(0, 3),
        "bfloat16": a.bfloat16(),
        "half": a.half(),
        "complex": a.to(torch.complex64) * 1j,
        "booleans": torch.tensor([True, False]),
        "every second": a.long()[::2],
        "int8": a.to(torch.int8),
        "uint8": a.to(torch.uint8),
        "parameter": torch.nn.Parameter(a),
    }


@pytest.mark.parametrize("name", tensors())
def test_tensors(name: str) -> None:
    written = tensors()[name]
    read = xpnn.load(saved({"x": written}))["x"]
    expected = written.detach().float() if written.dtype == torch.bfloat16 else written.detach()
    assert read.numpy(force=True).dtype == expected.numpy().dtype
    np.testing.assert_array_equal(read.numpy(force=True), expected.numpy())
    assert read.requires_grad == written.requires_grad


def test_a_checkpoint(tmp_path: Path, backend: Any) -> None:
    """A model and its optimizer go on from where PyTorch left them."""
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    x = torch.randn(5, 3)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) ** 3).sum().backward()
        optimizer.step()
    path = tmp_path / "checkpoint.pth"
    state = {"epoch": 3, "net": net.state_dict(), "optimizer": optimizer.state_dict(), "best": (0.5, None)}
    torch.save(state, path)

    read = xpnn.load(path, map_location="cpu")
    assert (read["epoch"], read["best"]) == (3, (0.5, None))
    mine = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4))
    mine.load_state_dict(read["net"])
    other = xpnn.optim.Adam(mine.parameters(), lr=1.0)
    other.load_state_dict(read["optimizer"])
    optimizer.zero_grad()
    (net(x) ** 3).sum().backward()
    optimizer.step()
    (mine(xpnn.tensor(x.numpy())) ** 3).sum().backward()
    other.step()
    for (key, value), expected in zip(mine.state_dict().items(), net.state_dict().values(), strict=True):
        np.testing.assert_allclose(
            backend.numpy(value.detach()), expected.numpy(), rtol=1e-4, atol=1e-5, err_msg=key
        )


class Calls:
    def __reduce__(self) -> Any:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("what", ["module", "call", "number of NumPy", "function"])
def test_all_else_is_refused(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {
        "module": torch.nn.Linear(2, 2),
        "call": Calls(),
        "number of NumPy": np.float64(3),
        "function": print,
    }
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds more than Tensors, dicts and lists: .*state_dict"):
        xpnn.load(saved({"x": objects[what]}))
    assert not os.listdir(tmp_path)


def test_the_form_before_zip_archives() -> None:
    file = io.BytesIO()
    torch.save({"x": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    with pytest.raises(CheckpointError, match=r"is a pickle.*torch\.save\(torch\.load"):
        xpnn.load(file)


def test_damaged_files() -> None:
    """300 changes of bytes, and 100 cuts: an error that says so, or a checksum of the archive's own."""
    good = saved({"x": torch.arange(64.0), "y": [1, {"z": torch.ones(3, 2)}]}).getvalue()
    rng = np.random.default_rng(0)
    damaged = []
    for _ in range(300):
        data = bytearray(good)
        data[rng.integers(4, len(data))] ^= 1 << rng.integers(8)
        damaged.append(bytes(data))
    damaged += [good[: rng.integers(4, len(good))] for _ in range(100)]
    expected = xpnn.load(io.BytesIO(good))
    for data in damaged:
        try:
            found = xpnn.load(io.BytesIO(data))
        except XpnnError:
            continue
        # of what does not matter: dates, padding, names of a system
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((5,), (1,), 0),
        ((2,), (4,), 0),
        ((1,), (1,), 4),
        ((2**40,), (0,), 0),
        ((-1,), (1,), 0),
        ((2, 2), (1,), 0),
    ],
)
def test_forged_sizes(size: Any, stride: Any, offset: int) -> None:
    """A Tensor that would show memory beyond its storage."""
    good = saved(torch.arange(4.0))
    forged = io.BytesIO()
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(forged, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("data.pkl"):
                data = forged_pickle(size, stride, offset)
            target.writestr(entry, data)
    with pytest.raises(CheckpointError, match="damaged"):
        xpnn.load(io.BytesIO(forged.getvalue()))


def forged_pickle(size: Any, stride: Any, offset: int) -> bytes:
    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (STORAGE, offset, size, stride, False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if obj is STORAGE else None

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(Tensor())
    return file.getvalue()


STORAGE = object()
