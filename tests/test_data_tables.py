"""Tables, CIFAR and downloads, samplers by class and padded batches: against loops and files made here."""

from __future__ import annotations

import csv
import functools
import hashlib
import http.server
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import xpnn
from xpnn.backend import ArgumentError, DataError, ShapeError
from xpnn.data import (
    CIFAR10,
    CIFAR100,
    DataLoader,
    ImageFolder,
    PadCollate,
    StratifiedSampler,
    TabularDataset,
)
from xpnn.data.download import download_file

ROWS = [
    ["size", "town", "code", "price", "kind"],
    ["1.0", "Bonn", "1", "10", "old"],
    ["", "Ulm", "2", "20", "new"],
    ["3.0", "Bonn", "10", "30", "old"],
    ["5.0", "NA", "2", "?", "new"],
    ["7.0", "Trier", "1", "50", "?"],
]


def table(folder: Path, rows: list = ROWS, name: str = "table.csv", delimiter: str = ",") -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def features(dataset: TabularDataset) -> np.ndarray:
    return dataset.tensors[0].numpy()


def test_a_table_of_numbers_and_categories(tmp_path: Path) -> None:
    rows = TabularDataset(table(tmp_path), "price", categories=["code"])
    assert rows.task == "regression"
    assert rows.dropped == 1
    assert rows.feature_names == [
        *("size", "size is missing", "town=Bonn", "town=Trier", "town=Ulm"),
        *("code=1", "code=2", "code=10", "kind=missing", "kind=new", "kind=old"),
    ]
    size = np.array([1, 11 / 3, 3, 7])
    size = (size - 11 / 3) / np.std([1, 3, 7])
    np.testing.assert_allclose(features(rows)[:, 0], size, atol=1e-6)
    assert features(rows)[:, 1].tolist() == [0, 1, 0, 0]
    assert features(rows)[:, 2:].tolist() == [
        [1, 0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 1, 0, 0, 1, 0],
        [1, 0, 0, 0, 0, 1, 0, 0, 1], [0, 1, 0, 1, 0, 0, 1, 0, 0],
    ]  # fmt: skip
    assert rows.tensors[1].tolist() == [[10], [20], [30], [50]]
    (batch,) = DataLoader(rows, batch_size=9)
    assert [part.numpy().dtype for part in batch] == [np.float32, np.float32]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "\t")])
def test_classes_and_the_test_part(tmp_path: Path, name: str, delimiter: str) -> None:
    train = TabularDataset(table(tmp_path, name=name, delimiter=delimiter), "kind", drop=["code"])
    assert train.classes == ["new", "old"]
    assert train.tensors[1].tolist() == [1, 0, 1, 0]
    rows = [["size", "town", "kind", "other"], ["3", "Kiel", "new", "x"], ["-", "Ulm", "old", "y"]]
    rows[2][0] = "nan"
    rows[0].append("price")
    rows[1].append("30")
    rows[2].append("n/a")
    test = TabularDataset(table(tmp_path, rows, "test.csv"), like=train)
    assert test.feature_names == train.feature_names
    assert test.tensors[1].tolist() == [0, 1]
    mean, std = np.mean([1, 3, 5]), np.std([1, 3, 5])
    np.testing.assert_allclose(features(test)[:, 0], [(3 - mean) / std, 0], atol=1e-6)
    towns = [k for k, feature in enumerate(train.feature_names) if feature.startswith("town")]
    assert features(test)[0, towns].tolist() == [0] * len(towns)  # never seen
    bad = table(tmp_path, [["size", "town", "kind", "price"], ["1", "Ulm", "huge", "1"]], "bad.csv")
    with pytest.raises(DataError, match="'huge' that is none of the classes new, old"):
        TabularDataset(bad, like=train)
    with pytest.raises(ArgumentError, match="no column 'town'"):
        TabularDataset({"size": [1.0], "kind": ["new"], "price": [3]}, like=train)


