"""The command line, used as a person would: what it prints, leaves behind, and says to mistakes."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.cli import main
from xpnn.cli.images import Mixed, mixes_of
from xpnn.cli.settings import Settings
from xpnn.data import DataLoader, TensorDataset, load_digits
from xpnn.io import lock_folder, read_checkpoint, read_safetensors, save_checkpoint, save_file
from xpnn.train import History, ProgressBar
from xpnn.viz import save_image

ROOT = Path(__file__).parent.parent
QUICK = ["--epochs", "2", "--batch-size", "128"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "digits", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return read_safetensors(folder / "model.safetensors")[0]


# Training


@pytest.mark.slow
def test_the_main_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without options: the accuracy that is promised."""
    assert main(["train", "digits"]) == 0
    accuracy = capsys.readouterr().out.partition("test accuracy ")[2].split()[0]
    assert float(accuracy) >= 98.5


def test_a_run_shows_progress_and_leaves_what_is_needed_to_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "digits", *QUICK]) == 0
    said = capsys.readouterr()
    assert "1,442 training and 355 test images of 1 x 8 x 8, 10 classes" in said.out
    epochs = said.err.splitlines()
    assert len(epochs) == 2
    assert all(word in epochs[1] for word in ("epoch 2/2", "loss", "accuracy", "images/s"))
    assert "test accuracy" in said.out
    files = {path.name for path in Path("runs/digits").iterdir()}
    pictures = {"report.html", "curve.png", "confusion.png", "mistakes.png", "example.png"}
    assert files == pictures | {"model.safetensors", "last.safetensors", "history.jsonl"}
    assert History.read("runs/digits/history.jsonl")["epoch"] == [1, 2]

    accuracy = next(line for line in said.out.splitlines() if line.startswith("test accuracy"))
    for command in said.out.partition("Use it:")[2].strip().splitlines():
        program, *arguments = shlex.split(command)
        assert program.endswith("xpnn")
        assert main(arguments) == 0
        said_by_command = capsys.readouterr().out
        assert accuracy in said_by_command or "example.png: " in said_by_command


