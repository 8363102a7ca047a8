"""What all commands have: configuration files, JSON, quiet runs, plug-ins, completion, and the doctor."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from test_cli import QUICK, interrupt_in_batch, weights

from xpnn.cli import doctor, main
from xpnn.cli.program import build_parser
from xpnn.io import read_checkpoint

ROOT = Path(__file__).parent.parent
RUN = ["train", "digits", *QUICK, "--model", "mlp"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Configuration files


def test_a_file_of_options_and_what_overrides_them(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.toml").write_text(
        'data = "digits"\nmodel = "mlp"\nbatch-size = 128\nlr = 1e-3\nlabel_smoothing = 0\nepochs = 7\n'
        'out = "here"\n'
    )
    assert main(["train", "--config", "run.toml", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "1 epochs in batches of 128, adamw, learning rate 0.001 (onecycle), weight decay 0.01" in said
    assert "label smoothing 0, augmentation crop, seed 0" in said
    assert read_checkpoint("here/model.safetensors").config["settings"]["model"] == "mlp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'mlp'", "run.toml has a key 'modle' that means nothing here. Did you mean model?"),
        ("lr = 'fast'", "'lr' in run.toml expects a positive number, got 'fast'"),
        ("epochs = 1.5", "'epochs' in run.toml expects a positive whole number, got '1.5'"),
        ("channels = 2", "'channels' in run.toml expects one of 1, 3, got 2"),
        ("optimizer = 'adma'", "'optimizer' in run.toml expects one of .* Did you mean adam?"),
        ("download = 1", "'download' in run.toml expects true or false, got 1"),
        ("lr = {a = 1}", "'lr' in run.toml expects a value, got the table"),
        ("lr = = 1", "'run.toml' is no TOML file: .*line 1"),
        ("resume = true", "has a key 'resume' that means nothing here"),
        ("label-smoothing = 3", "--label-smoothing expects a share below 1"),
        ("\0", "'run.toml' is no TOML file"),
    ],
)
def test_wrong_files_of_options(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.toml").write_text(text)
    assert main(["train", "digits", "--config", "run.toml"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said


def test_a_missing_file_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--config", "no.toml"]) == 2
    assert capsys.readouterr().err == "xpnn train: no.toml: No such file or directory\n"


# Output


def test_results_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["epochs"] == 2
    assert trained["settings"]["model"] == "mlp"
    assert {"runs/digits/model.safetensors", "runs/digits/curve.png"} <= set(trained["files"])
    assert main(["eval", trained["files"][0], "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["test_accuracy"] == trained["test_accuracy"]
    assert np.trace(tested["confusion"]) == round(tested["test_accuracy"] * np.sum(tested["confusion"]))
    assert main(["predict", trained["files"][0], "runs/digits/example.png", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["predictions"]
    assert abs(sum(said["probabilities"].values()) - 1) < 1e-5
    assert main(["train", "digts", "--json"]) == 2
    wrong = json.loads(capsys.readouterr().out)
    assert (wrong["code"], "Did you mean digits?" in wrong["error"]) == (2, True)


def test_quiet_runs_say_the_result_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--quiet"]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"test accuracy [\d.]+ %\n", said.out)
    assert said.err == ""


# Resuming


def test_resume_auto_begins_goes_on_and_survives_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--resume", "auto", "--out", "whole"]) == 0
    interrupt_in_batch(monkeypatch, 15)
    assert main([*RUN, "--resume", "auto", "--out", "cut"]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    Path("cut/last.safetensors").write_bytes(Path("cut/last.safetensors").read_bytes()[:9000])
    capsys.readouterr()
    assert main([*RUN, "--resume", "auto", "--out", "cut"]) == 0
    said = capsys.readouterr()
    assert "going on from cut/previous.safetensors" in said.out
    assert "'cut/last.safetensors' is damaged and is left aside" in said.err
    first, second = weights(Path("whole")), weights(Path("cut"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_resume_before_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "digits"]) == 2
    assert "--resume finds no interrupted run in 'runs/digits'" in capsys.readouterr().err
    assert main(["train", "digits", "--resume", "later"]) == 2
    assert "--resume is given alone or as --resume auto, got 'later'" in capsys.readouterr().err


# Plug-ins

PLUGIN = """
import numpy
from xpnn import models
from xpnn.backend import Backend

