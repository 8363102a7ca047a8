"""What can be done with runs: plot, compare, export and board; and lr-find, which finds how to begin one."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cli import QUICK

from xpnn.cli import main
from xpnn.io import load_file, read_safetensors

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, `slow` and `fast`, and an empty folder."""
    folder = tmp_path_factory.mktemp("runs")
    for name, rate in (("slow", "0.0001"), ("fast", "0.01")):
        options = ["--model", "mlp", "--lr", rate, "--out", str(folder / name), "--quiet"]
        assert main(["train", "digits", *QUICK, *options]) == 0
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_plot(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", str(runs / "slow"), "--out", "all.png"]) == 0
    assert main(["plot", str(runs / "slow"), "--metrics", "loss", "--out", "loss.svg", "--log"]) == 0
    assert capsys.readouterr().out == "all.png\nloss.svg\n"
    assert "slow: digits, mlp" in Path("loss.svg").read_text()  # in a comment, as letters are drawn
    assert Path("all.png").stat().st_size > 10_000


def test_compare(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs), "--sort", "val_loss"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["run", "lr", "epochs", "loss", "accuracy"]  # the settings that differ
    assert "model" not in heading
    assert [Path(row.split()[0]).name for row in rows[:2]] == ["fast", "slow"]
    assert Path("compare.png").exists()
    assert main(["compare", str(runs / "slow"), str(runs / "fast"), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["runs"]
    assert [run["lr"] for run in compared] == [0.0001, 0.01]
    assert all(run["best val_accuracy"] >= run["val_accuracy"] for run in compared)
    assert all(run["best val_loss"] <= run["val_loss"] for run in compared)


def test_export(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = runs / "fast" / "model.safetensors"
    assert main(["export", str(model), "--out", "net.safetensors", "--quiet"]) == 0
    assert capsys.readouterr().out == "net.safetensors\n"
    weights = load_file("net.safetensors")
    kept = read_safetensors(model)[0]
    assert weights.keys() == {"layers.1.weight", "layers.1.bias", "layers.3.weight", "layers.3.bias",
                              "layers.5.weight", "layers.5.bias"}  # fmt: skip
    assert all(np.array_equal(weight, kept[f"model.{name}"]) for name, weight in weights.items())
    metadata = read_safetensors("net.safetensors")[1]
    assert json.loads(metadata["settings"])["model"] == "mlp"
    assert json.loads(metadata["classes"]) == list("0123456789")


def test_exported_weights_compute_the_same_in_pytorch(runs: Path) -> None:
    torch = pytest.importorskip("torch")
    main(["export", str(runs / "fast" / "model.safetensors"), "--out", "net.safetensors"])
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512),
        torch.nn.ReLU(), torch.nn.Linear(512, 10),
    )  # fmt: skip
    weights = {
        name.removeprefix("layers."): torch.tensor(array)
        for name, array in load_file("net.safetensors").items()
    }
    assert set(net.state_dict()) == set(weights)
    net.load_state_dict(weights)


def test_board(runs: Path, tmp_path: Path) -> None:
    """With a program in TensorBoard's place."""
    shutil.copytree(runs / "fast", "run, with: signs")
    Path("run, with: signs", "events.out.tfevents.1").touch()
    (tmp_path / "site" / "tensorboard").mkdir(parents=True)
    (tmp_path / "site" / "tensorboard" / "__init__.py").touch()
    (tmp_path / "site" / "tensorboard" / "main.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "xpnn", "board", "run, with: signs", "--port", "7007"],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "http://localhost:7007" in done.stdout
    assert "'--logdir', 'run, with: signs'" in done.stdout


def test_lr_find(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "mlp", "--optimizer", "sgd", "--batch-size", "128"]
    assert main(["lr-find", "digits", *options, "--steps", "60", "--high", "1"]) == 0
    said = capsys.readouterr().out
    rate = float(re.search(r"^learning rate (\S+)$", said, re.MULTILINE)[1])
    assert 1e-3 < rate < 1
    assert Path("lr.png").stat().st_size > 10_000
    command = shlex.split(said.splitlines()[-1])
    assert command[1:] == ["train", "digits", *options, "--lr", f"{rate:.3g}"]
    assert main([*command[1:], "--epochs", "1", "--quiet"]) == 0


MISTAKES = {
    "no run": (["plot", "RUNS/fats"], "there is no run in '.*fats'. Did you mean .*fast?"),
    "empty": (["compare", "RUNS/empty"], "there is no run in"),
    "no such measure": (["plot", "RUNS/fast", "--metrics", "lss"], "expects a history with one of lss, got"),
    "damaged history": (["plot", "damaged"], "is no history of a run"),
    "onnx": (["export", "RUNS/fast/model.safetensors", "--out", "x.onnx"], "cannot write ONNX .*safetensors"),
    "other ending": (["export", "RUNS/fast/model.safetensors", "--out", "x.pt"], "ends with .safetensors"),
    "onto itself": (
        ["export", "RUNS/fast/model.safetensors", "--out", "RUNS/fast/model.safetensors"],
        "another file than the checkpoint",
    ),
    "foreign": (["export", "damaged/history.jsonl"], "history.jsonl"),
    "no events": (["board", "RUNS/fast"], "there are no files of TensorBoard"),
    "no folder": (["board", "nowhere"], "there is no folder 'nowhere'"),
    "no data": (["lr-find"], "expects DATA"),
    "rates": (
        ["lr-find", "digits", "--low", "1", "--high", "0.1"],
        "--high expects more than --low 1, got 0.1",
    ),
    "never falls": (["lr-find", "digits", "--low", "9", "--high", "10", "--steps", "5"], "does not fall"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(arguments: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("damaged").mkdir()
    Path("damaged/history.jsonl").write_text("[1]\n")
    assert main([argument.replace("RUNS", str(runs)) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"xpnn {arguments[0]}: ")
    assert re.search(message, said), said


def test_a_column_that_is_not_there(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["compare", str(runs), "--sort", "speed"])
    assert ending.value.code == 2
    assert "there is no column 'speed': run, lr, epochs" in capsys.readouterr().err
