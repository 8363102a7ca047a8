"""Checkpoints are damaged, forged and exchanged: each is refused, and every object is as it was before.

Refused means CheckpointError, with a short, printable message. A forgery can also be a sound checkpoint of
another run, which nobody can tell; then the run must go on with it.
"""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import CheckpointError, random
from xpnn.data import DataLoader, TensorDataset
from xpnn.io import load_checkpoint, read_checkpoint, read_safetensors, save_checkpoint, save_file
from xpnn.io.safetensors import digest_of
from xpnn.train import EarlyStopping, Trainer

Tally = Callable[[str, int, int], None]
RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.standard_normal((12, 3)).astype(np.float32), RNG.integers(0, 2, 12)
TRIES = 300


class Run:
    """All that a checkpoint can hold, after some epochs."""

    def __init__(self, seed: int = 0, epochs: int = 0) -> None:
        xpnn.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        optimizer = optim.AdamW(
            [{"params": model[0].parameters(), "lr": 0.1}, {"params": [*model[1].parameters()]}], lr=0.05
        )
        self.loader = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=3, shuffle=True)
        self.trainer = Trainer(
            model,
            optimizer,
            scheduler=optim.CosineAnnealingLR(optimizer, 20),
            callbacks=[EarlyStopping(patience=20)],
            progress=False,
        )
        if epochs:
            self.trainer.fit(self.loader, epochs=epochs)
        self.objects = {
            "model": model,
            "optimizer": optimizer,
            "scheduler": self.trainer.scheduler,
            "loader": self.loader,
            "trainer": self.trainer,
        }

    def state(self) -> str:
        """Everything, to the last bit, as text."""
        states = {name: target.state_dict() for name, target in self.objects.items()}
        return json.dumps([states, random.state_dict()], default=_as_text, sort_keys=True)


def _as_text(value: Any) -> Any:
    array = np.asarray(value.array if hasattr(value, "array") else value)
    return [str(array.dtype), array.shape, array.tobytes().hex()]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "last.safetensors"
    save_checkpoint(path, config={"model": "mlp"}, extra={"note": [1, "two"]}, **Run(epochs=2).objects)
    return path.read_bytes()


class Victim:
    """A run that damaged files are loaded into."""

    def __init__(self, path: Path, saved: bytes) -> None:
        self.path = path
        self.run = Run(seed=1, epochs=1)
        self.before = self.run.state()
        self.saved = self.meaning(saved)
        self.tried = self.survived = 0

    def meaning(self, content: bytes) -> str:
        self.path.write_bytes(content)
        found = {**vars(read_checkpoint(self.path)), "verified": None}
        return json.dumps(found, default=_as_text, sort_keys=True)

    def attack(self, content: bytes, what: object, may_be_sound: bool = False) -> None:
        self.tried += 1
        self.path.write_bytes(content)
        try:
            load_checkpoint(self.path, random=True, **self.run.objects)
        except CheckpointError as error:
            text = str(error)
            assert len(text) < 5000, what
            assert all(line.isprintable() for line in text.split("\n")), what
            assert self.run.state() == self.before, f"{what}: something was changed"
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__} {error}") from error
        else:
            assert may_be_sound or self.meaning(content) == self.saved, f"{what} was not noticed"
            self.go_on(what)
            self.run = Run(seed=1, epochs=1)
            assert self.run.state() == self.before
        self.survived += 1

    def go_on(self, what: object) -> None:
        """Another epoch works, or ends in an error that says what is the matter."""
        trainer = self.run.trainer
        try:
            trainer.fit(self.run.loader, epochs=1)
        except xpnn.XpnnError:
            pass
        except Exception as error:
            raise AssertionError(f"accepted {what}, then: {type(error).__name__} {error}") from error


@pytest.fixture
def victim(tmp_path: Path, saved: bytes) -> Victim:
    return Victim(tmp_path / "last.safetensors", saved)


def take_apart(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header, the checkpoint's part of its metadata, and the data."""
    at = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:at])
    return header, json.loads(header["__metadata__"]["xpnn_checkpoint"]), content[at:]