def test_npz_and_columns_in_memory(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(50, 3))
    y = np.arange(50) % 4
    np.savez(tmp_path / "data.npz", x=x, y=y)
    rows = TabularDataset(tmp_path / "data.npz", "y", task="classification")
    assert rows.feature_names == ["x[0]", "x[1]", "x[2]"]
    np.testing.assert_allclose(features(rows), (x - x.mean(0)) / x.std(0), atol=1e-5)
    assert rows.tensors[1].numpy().dtype == np.int64
    assert rows.classes == ["0", "1", "2", "3"]
    plain = TabularDataset({"a": x[:, 0], "b": xpnn.as_tensor(y)}, standardize=False)
    np.testing.assert_allclose(features(plain)[:, 0], x[:, 0], rtol=1e-5)
    assert len(plain[0]) == 1
    constant = TabularDataset({"a": [2.0, 2.0], "gone": [None, None]})
    assert features(constant).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_a_split_is_standardised_by_its_first_part() -> None:
    values: list[Any] = np.random.default_rng(1).normal(10, 5, size=60).tolist()
    values[3] = None
    rows = TabularDataset({"a": values, "kind": ["u", "v"] * 30, "y": values[::-1]}, "y")
    train, test = rows.split(0.5, seed=3)
    assert len(train) + len(test) == len(rows) == 59
    part = np.stack([train[k][0].numpy() for k in range(len(train))])
    there = part[part[:, 1] == 0, 0]
    np.testing.assert_allclose([there.mean(), there.std()], [0, 1], atol=1e-6)
    assert set(part[:, 2:].ravel().tolist()) == {0, 1}
    other = np.stack([test[k][0].numpy() for k in range(len(test))])[:, 0]
    assert abs(other.mean()) > 1e-3
    with pytest.raises(ArgumentError, match="leaves samples in both parts"):
        rows.split(1.0)


def test_tables_that_are_none(tmp_path: Path) -> None:
    for rows, message in (
        ([["a", "b"], ["1"]], "1 cells in line 2, and 2 in its heading"),
        ([["a", "a"], ["1", "2"]], "two columns 'a'"),
        ([[]], "no row below its heading"),
        ([["a", "b"]], "no row below its heading"),
        ([["a", "b"], ["1", "?"]], "no rows of features with a target"),
    ):
        with pytest.raises(DataError, match=message):
            TabularDataset(table(tmp_path, rows), "b" if rows[0] == ["a", "b"] else None)
    with pytest.raises(DataError, match="there is no table"):
        TabularDataset(tmp_path / "absent.csv")
    (tmp_path / "torn.npz").write_bytes(b"PK\3\4 torn")
    with pytest.raises(DataError, match="NPZ"):
        TabularDataset(tmp_path / "torn.npz")
    (tmp_path / "latin.csv").write_bytes("näme\n1\n".encode("latin1"))
    with pytest.raises(DataError, match="UTF-8"):
        TabularDataset(tmp_path / "latin.csv")
    with pytest.raises(ShapeError, match="one length"):
        TabularDataset({"a": [1], "b": [1, 2]})
    with pytest.raises(ArgumentError, match="no column 'price'; it has a"):
        TabularDataset({"a": [1]}, "price")
    with pytest.raises(DataError, match="numbers in the target column 'b'"):
        TabularDataset({"a": [1], "b": ["x"]}, "b", task="regression")
    with pytest.raises(ArgumentError, match="task as"):
        TabularDataset({"a": [1]}, task="ranking")


# --- CIFAR and downloads ---