def test_the_same_seed_gives_the_same_network(trained: Path, tmp_path: Path) -> None:
    main(["train", "digits", *QUICK, "--out", "again"])
    main(["train", "digits", *QUICK, "--out", "other", "--seed", "1"])
    first, again, other = weights(trained), weights(tmp_path / "again"), weights(tmp_path / "other")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_an_interrupted_run_goes_on_exactly(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_in_batch(monkeypatch, 15)  # of the 24 of two epochs
    assert main(["train", "digits", *QUICK, "--out", "cut"]) == 130
    said = capsys.readouterr().err
    assert "interrupted after 1 epochs and 3 batches; saved to cut/last.safetensors" in said
    monkeypatch.undo()

    monkeypatch.chdir(tmp_path)
    program, *command = shlex.split(said.splitlines()[-1])
    assert program.endswith("xpnn")
    assert main(command) == 0
    first, second = weights(trained), weights(tmp_path / "cut")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    lines = [History.read(folder / "history.jsonl") for folder in (trained, tmp_path / "cut")]
    assert lines[0]["val_accuracy"] == lines[1]["val_accuracy"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_terminated_run_is_saved(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("not on this system")
    interrupt_in_batch(monkeypatch, 15, number)
    assert main(["train", "digits", *QUICK, "--out", "cut"]) == 128 + number
    assert "after 1 epochs and 3 batches; saved to cut/last.safetensors" in capsys.readouterr().err


def test_an_interruption_before_anything_is_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_twice(self: ProgressBar, trainer: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        trainer._resumable = False  # as in the middle of a step
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "on_batch_end", press_twice)
    assert main(["train", "digits", *QUICK, "--out", "cut"]) == 130
    assert "nothing was saved" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["xpnn.backend", "numpy", "xpnn.cli.train"])
@pytest.mark.parametrize("command", [["-m", "xpnn", "info"], ["bin/xpnn", "info"]], ids=["-m", "script"])
def test_ctrl_c_during_the_import_shows_no_traceback(command: list[str], module: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "xpnn").write_text("import sys\nfrom xpnn.cli import main\nsys.exit(main())\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import signal, sys\n"
        "class PressCtrlC:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, PressCtrlC())\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(xpnn.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_run_goes_on_with_another_library(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("array_api_strict")
    interrupt_in_batch(monkeypatch, 15)
    assert main(["train", "digits", *QUICK, "--out", "cut"]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--resume", "--out", "cut", "--backend", "array_api_strict"]) == 0
    first, second = weights(trained), weights(tmp_path / "cut")
    for name, weight in first.items():
        np.testing.assert_allclose(second[name], weight, rtol=1e-3, atol=1e-4)


def interrupt_in_batch(
    monkeypatch: pytest.MonkeyPatch, number: int, signal_number: int = signal.SIGINT
) -> None:
    """Press Ctrl-C, or send another signal, while a batch is being trained on."""

    def on_batch_end(self: ProgressBar, trainer: Any) -> None:
        if trainer.batches == number:
            signal.raise_signal(signal_number)

    monkeypatch.setattr(ProgressBar, "on_batch_end", on_batch_end)


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "sgd", "--lr", "0.05", "--schedule", "cosine", "--augment", "none"],
        ["--optimizer", "adam", "--schedule", "step", "--augment", "rotate+colour+erase", "--model", "mlp"],
        ["--schedule", "constant", "--augment", "flip", "--size", "16", "--channels", "3"],
        ["--augment", "crop+mixup+cutmix", "--lr", "0.02"],
    ],
    ids=lambda options: options[1],
)
def test_options(options: list[str]) -> None:
    assert main(["train", "digits", *QUICK, *options, "--out", "run"]) == 0
    losses = History.read("run/history.jsonl")["loss"]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("batched", [True, False])
def test_mixed_batches_depend_on_their_number_alone(batched: bool) -> None:
    base: Any = TensorDataset(np.random.default_rng(0).random((12, 1, 4, 4), np.float32), np.arange(12) % 3)
    mixes = mixes_of(Settings.from_options({"data": "digits", "augment": "crop+mixup+cutmix"}), 3)
    assert [type(mix).__name__ for mix in mixes] == ["MixUp", "CutMix"]
    mixed = Mixed(base if batched else [base[i] for i in range(12)], mixes)
    found = [list(DataLoader(mixed, 4, seed=1, num_workers=workers)) for workers in (0, 2)]
    for (x, y), (again, labels) in zip(*found, strict=True):
        assert x.shape == (4, 1, 4, 4)
        assert y.shape == (4, 3)
        np.testing.assert_allclose(y.sum(1).numpy(), 1, rtol=1e-6)
        assert (x == again).all()
        assert (y == labels).all()
    assert any(((y > 0) & (y < 1)).any() for _, y in found[0])


def test_original_mnist_files(capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = load_digits()
    images = np.rint(images[:300, 0].repeat(3, axis=1).repeat(3, axis=2) * 255).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    Path("files").mkdir()
    for part, chosen in (("train", slice(0, 200)), ("t10k", slice(200, 300))):
        write_idx(Path("files", f"{part}-images-idx3-ubyte.gz"), images[chosen])
        write_idx(Path("files", f"{part}-labels-idx1-ubyte.gz"), labels[chosen].astype(np.uint8))
    assert main(["train", "mnist", "--data", "files", "--epochs", "1"]) == 0
    assert main(["eval", "runs/mnist/model.safetensors", "--out", "tested"]) == 0
    assert "200 training and 100 test images of 1 x 28 x 28" in capsys.readouterr().out
    assert Path("tested/confusion.png").exists()


def write_idx(path: Path, array: np.ndarray) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


@pytest.mark.parametrize("divided", [False, True])
def test_a_folder_of_images(divided: bool, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    images, _ = load_digits()
    for i in range(40):
        part = ("train" if i < 30 else "test") if divided else ""
        folder = Path("letters & more", part, "abc"[i % 3])
        folder.mkdir(parents=True, exist_ok=True)
        save_image(images[i], folder / f"{i}.png", padding=0)
    options = ["--model", "mlp", "--size", "12", "--channels", "1", "--epochs", "1"]
    assert main(["train", "letters & more", *options]) == 0
    said = capsys.readouterr().out
    division = "30 training and 10" if divided else "32 training and 8"
    assert f"{division} test images of 1 x 12 x 12, 3 classes" in said
    predict = shlex.split(said.splitlines()[-1])[1:]
    assert main([*predict, predict[-1]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("runs/letters & more/example.png: ")
    assert main([*predict, "--invert"]) == 0
    assert capsys.readouterr().out.strip() != lines[0]


def pictures(root: str | Path, counts: dict[str, int]) -> list[str]:
    """A folder of images, so many for each class; returns the options to train on it quickly."""
    pytest.importorskip("PIL")
    images = iter(load_digits()[0])
    for name, count in counts.items():
        Path(root, name).mkdir(parents=True)
        for number in range(count):
            save_image(next(images), Path(root, name, f"{number}.png"), padding=0)
    return [str(root), "--model", "mlp", "--size", "8", "--channels", "1", "--epochs", "1"]


def test_results_and_folders_without_images_are_no_classes(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the images lie, the results come to lie, too."""
    options = pictures(".", {"a": 10, "b": 10, "empty": 0})[1:]
    Path(".ipynb_checkpoints").mkdir()
    for out in ([], ["--overwrite"], ["--out", "results"]):
        assert main(["train", ".", *options, *out]) == 0
        said = capsys.readouterr().out
        assert "16 training and 4 test images of 1 x 8 x 8, 2 classes" in said
        assert "\nempty holds no images and is no class\n" in said
    assert main(["eval", "runs/model.safetensors", "--out", "tested"]) == 0
    assert main(["eval", "runs/model.safetensors"]) == 0


def test_the_test_part_has_its_share_of_each_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *pictures("letters", {"a": 40, "b": 20, "c": 3, "d": 1})]) == 0
    said = capsys.readouterr().out
    assert "51 training and 13 test images" in said
    assert "too few images to test on some of them: d\n" in said
    rows = [line.split() for line in said.splitlines() if re.match(r" +[abcd]( +[\d.]+){4}$", line)]
    assert [sum(int(cell) for cell in row[1:] if cell != ".") for row in rows] == [8, 4, 1, 0]
    assert main(["train", *pictures("single", {"a": 1, "b": 1})]) == 2
    assert "'single' has 2 images, too few to test on some of them" in capsys.readouterr().err


def test_eval_on_other_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *pictures("first", {"a": 20, "b": 20}), "--out", "run"]) == 0
    capsys.readouterr()
    Path("first").rename("moved")
    assert main(["eval", "run/model.safetensors"]) == 2
    assert "no data set, folder or table 'first'" in capsys.readouterr().err
    assert main(["eval", "run/model.safetensors", "--data", "moved"]) == 0
    assert capsys.readouterr().out.startswith("moved: 8 test images\n")
    pictures("others", {"a": 20, "c": 20})
    assert main(["eval", "run/model.safetensors", "--data", "others"]) == 2
    assert "'others' has the classes a, c, the network was trained on a, b" in capsys.readouterr().err


def test_a_run_in_a_folder_that_is_in_use(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_folder(Path("busy")):
        assert main(["train", "digits", *QUICK, "--out", "busy"]) == 2
    said = capsys.readouterr()
    assert re.search(rf"'busy' is in use by process {os.getpid()} on ", said.err)
    assert said.out == ""
    assert os.listdir("busy") == []


def test_a_run_is_replaced_only_when_asked_to(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", *QUICK, "--out", "run", "--seed", "1"]) == 0
    before = Path("run/model.safetensors").read_bytes()
    assert main(["train", "digits", *QUICK, "--out", "run"]) == 2
    assert Path("run/model.safetensors").read_bytes() == before
    assert main(["train", "digits", *QUICK, "--out", "run", "--overwrite"]) == 0
    first, second = weights(trained), weights(Path("run"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_one_bad_image_among_others(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    good = str(trained / "example.png")
    Path("bad.png").write_bytes(b"no image")
    assert main(["predict", str(trained / "model.safetensors"), good, "bad.png", good, "no.png", good]) == 1
    said = capsys.readouterr()
    assert said.out.count(f"{good}: ") == 3
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("xpnn predict: bad.png cannot be read as an image: ")
    assert lines[1] == "xpnn predict: no.png cannot be read as an image: it does not exist"


FORGED_SETTINGS = {
    "size": (10**6, "a", -1, 0, None, True, 2.5), "channels": (2, "1", None, True, 1.0),
    "model": (3, "x", None, []), "data": (1, None), "lr": ("x", -1, float("nan"), None), "seed": (-1, "x"),
    "epochs": (0, "x"), "schedule": ("x",), "folder": (1,), "augment": ("spin", "none+crop", 3),
}  # fmt: skip
FORGED_PREPROCESSING = {
    "size": (10**6, "a", 0, None), "channels": (2, "x", True, 10**9),
    "mean": (None, [], ["x"], [float("nan")], 0.5),
    "std": (None, [0.0], [-1.0], [float("inf")], [[1.0]], [1e-300]),
}  # fmt: skip


def test_forged_settings(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit code 2, for whatever a checkpoint says about its network."""
    pytest.importorskip("PIL")
    checkpoint = read_checkpoint(trained / "model.safetensors")
    model = checkpoint.states["model"]

    class Model:
        def state_dict(self) -> dict[str, Any]:
            return model

    def refused(config: Any) -> None:
        save_checkpoint("forged.safetensors", config=config, random=False, model=Model())
        for command in (["eval"], ["predict", str(trained / "example.png")]):
            arguments = [command[0], "forged.safetensors", *command[1:]]
            assert main(arguments) == 2, config
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.count("\n") == 1
            assert "forged.safetensors' does not say how its network is built" in said.err

    original = json.loads(json.dumps(checkpoint.config))
    for part, forged in (("settings", FORGED_SETTINGS), ("preprocessing", FORGED_PREPROCESSING)):
        for name, values in forged.items():
            for value in values:
                refused({**original, part: {**original[part], name: value}})
            refused({**original, part: {key: original[part][key] for key in original[part] if key != name}})
        for value in (None, 3, "x", [], {}):
            refused({**original, part: value})
    for classes in (None, "abc", [], [1] * 10, {"a": 1}):
        refused({**original, "classes": classes})
    refused({})


def test_a_network_that_says_nothing(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    checkpoint = read_checkpoint(trained / "model.safetensors")

    class Model:
        def state_dict(self) -> dict[str, Any]:
            return {name: np.full_like(array, np.nan) for name, array in checkpoint.states["model"].items()}

    save_checkpoint("nan.safetensors", config=checkpoint.config, random=False, model=Model())
    for arguments in (
        ["eval", "nan.safetensors"],
        ["predict", "nan.safetensors", str(trained / "example.png")],
    ):
        assert main(arguments) == 2
        assert "the network gives scores that are NaN or infinite" in capsys.readouterr().err


def test_class_names_are_no_commands(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    checkpoint = read_checkpoint(trained / "model.safetensors")
    classes = [f"\x1b[2J{number}\n" for number in range(10)]
    model = checkpoint.states["model"]

    class Model:
        def state_dict(self) -> dict[str, Any]:
            return model

    save_checkpoint("forged.safetensors", config={**checkpoint.config, "classes": classes}, model=Model())
    assert main(["predict", "forged.safetensors", str(trained / "example.png")]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.strip().isprintable()
    assert r"\x1b[2J" in said


def test_a_finished_run_is_only_tested_again(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(trained)
    assert main(["train", "digits", "--resume", "--out", str(trained)]) == 0
    said = capsys.readouterr()
    assert "test accuracy" in said.out
    assert "epoch" not in said.err
    assert all(np.array_equal(before[name], after) for name, after in weights(trained).items())


def test_without_matplotlib_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["train", "digits", *QUICK, "--out", "bare"]) == 0
    said = capsys.readouterr().out
    assert "pictures are left out: 'matplotlib' is needed" in said
    assert main(shlex.split(said.splitlines()[-1])[1:]) == 0
    assert capsys.readouterr().out.startswith("bare/example.png: ")


def test_without_the_optional_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("matplotlib", "PIL", "PIL.Image", "tqdm"):
        monkeypatch.setitem(sys.modules, package, None)
    assert main(["train", "digits", *QUICK, "--out", "bare"]) == 0
    said = capsys.readouterr().out
    assert "pictures are left out" in said
    assert "pip install 'xpnn[train]'" in said
    assert "xpnn eval bare/model.safetensors" in said
    assert main(["predict", "bare/model.safetensors", "digit.png"]) == 2
    assert "pip install 'xpnn[train]'" in capsys.readouterr().err


# The other commands


def test_summary_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "lenet"]) == 0
    assert "Parameters: 61,706" in capsys.readouterr().out
    assert main(["summary", "resnet20", "--size", "16", "--channels", "1", "--classes", "5"]) == 0
    assert "(1, 16, 16, 16)" in capsys.readouterr().out
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert xpnn.__version__ in said
    assert all(name in said for name in ("numpy", "cupy", "torch", "jax", "array_api_strict"))


def test_as_a_program_and_into_a_pipe_that_closes() -> None:
    command = [sys.executable, "-m", "xpnn"]
    result = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["xpnn", xpnn.__version__]
    process = subprocess.Popen([*command, "info"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


# Mistakes: one line on stderr, exit code 2

MISTAKES = {
    "no data": (["train"], "expects DATA, or --config with a file that names it"),
    "unknown data": (["train", "digit"], "no data set, folder or table 'digit'.*digits, mnist"),
    "unknown model": (["train", "digits", "--model", "lenat"], "no model 'lenat'. Did you mean 'lenet'"),
    "unknown backend": (["train", "digits", "--backend", "nunpy"], "'nunpy' is unknown"),
    "unknown device": (["train", "digits", "--device", "gpu"], "no device 'gpu'"),
    "missing files": (["train", "mnist", "--data", "."], "finds no train-images"),
    "nothing to resume": (["train", "digits", "--resume"], "no interrupted run in 'runs/digits'"),
    "folder without images": (["train", "."], "folder of images per class"),
    "other options": (
        ["train", "digits", "--resume", "--out", "RUN", "--lr", "9"],
        "--lr .*0.005",
    ),
    "missing checkpoint": (["eval", "no.safetensors"], "no.safetensors"),
    "damaged checkpoint": (["eval", "cut.safetensors"], "cut short"),
    "foreign checkpoint": (["eval", "foreign.safetensors"], "does not say how its network is built"),
    "missing image": (["predict", "RUN/model.safetensors", "no.png"], "no.png cannot be read"),
    "no image": (["predict", "RUN/model.safetensors", "RUN/history.jsonl"], "history.jsonl cannot be read"),
    "unknown summary": (["summary", "resnet19"], "Did you mean 'resnet1"),
    "hidden": (
        ["train", "digits", "--model", "lenet", "--hidden", "32"],
        "--hidden is no option of the model 'lenet'. Leave it out, or take one that has it: .*mlp",
    ),
    "search of a folder": (["search", "."], "'.' expects a TOML file, got a folder"),
    "augmentation": (["train", "digits", "--augment", "rotat+crop"], "Did you mean 'rotate\\+crop'?"),
    "near model": (["train", "digits", "--model", "resnet21"], "Did you mean 'resnet20'"),
    "near data": (["train", "mnst"], "no data set, folder or table 'mnst'. Did you mean mnist"),
    "data of digits": (["train", "digits", "--data", "."], "--data is where the original files of mnist"),
    "smoothing": (
        ["train", "digits", "--label-smoothing", "2"],
        "--label-smoothing expects a share below 1.*2",
    ),
    "rate": (["train", "digits", "--lr", "1e9"], "--lr expects at most 100; usual are .*, got 1000000000"),
    "decay": (["train", "digits", "--weight-decay", "1e9"], "--weight-decay expects at most 10"),
    "size": (["train", "digits", "--size", "1000000"], "--size expects a size of at most 2048"),
    "small": (["train", "digits", "--size", "1"], "expects image_size of at least 2, got 1"),
    "seed": (["train", "digits", "--seed", str(2**63)], "--seed expects less than 2"),
    "diverges": (
        ["train", "digits", *QUICK, "--lr", "50", "--optimizer", "sgd", "--schedule", "constant"],
        "the training loss became .* Begin again with a lower learning rate, such as --lr 5$",
    ),
    "another run": (
        ["train", "digits", "--out", "RUN"],
        "--out holds a run already: .*--resume.*--overwrite",
    ),
    "file as folder": (["train", "digits", "--out", "cut.safetensors"], "'cut.safetensors' is a file"),
    "other classes": (["eval", "RUN/model.safetensors", "--data", "."], "--data is where the original files"),
    "no image but one": (["predict", "RUN/model.safetensors", "no.png"], "no.png .*: it does not exist$"),
    "a pipe": (["eval", "pipe"], "'pipe' is no file"),
    "no folder": (["train", "digits", *QUICK, "--out", "cut.safetensors/x"], "cut.safetensors"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    arguments: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    os.mkfifo("pipe")
    Path("cut.safetensors").write_bytes((trained / "model.safetensors").read_bytes()[:5000])
    save_file({"weight": np.zeros(3)}, "foreign.safetensors")
    code = main([argument.replace("RUN", str(trained)) for argument in arguments])
    assert code == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("epoch")]
    assert said.out == "" or arguments[:2] == ["train", "digits"]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"xpnn {arguments[0]}: ")
    assert re.search(message, lines[0]), lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "digits", "--epochs", "0"], "--epochs: expects a positive whole number, got '0'"),
        (["train", "digits", "--epochs", "many"], "expects a positive whole number, got 'many'"),
        (["train", "digits", "--lr", "nan"], "expects a positive number, got 'nan'"),
        (["train", "digits", "--weight-decay", "-1"], "expects a number of at least 0"),
        (["train", "digits", "--schedule", "magic"], "invalid choice: 'magic'"),
        (["train", "digits", "--fast"], "unrecognized arguments: --fast"),
        (["predict", "model.safetensors"], "FILE"),
        (["trian", "digits"], "Did you mean train?"),
        (["train", "digits", "--modle", "mlp"], "unrecognized arguments: --modle mlp. Did you mean --model?"),
        (["train", "digits", "--optimizer", "adamx"], "Did you mean adam?"),
        (["train", "digits", "--resume", "--overwrite"], "not allowed with argument --resume"),
        (["train", "digits", "\x1b[2J"], r"unrecognized arguments: \x1b[2J"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_debug_shows_where_it_happened() -> None:
    with pytest.raises(xpnn.XpnnError):
        main(["train", "digit", "--debug"])