def put_together(header: Any, checkpoint: Any, data: bytes) -> bytes:
    if checkpoint is not None:
        header = {**header, "__metadata__": {**header["__metadata__"]}}
        header["__metadata__"]["xpnn_checkpoint"] = json.dumps(checkpoint)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def unsigned(header: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """As a forger leaves them who knows that files without digests are read."""
    header["__metadata__"].pop("xpnn_digest", None)
    checkpoint.pop("digest", None)


# Damage: bytes


def damaged_bytes(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at = rng.integers(8 + int.from_bytes(content[:8], "little"), len(content))
    changed = bytearray(content)
    changed[at] ^= int(rng.integers(1, 256))
    return bytes(changed), f"byte {at} of the data"


def damaged_blocks(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    data_at = 8 + int.from_bytes(content[:8], "little")
    size = int(rng.integers(1, 200))
    at = int(rng.integers(data_at, len(content) - size))
    kind = rng.integers(4)
    block = content[at : at + size]
    source = int(rng.integers(data_at, len(content) - size))
    new = [bytes(size), b"\xff" * size, rng.bytes(size), content[source : source + size]][kind]
    return content[:at] + new + content[
        at + size :
    ], f"{size} bytes of kind {kind} at {at}, were {block[:9]!r}"


def header_bits(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at = int(rng.integers(8 * (8 + int.from_bytes(content[:8], "little"))))
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed), f"bit {at % 8} of byte {at // 8} of the header"


def truncations(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    length = int(rng.integers(len(content)))
    if rng.random() < 0.2:
        return content + rng.bytes(1 + length % 99), f"{1 + length % 99} bytes more"
    return content[:length], f"the first {length} bytes"


@pytest.mark.parametrize("damage", [damaged_bytes, damaged_blocks, header_bits, truncations])
def test_damage(victim: Victim, saved: bytes, tally: Tally, damage: Any) -> None:
    rng = np.random.default_rng(0)
    while victim.tried < TRIES:
        content, what = damage(saved, rng)
        if content != saved:
            victim.attack(content, what)
    tally(f"checkpoints: {damage.__name__.replace('_', ' ')}", victim.tried, victim.survived)


# Forgeries: JSON

NONSENSE = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "\x1b[2J\x1b]0;title\x07", "F32", "I64", [], {}, [[]], [None], {"$array": "model.0.weight"}),
    *({"$array": 3}, {"$array": "no such"}, [0] * 65, [2**62, 2**62], {"a": {"b": {}}}, "\u202e", "9" * 5000),
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside of a tree."""
    if path:
        yield path
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from places(tree[key], (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def forge(tree: Any, rng: np.random.Generator) -> str:
    """Change one value somewhere in a tree: to nonsense, to another one of it, or away."""
    paths = list(places(tree))
    path = paths[rng.integers(len(paths))]
    parent, key, kind = at(tree, path[:-1]), path[-1], rng.integers(5)
    if kind == 0:
        del parent[key]
        return f"without {path}"
    if kind == 1:
        other = paths[rng.integers(len(paths))]
        parent[key] = json.loads(json.dumps(at(tree, other)))
        return f"{path} as {other}"
    if kind == 2 and isinstance(parent, dict):
        parent[f"{key}\x1b"] = parent.pop(key)
        return f"{path} renamed"
    value = NONSENSE[rng.integers(len(NONSENSE))]
    parent[key] = value
    return f"{path} = {str(value)[:50]}"


def test_forged_headers(victim: Victim, saved: bytes, tally: Tally) -> None:
    rng = np.random.default_rng(1)
    while victim.tried < TRIES:
        header, checkpoint, data = take_apart(saved)
        if victim.tried % 2:
            unsigned(header, checkpoint)
            header["__metadata__"]["xpnn_checkpoint"] = json.dumps(checkpoint)
        what = forge(header if rng.random() < 0.8 else header["__metadata__"], rng)
        if header != take_apart(saved)[0]:
            victim.attack(put_together(header, None, data), what, may_be_sound=victim.tried % 2 == 1)
    for header in (None, [], 3, "x", {}, {"__metadata__": {}}):
        victim.attack(put_together(header, None, b""), header)
    tally("checkpoints: forged headers", victim.tried, victim.survived)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of overflow, with rates that are sound but huge
@pytest.mark.parametrize("signed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_forged_contents(victim: Victim, saved: bytes, tally: Tally, signed: bool) -> None:
    """The checkpoint's JSON is forged, and the digests are left out or made anew."""
    rng = np.random.default_rng(2)
    victim.path.write_bytes(saved)
    arrays = read_safetensors(victim.path)[0]
    while victim.tried < TRIES:
        header, checkpoint, data = take_apart(saved)
        what = forge(checkpoint["objects"] if rng.random() < 0.7 else checkpoint, rng)
        if signed:
            save_file(arrays, victim.path, {"xpnn_checkpoint": json.dumps(checkpoint)})
            victim.attack(victim.path.read_bytes(), what, may_be_sound=True)
        else:
            unsigned(header, checkpoint)
            victim.attack(put_together(header, checkpoint, data), what, may_be_sound=True)
    tally("checkpoints: forged contents", victim.tried, victim.survived)


NUMBERS = ("x", None, float("nan"), float("inf"), -1, -0.5, 10**400, [], {}, True, "0.1", [0.1, 0.1])


def nonsense() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Contents that no run can have, each as a change of the checkpoint's objects."""
    numbers = [
        *(("optimizer", "param_groups", 1, name) for name in ("lr", "eps", "weight_decay")),
        *(("trainer", name) for name in ("epoch", "batch", "batches", "samples")),
        *(("loader", name) for name in ("seed", "epoch", "position", "batches")),
        *(
            ("loader", "sampler", "seed"),
            ("scheduler", "last_epoch"),
            ("scheduler", "base_lrs", 0),
            ("scheduler", "base_lrs", 1),
        ),
    ]
    for path in numbers:
        for value in NUMBERS:
            yield f"{path} = {value}", lambda tree, p=path, v=value: at(tree, p[:-1]).__setitem__(p[-1], v)
    whole = [
        *(("model",), ("optimizer",), ("optimizer", "state"), ("optimizer", "param_groups")),
        *(("optimizer", "param_groups", 0, "params"), ("optimizer", "param_groups", 1, "betas")),
        *(("scheduler",), ("scheduler", "base_lrs"), ("loader",), ("loader", "sampler")),
        *(("trainer",), ("trainer", "history"), ("trainer", "callbacks"), ("trainer", "sums")),
        ("trainer", "callbacks", "EarlyStopping"),
    ]
    for path in whole:
        for value in ("x", None, 3, [1], {"x": 1}, [{"epoch": "x"}], [[]]):
            yield f"{path} = {value}", lambda tree, p=path, v=value: at(tree, p[:-1]).__setitem__(p[-1], v)
    for name in ("model", "optimizer", "scheduler", "loader", "trainer"):
        for other in ("model", "optimizer", "scheduler", "loader", "trainer"):
            if name != other:
                yield f"{name} as {other}", lambda tree, n=name, o=other: tree.__setitem__(n, tree[o])
    state = ("optimizer", "state")
    for first, second in (("weight", "bias"), ("2", "3")):
        yield (
            f"slots of {first} and {second} swapped",
            lambda tree, f=first, s=second: swap(at(tree, state), f, s),
        )
    yield "moments swapped", lambda tree: swap(at(tree, (*state, "weight")), "exp_avg", "exp_avg_sq")
    yield "a slot less", lambda tree: at(tree, (*state, "weight")).pop("exp_avg")
    yield "weights swapped", lambda tree: swap(tree["model"], "1.weight", "1.bias")


def swap(tree: Any, first: str, second: str) -> None:
    tree[first], tree[second] = tree[second], tree[first]


@pytest.mark.parametrize("signed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nonsense_contents(victim: Victim, saved: bytes, tally: Tally, signed: bool) -> None:
    victim.path.write_bytes(saved)
    arrays = read_safetensors(victim.path)[0]
    for what, change in nonsense():
        header, checkpoint, data = take_apart(saved)
        change(checkpoint["objects"])
        if checkpoint == take_apart(saved)[1]:
            continue
        if signed:
            save_file(arrays, victim.path, {"xpnn_checkpoint": json.dumps(checkpoint)})
            victim.attack(victim.path.read_bytes(), what)
        else:
            unsigned(header, checkpoint)
            victim.attack(put_together(header, checkpoint, data), what)
    assert victim.tried >= TRIES
    tally("checkpoints: nonsense contents", victim.tried, victim.survived)


def test_an_optimizer_that_has_forgotten(victim: Victim, saved: bytes) -> None:
    """An empty state is that of an optimizer before its first step, and of no other."""
    victim.path.write_bytes(saved)
    arrays = read_safetensors(victim.path)[0]
    for forgotten in (["weight", "bias", "2", "3"], ["weight"]):
        checkpoint = take_apart(saved)[1]
        for name in forgotten:
            del checkpoint["objects"]["optimizer"]["state"][name]
        kept = {
            name: array
            for name, array in arrays.items()
            if not any(name.startswith(f"optimizer.state.{other}.") for other in forgotten)
        }
        checkpoint["digest"] = digest_of(kept)
        save_file(kept, victim.path, {"xpnn_checkpoint": json.dumps(checkpoint)})
        victim.attack(victim.path.read_bytes(), f"optimizer without {forgotten}")


def test_swapped_arrays_with_a_new_digest(victim: Victim, saved: bytes) -> None:
    victim.path.write_bytes(saved)
    arrays, metadata = read_safetensors(victim.path)
    for first, second in (("model.1.weight", "model.1.bias"), ("model.1.running_mean", "model.1.bias")):
        changed = dict(arrays)
        swap(changed, first, second)
        save_file(changed, victim.path, metadata)
        victim.attack(victim.path.read_bytes(), f"{first} and {second} swapped")


@pytest.mark.parametrize("depth", [101, 900, 5000, 10**6])
def test_nested_nonsense(victim: Victim, saved: bytes, depth: int) -> None:
    header, _, data = take_apart(saved)
    text = header["__metadata__"]["xpnn_checkpoint"]
    header["__metadata__"].pop("xpnn_digest")
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        nested = opening * depth + "1" + closing * depth
        for name in ("extra", "objects"):
            forged = text.replace(f'"{name}": {{', f'"{name}": {{"x": {nested}, ', 1)
            header["__metadata__"]["xpnn_checkpoint"] = forged
            victim.attack(put_together(header, None, data), f"{depth} {opening}")
        header["__metadata__"]["xpnn_checkpoint"] = nested
        victim.attack(put_together(header, None, data), f"{depth} {opening}")


# Files of others


def foreign_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(3)
    path = folder / "foreign"
    for name, save in (
        ("npy", lambda: np.save(path.open("wb"), np.zeros(5))),
        ("npz", lambda: np.savez(path.open("wb"), weight=np.zeros(5))),
        ("zip", lambda: zipfile.ZipFile(path, "w").writestr("data.pkl", b"x" * 99)),
        ("gzip", lambda: path.write_bytes(gzip.compress(b"x" * 99))),
        ("pickle", lambda: path.write_bytes(pickle.dumps({"weight": [1.0] * 99}))),
        ("json", lambda: path.write_text(json.dumps({"weight": [1.0] * 99}))),
        ("another model", lambda: save_file({"weight": np.zeros((2, 2))}, path)),
        ("no arrays", lambda: save_file({}, path)),
        ("empty", lambda: path.write_bytes(b"")),
        ("png", lambda: path.write_bytes(b"\x89PNG\r\n\x1a\n" + rng.bytes(500))),
        ("html", lambda: path.write_text("<!DOCTYPE html><html><title>404</title></html>")),
    ):
        path.unlink(missing_ok=True)
        save()
        yield name, path.read_bytes()
    for number in range(TRIES):
        length = int(rng.integers(0, 300))
        head = int(rng.integers(0, 400)).to_bytes(8, "little") if number % 2 else b""
        yield f"random bytes {number}", head + rng.bytes(length)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_foreign_files(victim: Victim, tmp_path: Path, tally: Tally) -> None:
    for name, content in foreign_files(tmp_path):
        victim.attack(content, name)
    tally("checkpoints: foreign files", victim.tried, victim.survived)