@models.register(input_shape=(1, 8, 8))
def tiny(num_classes=10, in_channels=1, image_size=8):
    return models.MLP([in_channels * image_size**2, 16, num_classes])

def backend():
    return Backend("twin", ("numpy",), lambda: numpy, "pip install twin")

class Stripes:
    classes = ("across", "along")

    def __init__(self, train):
        self.count = 60 if train else 20

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = numpy.zeros((1, 8, 8), "uint8")
        image[:, ::2] = 200 + index % 50
        return (image if index % 2 else image.transpose(0, 2, 1)), index % 2

def broken():
    raise ValueError("out of order")
"""
ENTRY_POINTS = """[xpnn.backends]
twin = made_up:backend
faulty = made_up:broken
[xpnn.models]
tiny = made_up:tiny
[xpnn.data]
stripes = made_up:Stripes
"""


def test_a_package_adds_backends_models_and_data(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "made_up-1.0.dist-info").mkdir(parents=True)
    (site / "made_up.py").write_text(PLUGIN)
    (site / "made_up-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
    )
    (site / "made_up-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)

    def xpnn_program(*arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(site), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "xpnn", *arguments],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=600,
        )

    done = xpnn_program("train", "stripes", "--model", "tiny", "--epochs", "3", "--quiet", "--channels", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "test accuracy 100.0 %\n"
    assert "plug-in faulty of made-up is left out: ValueError: out of order" in done.stderr
    wrong = xpnn_program("train", "stipes")
    assert "Did you mean stripes?" in wrong.stderr
    told = xpnn_program("doctor")
    assert told.returncode == 1
    assert re.search(r"works +backend twin", told.stdout)
    assert re.search(r"broken +plug-in xpnn.backends +'faulty' of made-up: ValueError", told.stdout)
    assert "stripes" in xpnn_program("completion", "bash").stdout


# The doctor


def test_the_doctor_knows_all_extras(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {"pillow": "PIL", "scikit-learn": "sklearn"}
    for extra, known in doctor.EXTRAS.items():
        names = [re.match(r"[\w-]+", requirement)[0] for requirement in declared[extra]]
        assert [packages.get(name, name) for name in names] == list(known)
    bundles = {"test", "all", "dev", "cuda12", "cuda13", "torch", "jax", "dpnp", "mlx"}
    assert set(declared) - bundles == set(doctor.EXTRAS)

    found = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "optuna" else found(name)
    )
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"topic": "extra search", "state": "missing", "detail": "optuna: xpnn search",
            "remedy": "pip install 'xpnn[search]'"} in findings  # fmt: skip
    assert main(["doctor"]) == 0
    assert "  pip install 'xpnn[search]'" in capsys.readouterr().out


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in build_parser().commands)
    assert "onecycle" in script
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, timeout=600)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tra", {"train"}),
        ("train dig", {"digits"}),
        ("train --optimizer ada", {"adam", "adamw"}),
        ("train digits --sche", {"--schedule"}),
        ("summary resnet1", {"resnet18", "resnet101", "resnet152", "resnet110"}),
        ("completion fi", {"fish"}),
        ("eval m", {"my file.safetensors"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    Path("my file.safetensors").touch()
    main(["completion", "bash"])
    script = capsys.readouterr().out
    last = len(words.split())
    script += f'\nCOMP_WORDS=(xpnn {words}); COMP_CWORD={last}; _xpnn; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert set(done.stdout.split("\n")[:-1]) == expected
