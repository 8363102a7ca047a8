"""The search over hyper-parameters: what it tries, that it can be cut anywhere, and by many processes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

import xpnn
from xpnn import nn, optim
from xpnn.cli import main
from xpnn.data import DataLoader, TensorDataset
from xpnn.search import Choice, Int, LogUniform, Pruned, ReportToTrial, Search, Trial, Uniform, space_of
from xpnn.search.space import grid_of
from xpnn.search.storage import JOURNAL
from xpnn.train import Trainer

ROOT = Path(__file__).parent.parent
SPACE = {"x": Uniform(-1, 1), "n": Int(1, 3), "k": Choice(["a", "b"])}


def valley(trial: Trial) -> float:
    return (trial.params["x"] - 0.3) ** 2 + trial.params["n"]


def params(results: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in results]


# Spaces


def test_spaces() -> None:
    assert space_of(
        {
            "lr": {"log_uniform": [1e-4, 0.1], "points": 4},
            "n": {"int": [1, 9]},
            "u": {"uniform": [0, 1]},
            "c": ["a", True, 3],
        }
    ) == {"lr": LogUniform(1e-4, 0.1, 4), "n": Int(1, 9), "u": Uniform(0, 1), "c": Choice(("a", True, 3))}
    assert LogUniform(1e-4, 0.1, 4).grid() == [0.0001, 0.001, 0.01, 0.1]
    assert grid_of({"a": Choice([1, 2]), "b": Int(0, 1)}) == [
        {"a": 1, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 0}, {"a": 2, "b": 1},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("range_", "message"),
    [
        ({"log-unifrom": [1, 2]}, "'p' expects one of uniform, .* Did you mean log-uniform?"),
        ({"uniform": [1]}, "'p' expects two ends"),
        ({"uniform": [2, 1]}, "'p' expects numbers low <= high, got 2 and 1"),
        ({"log-uniform": [0, 1]}, "'p' expects low > 0"),
        ({"int": [0.5, 2]}, "'p' expects whole numbers"),
        ({"int": [0, 2], "points": 0}, "'p' expects points >= 1"),
        ({"uniform": [float("nan"), 2]}, "'p' expects numbers low <= high"),
        ([], "'p' expects at least one value"),
        ([[1]], "'p' expects numbers, strings"),
        (3, "'p' expects a list of values, or a table"),
        ({}, "'p' expects one of uniform, .*, got nothing"),
        ({"uniform": [0, 1], "int": [0, 1]}, "'p' expects one of"),
    ],
)
def test_wrong_ranges(range_: Any, message: str) -> None:
    with pytest.raises(xpnn.XpnnError, match=message):
        space_of({"p": range_})


# What is tried


@pytest.mark.parametrize("method", ["tpe", "random", "grid"])
def test_a_search_is_a_function_of_its_seed_and_can_be_continued(method: str, tmp_path: Path) -> None:
    space = {"x": Uniform(-1, 1, points=4), "k": Choice(["a", "b"]), "l": LogUniform(0.1, 10, points=2)}

    def search(folder: str, seed: int = 0) -> Search:
        return Search(space, tmp_path / folder, method=method, seed=seed)

    whole = search("whole").run(lambda trial: trial.params["x"] ** 2, trials=13)
    search("parts").run(lambda trial: trial.params["x"] ** 2, trials=5)
    parts = search("parts").run(lambda trial: trial.params["x"] ** 2, trials=13)
    assert params(whole) == params(parts)
    assert len(whole) == 13
    assert params(search("other", seed=1).run(lambda trial: 0.0, trials=13)) != params(whole)
    assert all(-1 <= trial.params["x"] <= 1 and 0.1 <= trial.params["l"] <= 10 for trial in whole)
    assert whole.best.value == min(trial.value for trial in whole)


def test_a_grid_has_each_point_once(tmp_path: Path) -> None:
    space = {"a": Choice([1, 2, 3]), "b": Int(0, 1)}
    results = Search(space, tmp_path, method="grid", maximize=True).run(lambda trial: trial.params["a"])
    assert sorted(params(results), key=str) == sorted(grid_of(space), key=str)
    assert results.best.params["a"] == 3


@pytest.mark.slow
def test_tpe_does_better_than_random(tmp_path: Path) -> None:
    def best(method: str, seed: int) -> float:
        space = {"x": Uniform(-5, 5), "y": Uniform(-5, 5)}
        search = Search(space, tmp_path / f"{method}{seed}", method=method, seed=seed)
        bowl = search.run(
            lambda trial: (trial.params["x"] - 2) ** 2 + (trial.params["y"] + 1) ** 2, trials=40
        )
        return bowl.best.value

    assert sum(best("tpe", seed) for seed in range(3)) < sum(best("random", seed) for seed in range(3)) / 2


def test_asha_ends_the_hopeless_early(tmp_path: Path) -> None:
    def learn(trial: Trial) -> float:
        for step in range(1, 10):
            trial.report(trial.params["x"] + 1 / step, step, last=step == 9)
        return trial.params["x"]

    results = Search({"x": Uniform(0, 1)}, tmp_path, method="random", pruner="asha").run(learn, trials=20)
    assert results.count("pruned") >= 10
    assert results.count("done") + results.count("pruned") == 20
    assert {trial.steps for trial in results if trial.state == "pruned"} <= {1, 3, 9}
    assert results.best.value == min(trial.params["x"] for trial in results)  # the best is not among them


def test_a_failing_trial_is_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    def fails(trial: Trial) -> float:
        if trial.number == 1:
            raise ValueError("too\nlarge")
        return float("nan") if trial.number == 2 else trial.params["x"]

    search = Search({"x": Uniform(0, 1)}, tmp_path, method="random")
    results = search.run(fails, trials=4)
    assert [trial.state for trial in results] == ["done", "failed", "failed", "done"]
    assert results[1].error == "ValueError: too large"
    assert "nan" in results[2].error
    assert "ValueError: too" in (tmp_path / "trials/0001/error.txt").read_text()
    assert "ValueError: too large" in str(results)
    rows = list(csv.reader(results.save_table(tmp_path / "table.csv").read_text().splitlines()))
    assert rows[0] == ["trial", "state", "value", "x", "steps", "seconds", "error"]
    assert [row[1] for row in rows[1:]] == ["done", "done", "failed", "failed"]


# Cut searches


def test_an_interrupted_trial_is_taken_up_again(tmp_path: Path) -> None:
    def interrupted(trial: Trial) -> float:
        (trial.folder / "left").touch()
        if trial.number == 2:
            raise KeyboardInterrupt
        return valley(trial)

    whole = Search(SPACE, tmp_path / "whole").run(valley, trials=6)
    with pytest.raises(KeyboardInterrupt):
        Search(SPACE, tmp_path / "cut").run(interrupted, trials=6)
    tried = []

    def goes_on(trial: Trial) -> float:
        tried.append((trial.number, (trial.folder / "left").exists()))
        return valley(trial)

    results = Search(SPACE, tmp_path / "cut").run(goes_on, trials=6)
    assert tried == [(2, True), (3, False), (4, False), (5, False)]
    assert params(results) == params(whole)
    assert results.count("done") == 6


KILLER = """
import os, signal, sys
from test_search import SPACE, Search, valley