def cifar(folder: Path, kind: type = CIFAR10, count: int = 4) -> type:
    """A small set in the original files, and its class with the checksums of those."""
    rng = np.random.default_rng(0)
    inside = folder / kind.base_folder
    inside.mkdir(parents=True)
    labels = 10 if kind is CIFAR10 else 100

    def write(name: str, values: dict) -> str:
        content = pickle.dumps(values, protocol=2)
        (inside / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()

    def batch(name: str) -> str:
        images = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        return write(name, {"data": images, kind.labels_key: rng.integers(labels, size=count).tolist()})

    class Small(kind):
        train_list: ClassVar = {name: batch(name) for name in kind.train_list}
        test_list: ClassVar = {name: batch(name) for name in kind.test_list}
        meta = (
            kind.meta[0],
            kind.meta[1],
            write(kind.meta[0], {kind.meta[1]: [f"c{k}" for k in range(labels)]}),
        )

    with tarfile.open(folder / kind.filename, "w:gz") as archive:
        archive.add(inside, kind.base_folder)
    Small.checksum = "md5:" + hashlib.md5((folder / kind.filename).read_bytes()).hexdigest()
    return Small


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_cifar_from_its_files_and_archive(tmp_path: Path, kind: type) -> None:
    small = cifar(tmp_path, kind)
    batches = 5 if kind is CIFAR10 else 1
    train, test = small(tmp_path), small(tmp_path, train=False)
    assert (len(train), len(test)) == (4 * batches, 4)
    assert train.data.shape == (4 * batches, 3, 32, 32)
    first = pickle.loads((tmp_path / kind.base_folder / next(iter(small.train_list))).read_bytes())
    np.testing.assert_array_equal(train[1][0].reshape(-1), first["data"][1])
    assert train[1][1] == first[kind.labels_key][1]
    assert train.class_to_idx["c3"] == 3
    packed = tmp_path / "packed"
    packed.mkdir()
    (tmp_path / kind.filename).rename(packed / kind.filename)
    np.testing.assert_array_equal(small(packed).data, train.data)
    fetched = small
    fetched.mirrors = [packed.as_uri() + "/"]
    pytest.importorskip("pooch")
    np.testing.assert_array_equal(fetched(tmp_path / "new", download=True).data, train.data)
    name = next(iter(small.test_list))
    damaged = (tmp_path / kind.base_folder / name).read_bytes()
    (tmp_path / kind.base_folder / name).write_bytes(damaged[:-1] + b"!")
    with pytest.raises(DataError, match=rf"original {name} with the MD5 checksum"):
        small(tmp_path, train=False)
    with pytest.raises(DataError, match=r"finds no cifar-.*download=True"):
        small(tmp_path / "absent")
    (packed / kind.filename).write_bytes((packed / kind.filename).read_bytes()[:200])
    with pytest.raises(DataError, match="cannot read"):
        small(packed)


def test_a_forged_cifar_file_runs_nothing(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> Any:
            return print, ("it ran",)

    small = cifar(tmp_path)
    content = pickle.dumps(Forged())
    (tmp_path / small.base_folder / "test_batch").write_bytes(content)
    small.test_list = {"test_batch": hashlib.md5(content).hexdigest()}
    with pytest.raises(DataError, match="print is not what such a file holds"):
        small(tmp_path, train=False)


def test_checksums_of_the_known_files() -> None:
    for kind in (CIFAR10, CIFAR100):
        sums = [*kind.train_list.values(), *kind.test_list.values(), kind.meta[2], kind.checksum[4:]]
        assert all(len(value) == 32 for value in sums)


CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list]]:
    """A server of CONTENT that knows ranges, and breaks off the first answer; with what it was asked for."""
    asked: list = []

    class Breaking(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            asked.append(wanted)
            start = int(wanted[6:-1]) if wanted else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            body = CONTENT[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:5000] if len(asked) == 1 else body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Breaking)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()
        thread.join()


