"""Checkpoints: a run goes on elsewhere; what does not fit or is damaged changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import CheckpointError, DTypeError, backend_of, random
from xpnn.data import DataLoader, TensorDataset
from xpnn.io import load_checkpoint, read_checkpoint, save_checkpoint, save_file
from xpnn.io import load_file as load_arrays

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((12, 3)).astype(np.float32)
TARGETS = RNG.standard_normal((12, 2)).astype(np.float32)


class Run:
    """A small training run with everything that a checkpoint keeps."""

    def __init__(self, seed=0, width=4):
        xpnn.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 2)
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        self.scheduler = optim.CosineAnnealingLR(self.optimizer, 20)
        self.loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=3, shuffle=True)
        self.batches = self.epochs()

    @property
    def objects(self):
        return {name: getattr(self, name) for name in ("model", "optimizer", "scheduler", "loader")}

    def train(self, batches):
        return [self.step(*next(self.batches)) for _ in range(batches)]

    def step(self, x, y):
        loss = ((self.model(x) - y) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def epochs(self):
        while True:
            yield from self.loader


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "last.safetensors"


def test_a_run_goes_on_bit_for_bit(path):
    run = Run()
    run.train(6)  # in the middle of the second epoch
    save_checkpoint(path, config={"model": "mlp"}, extra={"epoch": 1}, **run.objects)
    expected = run.train(7)
    resumed = Run(seed=1)
    checkpoint = load_checkpoint(path, random=True, **resumed.objects)
    assert (checkpoint.config, checkpoint.extra) == ({"model": "mlp"}, {"epoch": 1})
    assert resumed.train(7) == expected
    for name, tensor in run.model.state_dict().items():
        assert np.array_equal(tensor.array, resumed.model.state_dict()[name].array)


def test_random_numbers_are_restored_unless_they_are_left(path):
    run = Run()
    run.train(3)
    save_checkpoint(path, **run.objects)
    saved = random.state_dict()
    for how in ({}, {"random": None}, {"random": True}):
        other = Run(seed=5)
        assert random.state_dict() != saved
        load_checkpoint(path, **other.objects, **how)
        assert random.state_dict() == saved
    other = Run(seed=5)
    before = random.state_dict()
    load_checkpoint(path, **other.objects, random=False)
    assert random.state_dict() == before
    save_checkpoint(path, random=False, **run.objects)
    load_checkpoint(path, **other.objects)
    assert random.state_dict() == before


def test_a_run_goes_on_on_another_backend(path, backend):
    with xpnn.use_backend("numpy"):
        run = Run()
        run.train(6)
        save_checkpoint(path, **run.objects)
        expected = run.train(4)
    resumed = Run(seed=1)
    load_checkpoint(path, random=True, **resumed.objects)
    np.testing.assert_allclose(resumed.train(4), expected, rtol=1e-4)
    assert backend_of(resumed.model[0].weight.array).name == backend.backend
    save_checkpoint(path, **resumed.objects)  # and back
    with xpnn.use_backend("numpy"):
        load_checkpoint(path, **Run().objects)


def test_the_weights_have_readable_names(path):
    run = Run()
    run.train(1)
    save_checkpoint(path, **run.objects)
    names = set(load_arrays(path))
    assert {"model.0.weight", "model.1.running_mean", "optimizer.state.0.weight.exp_avg"} <= names


def test_extra_holds_arrays_and_json(path):
    extra = {
        "best": {"w": np.arange(3)},
        "a.b": [1, 2.5, None, {"c": np.ones(2)}],
        "a": {"b.1": "x"},
        "n": np.nan,
    }
    save_checkpoint(path, extra=extra)
    found = read_checkpoint(path).extra
    assert found["best"]["w"].tolist() == [0, 1, 2]
    assert found["a.b"][:3] == [1, 2.5, None]
    assert found["a.b"][3]["c"].tolist() == [1, 1]
    assert found["a"] == {"b.1": "x"}
    assert np.isnan(found["n"])


def test_names_that_would_collide(path):
    save_checkpoint(path, extra={"a.b": {"c": np.zeros(1)}, "a": {"b.c": np.ones(1)}})
    found = read_checkpoint(path).extra
    assert found["a.b"]["c"].tolist() == [0]
    assert found["a"]["b.c"].tolist() == [1]


@pytest.mark.parametrize(
    ("value", "message"), [({1: 2}, "keys of a dict"), ({"x": {"y": object()}}, "'extra.x.y'")]
)
def test_what_cannot_be_saved(path, value, message):
    with pytest.raises(DTypeError, match=message):
        save_checkpoint(path, extra=value)
    assert not path.exists()


def test_weights_of_other_programs(path):
    model = nn.Linear(2, 1)
    path.parent.mkdir()
    save_file({"weight": np.ones((1, 2)), "bias": np.zeros(1)}, path)
    load_checkpoint(path, model=model)
    assert model.weight.tolist() == [[1, 1]]
    with pytest.raises(CheckpointError, match="no state of 'optimizer', 'random', only of 'model'"):
        load_checkpoint(path, model=model, random=True, optimizer=optim.SGD(model.parameters()))


def test_a_checkpoint_of_another_model_changes_nothing(path):
    save_checkpoint(path, config={"model": "wide"}, **Run(width=5).objects)
    run = Run(seed=3)
    before = [p.tolist() for p in run.model.parameters()], random.state_dict()
    with pytest.raises(
        CheckpointError, match=r"does not fit the model: (.|\n)*0.weight(.|\n)*made with .*wide"
    ):
        load_checkpoint(path, random=True, **run.objects)
    assert before == ([p.tolist() for p in run.model.parameters()], random.state_dict())


def test_another_optimizer_or_loader_changes_nothing(path):
    save_checkpoint(path, **Run().objects)
    run = Run(seed=3)
    before = [p.tolist() for p in run.model.parameters()]
    others = {
        "optimizer": optim.SGD(run.model.parameters()),
        "scheduler": optim.StepLR(run.optimizer, 3),
        "loader": DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=2),
    }
    for name, other in others.items():
        with pytest.raises(CheckpointError, match=f"does not fit the {name}"):
            load_checkpoint(path, **(run.objects | {name: other}))
        assert before == [p.tolist() for p in run.model.parameters()]
        assert run.loader.state_dict()["epoch"] == 0


def test_a_checkpoint_cut_in_half(path):
    save_checkpoint(path, **Run().objects)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"last.safetensors' is cut short: it has \d+ bytes, expected"):
        load_checkpoint(path, model=Run().model)


def test_a_later_version(path):
    path.parent.mkdir()
    save_file({}, path, metadata={"xpnn_checkpoint": json.dumps({"version": 99})})
    with pytest.raises(CheckpointError, match="version 99"):
        read_checkpoint(path)
    save_file({}, path, metadata={"xpnn_checkpoint": "{"})
    with pytest.raises(CheckpointError, match="metadata is not JSON"):
        read_checkpoint(path)


# What is damaged or forged: see also tests/attacks/test_checkpoints.py


def test_the_digest_is_checked_and_older_files_load(path):
    run = Run()
    save_checkpoint(path, **run.objects)
    assert read_checkpoint(path).verified
    older(path)
    assert not load_checkpoint(path, random=True, **Run(seed=1).objects).verified


def older(path):
    """Make a file what it was before there were digests."""
    content = path.read_bytes()
    at = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:at]), content[at:]
    del header["__metadata__"]["xpnn_digest"]
    checkpoint = json.loads(header["__metadata__"]["xpnn_checkpoint"])
    del checkpoint["digest"]
    header["__metadata__"]["xpnn_checkpoint"] = json.dumps(checkpoint)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


class Stubborn:
    """Cannot check before it loads, and fails after it has changed."""

    def __init__(self, error):
        self.value, self.error = 0, error

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]
        if self.value == 7:
            raise self.error


@pytest.mark.parametrize("error", [AttributeError("no such thing"), KeyboardInterrupt()], ids=repr)
def test_what_fails_half_way_is_put_back(path, error):
    stubborn = Stubborn(error)
    stubborn.value = 7
    save_checkpoint(path, **Run().objects, other=stubborn)
    run, other = Run(seed=3), Stubborn(error)
    before = [p.tolist() for p in run.model.parameters()], random.state_dict()
    expected = CheckpointError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(expected):
        load_checkpoint(path, random=True, **run.objects, other=other)
    assert before == ([p.tolist() for p in run.model.parameters()], random.state_dict())
    assert other.value == 0


def test_complex_weights_and_broken_counts_do_not_fit(path):
    model = nn.BatchNorm1d(2)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    path.parent.mkdir()
    for wrong in (
        {"weight": np.ones(2, np.complex64)},
        {"num_batches_tracked": np.array(np.nan)},
        {"weight": np.ones(3)},
    ):
        save_file(state | wrong, path)
        with pytest.raises(CheckpointError, match="mismatched"):
            load_checkpoint(path, model=model)
    with pytest.raises(DTypeError, match="expects a state dict of arrays by name, got list"):
        model.load_state_dict([1])


@pytest.mark.parametrize(
    ("config", "message"),
    [({"a": np.ones(2)}, "got an array as 'config.a'"), ({"a": {1}}, "got set"), ({1: 2}, "must be strings")],
)
def test_what_a_config_cannot_hold(path, config, message):
    with pytest.raises(DTypeError, match=message):
        save_checkpoint(path, config=config)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"extra": [1]}, "expects a dict as extra, got list"),
        ({"config": "x"}, "expects a dict as config, got str"),
        ({"model": 3}, r"expects objects with a state_dict\(\), got int as model"),
    ],
)
def test_what_is_given_in_the_wrong_place(path, given, message):
    with pytest.raises(DTypeError, match=message):
        save_checkpoint(path, **given)
    assert not path.exists()
    save_checkpoint(path)
    if "model" in given:
        with pytest.raises(DTypeError, match=message):
            load_checkpoint(path, **given)


def test_what_can_be_saved_can_be_read(path):
    """At the bound of depth too, for arrays and anything else."""
    for leaf in (np.zeros(1), 3, [], "\udc80"):
        tree, deepest = leaf, 0
        while True:
            try:
                save_checkpoint(path, extra={"x": tree})
            except DTypeError:
                break
            assert read_checkpoint(path).extra
            tree, deepest = [tree], deepest + 1
        assert deepest > 90


def test_nested_too_deeply(path):
    nested = []
    for _ in range(200):
        nested = [nested]
    with pytest.raises(DTypeError, match="nested too deeply"):
        save_checkpoint(path, extra={"x": nested})
    nested.append(nested)
    with pytest.raises(DTypeError, match="nested too deeply"):
        save_checkpoint(path, extra={"x": nested})
    with pytest.raises(DTypeError, match=r"other than '\$array'"):
        save_checkpoint(path, extra={"$array": "x"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1}, {"seed": "0"}, {"seed": 2**63}, {"seed": True}, {"host": {}}, {"host": None},
        {"stream": {}}, {"stream": {"seed": 0, "counter": -1, "rng": "threefry"}},
        {"stream": {"seed": 0, "counter": 2**31, "rng": "threefry"}},
        {"stream": {"seed": 0, "counter": 0, "rng": "dice"}},
    ],
    ids=str,
)  # fmt: skip
def test_random_numbers_are_taken_over_whole_or_not_at_all(wrong):
    xpnn.manual_seed(3)
    before = random.state_dict()
    with pytest.raises(CheckpointError):
        random.load_state_dict(before | wrong)
    assert random.state_dict() == before
    for wrong_host in ({"state": {"state": -1, "inc": 1}}, {"bit_generator": "MT19937"}, {"has_uint32": "x"}):
        with pytest.raises(CheckpointError):
            random.load_state_dict(before | {"host": before["host"] | wrong_host})
    assert random.state_dict() == before


def test_element_types_in_a_config(tmp_path):
    """They are kept by their names, which they are equal to."""
    save_checkpoint(tmp_path / "c.xpnn", model=nn.Linear(1, 1), config={"dtype": xpnn.float16})
    found = load_checkpoint(tmp_path / "c.xpnn", model=nn.Linear(1, 1)).config["dtype"]
    assert found == xpnn.float16 == "float16"