def killed(trial):
    if trial.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return valley(trial)

if __name__ == "__main__":
    Search(SPACE, sys.argv[1]).run(killed, trials=3)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_trials_of_killed_processes(tmp_path: Path) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    whole = Search(SPACE, tmp_path / "whole").run(valley, trials=3)
    for attempt in range(3):
        done = run_script("killer.py", tmp_path / "cut", cwd=tmp_path)
        assert done.returncode == -signal.SIGKILL, done.stderr
        if attempt == 0:
            with (tmp_path / "cut" / JOURNAL).open("ab") as file:
                file.write(b'{"op_code": 4, "worker_')  # killed while it wrote
    results = Search(SPACE, tmp_path / "cut").run(valley, trials=3)
    assert [trial.state for trial in results] == ["done", "failed", "done"]
    assert results[1].error == "its process was killed 3 times"
    assert params(results) == params(whole)


def run_script(script: str, *arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def test_a_search_goes_on_only_as_it_began(tmp_path: Path) -> None:
    Search(SPACE, tmp_path, seed=1).run(valley, trials=1)
    for other in ({"seed": 2}, {"method": "random"}, {"maximize": True}, {"pruner": "asha"}):
        with pytest.raises(xpnn.XpnnError, match="holds a search that was begun with"):
            Search(SPACE, tmp_path, **{"seed": 1, **other})
    with pytest.raises(xpnn.XpnnError, match="begun with space"):
        Search({"x": Uniform(0, 1)}, tmp_path, seed=1)


def test_wrong_arguments(tmp_path: Path) -> None:
    for options, message in [
        ({"method": "gird"}, "Did you mean 'grid'"),
        ({"pruner": "x"}, "pruner to be one of"),
        ({"space": {}}, "at least one parameter"),
        ({"space": {"x": (0, 1)}}, "expects ranges such as"),
    ]:
        with pytest.raises(xpnn.XpnnError, match=message):
            Search(**{"space": SPACE, "folder": tmp_path, **options})
    search = Search(SPACE, tmp_path)
    with pytest.raises(xpnn.XpnnError, match="trials as an integer >= 1"):
        search.run(valley, trials=0)
    with pytest.raises(xpnn.XpnnError, match="expects a function"):
        search.run(3)
    with pytest.raises(xpnn.XpnnError, match="cannot be sent to other processes"):
        search.run(lambda trial: 0.0, trials=2, processes=2)


# Several processes


def at_work(trials: Path) -> set[str]:
    """The processes that have begun a trial of `slow_valley`."""
    return {path.name for path in trials.glob("*/*") if path.name.isdigit()}


def slow_valley(trial: Trial) -> float:
    (trial.folder / str(os.getpid())).touch()
    until = time.monotonic() + 300
    while len(at_work(trial.folder.parent)) < 2 and time.monotonic() < until:
        time.sleep(0.05)  # until the other process has a trial too
    return valley(trial)


def dies_once(trial: Trial) -> float:
    mark = trial.folder / "died"
    if trial.number == 0 and not mark.exists():
        mark.touch()
        os._exit(9)
    return slow_valley(trial)


@pytest.mark.parametrize("objective", [slow_valley, dies_once])
def test_processes_share_a_search(objective: Any, tmp_path: Path) -> None:
    alone = Search(SPACE, tmp_path / "alone", method="random").run(valley, trials=6)
    both = Search(SPACE, tmp_path / "both", method="random").run(objective, trials=6, processes=2)
    assert params(both) == params(alone)
    assert both.count("done") == 6
    pids = at_work(tmp_path / "both" / "trials")
    assert len(pids) >= 2
    assert str(os.getpid()) not in pids


# With a Trainer


def test_a_trainer_reports_its_epochs(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset([[0.0], [1.0]], [0, 1]), batch_size=2, seed=0)

    def objective(trial: Trial) -> float:
        xpnn.manual_seed(0)
        model = nn.Linear(1, 2)
        optimizer = optim.SGD(model.parameters(), lr=trial.params["lr"])
        trainer = Trainer(model, optimizer, callbacks=[ReportToTrial(trial)], progress=False)
        return trainer.fit(loader, epochs=9)["loss"][-1]

    search = Search({"lr": LogUniform(1e-5, 1)}, tmp_path, method="random", pruner="asha")
    results = search.run(objective, trials=9)
    assert results.count("pruned") > 0
    assert results.count("failed") == 0
    assert results.best.params["lr"] == max(trial.params["lr"] for trial in results)
    assert results.best.steps == 9
    trial = Trial(None, 0, {}, tmp_path)
    with pytest.raises(Pruned):
        trial.report(float("nan"), 1)
    with pytest.raises(xpnn.XpnnError, match="watches 'val_lss', which this run does not measure"):
        Trainer(
            model := nn.Linear(1, 2), optim.SGD(model.parameters(), lr=0.1),
            callbacks=[ReportToTrial(trial, "val_lss")], progress=False,
        ).fit(loader)  # fmt: skip


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    def objective(trial: Trial) -> float:
        trial.report(1, 1)
        trial.report(2, 2)
        return valley(trial)

    results = Search(SPACE, tmp_path, method="random").run(objective, trials=5)
    files = {path.name for path in results.save_plots(tmp_path)}
    assert {"history.png", "slice.png", "parallel.png", "epochs.png"} <= files
    assert all((tmp_path / name).stat().st_size > 10_000 for name in files)


# The command

CONFIG = """
data = "digits"
model = "mlp"
epochs = 2
batch-size = 128

[search]
trials = 3
method = "random"

[search.space]
lr = {log-uniform = [1e-3, 1e-2]}
optimizer = ["sgd", "adamw"]
"""


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(CONFIG)
    assert main(["search", "s.toml"]) == 0
    said = capsys.readouterr().out
    assert "3 trials by random (seed 0), pruner asha, for the smallest val_loss" in said
    assert len(re.findall(r"^trial \d: val_loss [\d.]+", said, re.MULTILINE)) == 3
    assert not list(Path("runs/search-s").rglob("*.safetensors"))
    assert main(["search", "s.toml", "--trials", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [trial["number"] for trial in result["trials"]] == [0, 1, 2, 3]
    assert result["best"]["value"] == min(t["value"] for t in result["trials"] if t["state"] == "done")

    page = Path("runs/search-s/report.html").read_text()
    pictures = list(Path("runs/search-s").glob("*.png"))
    assert len(pictures) >= 3
    assert page.count("<img ") == page.count("data:image/png;base64,") == len(pictures)
    assert f"<code>{result['command']}</code>" in page
    assert page.count("<tr>") == 5  # the heading, and the trials
    assert "http" not in re.sub('data:[^"]*', "", page).replace("http-equiv", "")

    words = result["command"].split()[1:]
    assert main([*words, "--quiet"]) == 0
    assert main(["train", "--config", "runs/search-s/best.toml", "--out", "again", "--quiet"]) == 0
    first, second = (path / "model.safetensors" for path in (Path("runs/best-s"), Path("again")))
    first, second = (xpnn.io.read_safetensors(path)[0] for path in (first, second))
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[search.space]", "[search.spaces]", "expects a table \\[search.space\\]"),
        ("lr = {", "lrr = {", "has a parameter 'lrr' that is no option of `xpnn train`. Did you mean lr?"),
        ("log-uniform", "log", "'lr' expects one of uniform, log-uniform, int, choice, got log"),
        ("1e-2]}", "1e3]}", "--lr expects at most 100"),
        ('"sgd", ', '"sdg", ', "'optimizer' in the search space expects one of .* Did you mean sgd?"),
        ("trials = 3", "trails = 3", "has a key 'trails' that means nothing here. Did you mean trials?"),
        ('"random"', '"rnadom"', "'method' in .* Did you mean random?"),
        ('data = "digits"', "", "names no data"),
        ('"digits"', '"digts"', "no data set, folder or table 'digts'. Did you mean digits?"),
        ('"mlp"', '"mpl"', "no model 'mpl'. Did you mean 'mlp'"),
        ("epochs = 2", "epoch = 2", "has a key 'epoch' .* Did you mean epochs?"),
        ("lr = {log-uniform = [1e-3, 1e-2]}", "label-smoothing = [0, 0.1]", "--metric val_accuracy"),
    ],
)
def test_wrong_files(
    before: str, after: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert before in CONFIG
    Path("s.toml").write_text(CONFIG.replace(before, after))
    assert main(["search", "s.toml"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert re.search(message, said.err), said.err
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_is_cut_goes_on(number: int, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and SIGKILL to the program, while two processes work for it."""
    (tmp_path / "s.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 40"))
    command = [sys.executable, "-m", "xpnn", "search", "s.toml", "--processes", "2", "--trials", "6"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "text": True}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options
    )
    while not list(tmp_path.glob("runs/search-s/trials/*/*.safetensors")):
        time.sleep(0.005)
        assert process.poll() is None
    process.send_signal(number)
    said = process.communicate(timeout=300)[1]
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[number]
    assert process.returncode == expected, said
    if number != signal.SIGKILL:
        assert "go on with" in said
        assert "Traceback" not in said
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=600, **options)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["number"] for trial in trials] == list(range(6))
    assert {trial["state"] for trial in trials} <= {"done", "pruned"}