def test_a_broken_download_goes_on(tmp_path: Path, server: tuple[str, list]) -> None:
    pytest.importorskip("pooch")
    address, asked = server
    checksum = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(DataError, match=r"cannot be downloaded.*broke off after 5000 of 10240"):
        download_file("file", checksum, [address], tmp_path)
    assert (tmp_path / "file.part").stat().st_size == 5000
    path = download_file("file", checksum, [address], tmp_path)
    assert path.read_bytes() == CONTENT
    assert asked == [None, "bytes=5000-"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    path.unlink()
    (tmp_path / "file.part").write_bytes(b"of another file")
    assert download_file("file", checksum, [address], tmp_path).read_bytes() == CONTENT
    assert asked[2:] == ["bytes=15-", None]
    path.write_bytes(b"damaged on disk")
    assert download_file("file", checksum, [address], tmp_path).read_bytes() == CONTENT
    count = len(asked)
    assert download_file("file", checksum, [address], tmp_path).read_bytes() == CONTENT
    assert len(asked) == count  # it was the right one


# --- folders as dicts, samplers, padding ---


def test_image_folders_as_dicts(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        pillow.new("RGB", (4, 3), (number, 0, 0)).save(tmp_path / name / "a.png")
    (batch,) = DataLoader(ImageFolder(tmp_path, as_dict=True, transform=xpnn.data.ToFloat()), batch_size=2)
    assert list(batch) == ["image", "label"]
    assert batch["image"].shape == (2, 3, 3, 4)
    assert batch["label"].tolist() == [0, 1]


def test_stratified_sampler() -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    sampler = StratifiedSampler(labels, seed=0)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    for order in (first, second):
        for start in range(0, 100, 20):
            counts = np.bincount(labels[order[start : start + 20]], minlength=3)
            assert (np.abs(counts - [12, 6, 2]) < 2).all()
    assert list(StratifiedSampler(xpnn.tensor(labels), seed=0)) == first
    assert sorted(StratifiedSampler(["a", "b", "a"], seed=1)) == [0, 1, 2]
    loader = DataLoader(
        xpnn.data.TensorDataset(labels), batch_size=10, sampler=StratifiedSampler(labels, seed=0)
    )
    passing = iter(loader)
    begun = [next(passing)[0].tolist() for _ in range(3)]
    state = loader.state_dict()
    rest = [batch[0].tolist() for batch in passing]
    again = DataLoader(
        xpnn.data.TensorDataset(labels), batch_size=10, sampler=StratifiedSampler(labels, seed=7)
    )
    again.load_state_dict(state)
    assert [batch[0].tolist() for batch in again] == rest
    assert begun
    with pytest.raises(ArgumentError, match=r"labels \(n,\)"):
        StratifiedSampler(np.zeros((2, 2)))


def test_ragged_sequences_are_padded() -> None:
    torch = pytest.importorskip("torch")
    sequences = [np.arange(2.0 * n).reshape(n, 2).astype(np.float32) for n in (3, 1, 4)]
    pad = torch.nn.utils.rnn.pad_sequence
    for batch_first in (True, False):
        expected = pad([torch.from_numpy(s) for s in sequences], batch_first, padding_value=-1.0)
        mine, counts = PadCollate(-1.0, batch_first, lengths=True)(sequences)
        np.testing.assert_array_equal(mine.numpy(), expected.numpy())
        assert counts.tolist() == [3, 1, 4]
    samples = [
        {"x": (sequences[k], np.arange(n)), "y": k, "name": f"n{k}", "same": np.zeros(2)}
        for k, n in enumerate((2, 5, 1))
    ]
    batch = next(iter(DataLoader(samples, batch_size=3, collate_fn=PadCollate())))
    assert batch["x"][0].shape == (3, 4, 2)
    assert batch["x"][1].tolist() == [[0, 1, 0, 0, 0], [0, 1, 2, 3, 4], [0, 0, 0, 0, 0]]
    assert batch["y"].tolist() == [0, 1, 2]
    assert batch["name"] == ["n0", "n1", "n2"]
    assert batch["same"].shape == (3, 2)
    with pytest.raises(ShapeError, match="shapes after the first axis"):
        PadCollate()([np.zeros((1, 2)), np.zeros((2, 3))])
    with pytest.raises(ShapeError, match="equal keys"):
        PadCollate()([{"a": 1}, {"b": 1}])
