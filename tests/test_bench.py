"""The benchmark: its command line and verdicts, and that its workloads are the same in each library."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "ci"))

import bench  # noqa: E402
from benchmarks import competitors, earn, kernels, models, report, sweep  # noqa: E402
from benchmarks.frameworks import UnavailableError, torch_step, training_step, xpnn_step  # noqa: E402
from benchmarks.others import STEPS  # noqa: E402
from benchmarks.plain_jax import plain_jax_step  # noqa: E402
from benchmarks.processor import generation  # noqa: E402
from benchmarks.profiling import Profile, tables  # noqa: E402
from benchmarks.sweep import SIZES, SWEEPS  # noqa: E402
from benchmarks.workloads import WORKLOADS, Workload  # noqa: E402

STEPS_COMPARED = 3
SMALL = {
    "resnet20": (3, 16, 16),
    "resnet18": (3, 32, 32),
    "transformer": (6, 128),
    "lstm": (5, 128),
    "resnet50-1": (3, 32, 32),
    "resnet50-8": (3, 32, 32),
}
stops_processes = pytest.mark.skipif(sys.platform == "win32", reason="processes are not stopped there")
each_workload = pytest.mark.parametrize("name", WORKLOADS)


def small(name: str) -> Workload:
    """The workload with short sequences, little images and few of them."""
    workload = WORKLOADS[name]
    return replace(workload, shape=SMALL.get(name, workload.shape), batch=4 if workload.optimizer else 1)


def losses(step: Callable[[int], float]) -> list[float]:
    return [step(i) for i in range(STEPS_COMPARED)]


@each_workload
def test_losses_are_pytorchs(name: str) -> None:
    """In float64, since rounding drives the losses of a deep net on four images apart."""
    assert_losses_are_pytorchs(small(name))


@pytest.mark.parametrize("name", SWEEPS)
def test_losses_of_sweeps_are_pytorchs(name: str) -> None:
    smallest, *_ = SWEEPS[name].sizes.values()
    assert_losses_are_pytorchs(replace(smallest, batch=min(smallest.batch, 4)))


def assert_losses_are_pytorchs(workload: Workload) -> None:
    torch = pytest.importorskip("torch")
    libraries = (xpnn, xpnn.functional, xpnn.tensor), (torch, torch.nn.functional, torch.tensor)
    ours, theirs = (
        losses(training_step(workload, *library, change=lambda x: x.double())) for library in libraries
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        *("mlp", "mlp8", "lenet", "lstm", "resnet50-1"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet20", "transformer")),
    ],
)
def test_plain_jax_computes_the_same(name: str) -> None:
    pytest.importorskip("jax")
    ours = losses(xpnn_step(small(name), "numpy"))
    np.testing.assert_allclose(losses(plain_jax_step(name, small(name))), ours, rtol=1e-3)


@pytest.mark.parametrize("name", ["mlp", "mlp8", "lenet"])
@pytest.mark.parametrize("library", STEPS)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_other_libraries_compute_the_same(library: str, name: str) -> None:
    try:
        step = STEPS[library](name, small(name))
    except UnavailableError as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(losses(step), losses(xpnn_step(small(name), "numpy")), rtol=1e-2)


@pytest.mark.parametrize(
    "name",
    [
        *("layer-norm", "norm-relu", "adam-small", "cross-entropy", "conv-5x5", "conv-pool", "group-norm"),
        *("softmax", "arithmetic", "sums", "linear", "product", "embedding", "lstm", "sgd-small", "clip"),
    ],
)
def test_kernels_are_the_same_in_both_libraries(name: str) -> None:
    pytest.importorskip("torch")
    found = []
    for competitor in ("numpy", "pytorch"):
        told, step = kernels.prepare(competitor, name)
        step(0)
        found.append(told["check"])
    np.testing.assert_allclose(*found, rtol=1e-3)


# One of each kind that is quick; the last one's twin is torchvision's.
TWINS = (
    *("lenet", "non_local", "autoencoder", "gan", "made", "pixelcnn", "tagger_lstm", "seq2seq_dot"),
    *("ctc", "gpt", "detector", "nade", "shufflenet_v2"),
)


def test_twins_of_networks_have_the_same_losses() -> None:
    """In a process that never imports xpnn, whose files of networks run on PyTorch there."""
    pytest.importorskip("torch")
    names = [n for n in TWINS if "/" not in models.NETS[n].file or importlib.util.find_spec("torchvision")]
    program = (
        "import json, sys; from benchmarks import models; "
        "print(json.dumps({name: models.prepare('pytorch', name)[0] for name in sys.argv[1:]}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *names], cwd=ROOT / "ci", capture_output=True, text=True, check=True
    )
    for name, told in json.loads(run.stdout.splitlines()[-1]).items():
        ours, _ = models.prepare("numpy", name)
        np.testing.assert_allclose(ours["losses"], told["losses"], rtol=1e-3, err_msg=name)
        assert ours["losses"][1] < ours["losses"][0], name


def test_table_of_networks() -> None:
    rows = [
        {"net": "gpt", "competitor": name, "median_ms": ms, "ratio": ratio, "kept": 1, "samples": 2} | more
        for name, ms, ratio, more in (
            ("numpy", 32.0, 1.6, {"difference": 1e-7, "wrong": False}),
            ("pytorch", 20.0, 1.0, {}),
        )
    ]
    table, summary = report.models_table(rows)
    assert table.splitlines()[2:] == [
        "| GPT, 4 layers of 128, 8 x 64 | xpnn, NumPy | 32 | **1.60** | 1e-07 | 1 of 2 |"
    ]
    assert summary == "xpnn, NumPy: 1 networks, median 1.60, worst 1.60, above 1.5: 1 (gpt 1.60)."


def test_variants_of_pytorch() -> None:
    pytest.importorskip("torch")
    with pytest.raises(UnavailableError, match="no images"):
        torch_step(small("mlp"), "channels-last")
    assert kernels.has_variant("pytorch-channels-last", "conv-c64")
    assert not kernels.has_variant("pytorch-fused", "conv-c64")


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = bench.arguments(["--workloads", "mlp,lstm", "--competitors", "numpy,pytorch:cuda", "--quick"])
    assert options.workloads == ["mlp", "lstm"]
    assert options.competitors == ["numpy", "pytorch:cuda"]
    assert bench.arguments(["--kernels"]).kernels == list(kernels.KERNELS)
    assert bench.arguments(["--models"]).models == list(models.NETS)
    assert bench.arguments(["--models", "gpt,unet"]).competitors == list(models.COMPETITORS)
    assert bench.arguments(["--kernels", "gelu"]).competitors == list(kernels.COMPETITORS)
    for wrong in (
        ["--workloads", "mpl"],
        ["--competitors", "nunpy"],
        ["--kernels", "x"],
        ["--models", "x"],
        ["--profile", "x"],
    ):
        with pytest.raises(SystemExit, match="2"):
            bench.arguments(wrong)
        assert wrong[1] in capsys.readouterr().err


def test_choice_of_sizes() -> None:
    assert sweep.chosen(["lstm-length/64", "mlp-width"])[:2] == ["lstm-length/64", "mlp-width/32"]
    assert {name.partition("-")[0] for name in sweep.chosen(["lstm", "rnn"])} == {"lstm", "rnn"}
    assert bench.arguments(["--sweep"]).sweep == list(SIZES)
    assert bench.arguments(["--sweep", "gru-batch/1"]).competitors == list(bench.COMPETITORS["sweep"])
    assert bench.arguments(["--profile", "gru-batch/1"]).profile == "gru-batch/1"
    with pytest.raises(SystemExit, match="2"):
        bench.arguments(["--sweep", "lst"])


def test_sizes_go_up() -> None:
    """Peaks of memory are those of a process so far."""
    for swept in SWEEPS.values():
        assert list(swept.sizes) == sorted(swept.sizes)


def test_competitors_in_other_folders() -> None:
    assert competitors.parse("numpy@/a/b") == ("numpy", "", "/a/b")
    assert competitors.parse("pytorch:cuda") == ("pytorch", "cuda", "")
    assert competitors.label("numba@../before") == "xpnn, NumPy + Numba @ ../before"
    found = competitors.environment(f"numba@{ROOT}")
    assert (found["XPNN_NUMBA"], found["XPNN_COMPILED"], found["PYTHONPATH"]) == ("1", "1", str(ROOT))
    competitors.need_checkout(str(ROOT))
    with pytest.raises(UnavailableError, match="imported from"):
        competitors.need_checkout(str(ROOT / "ci"))


def test_generations_of_processors() -> None:
    assert generation("AuthenticAMD", 25, 17) == "Zen 4"
    assert generation("GenuineIntel", 6, 0x8F) == "Sapphire Rapids"
    assert generation("GenuineIntel", 6, 0) == "family 6, model 0"


class FakeWorker:
    """A worker that has measured."""

    def __init__(self, name: str, ms: float, losses: list[float]) -> None:
        self.name = name
        self.ready = {"losses": losses}
        self.samples = [{"seconds": [ms / 1e3] * 3, "others": 0.0, "peak_mb": 10 * ms}]

    def kept(self) -> list[dict[str, Any]]:
        return self.samples


def test_verdicts() -> None:
    reference = [2.0, 1.0, 0.5]
    field: list[Any] = [
        FakeWorker("numpy", 6.0, [2.0, 1.00005, 0.5]),
        FakeWorker("numba", 3.0, [2.0, 1.1, 0.5]),
        FakeWorker("pytorch", 8.0, reference),
        FakeWorker("pytorch-channels-last", 4.0, [2.0, 1.0, float("nan")]),
    ]
    rows = list(report.workload_rows("lenet", field, [2.0, 1.0, 0.5001]))
    assert [row["ratio"] for row in rows] == [1.5, 0.75, 2.0, 1.0]
    assert [row["memory_ratio"] for row in rows] == [1.5, 0.75, 2.0, 1.0]
    assert [row["wrong"] for row in rows] == [False, True, False, True]
    assert "| **1.50** | <= 0.7 | 0.75 | <= 0.9 | **1.50** | <= 0.35 |" in report.targets_table(rows)
    assert report.workloads_table(rows).count("**WRONG**") == 2


def test_sweep_tables() -> None:
    rows: list[dict[str, Any]] = []
    for task, ms in (("lstm-length/4", 1.0), ("lstm-length/16", 3.0), ("gru-batch/1", 0.5)):
        field: list[Any] = [FakeWorker("numpy", ms, [1.0, 1.0]), FakeWorker("pytorch", 2.0, [1.0, 1.1])]
        rows += report.workload_rows(task, field, None)
    speed, memory, summary = report.sweep_tables(rows)
    assert "| 4: 0.50 **WRONG** (2), 16: **1.50** **WRONG** (2) |" in speed
    assert "| 4: 10 (20), 16: 30 (20) |" in memory
    assert summary == ("xpnn, NumPy: 3 sizes, median 0.50, worst 1.50, above 1.2: 1 (lstm-length/16 1.50).")


def test_tasks_of_earn() -> None:
    everything = bench.arguments(["--earn"])
    assert (everything.task, everything.earn, everything.competitors) == ("earn", [], ["numpy", "numba"])
    assert everything.workloads == list(WORKLOADS)
    assert everything.kernels == list(kernels.KERNELS)
    assert len(everything.sweep) == len(SWEEPS)
    some = bench.arguments(["--earn", "numpy.conv,numba", "--kernels", "conv-c64"])
    assert some.earn == ["numpy.conv", "numba"]
    assert (some.kernels, some.workloads, some.sweep) == (["conv-c64"], [], [])


def test_files_that_a_step_enters() -> None:
    told, _ = earn.prepare("numpy", "max-pool")
    assert "numpy.pool" in told["entered"]
    assert "numpy.attention" not in told["entered"]
    assert {"numpy.pool", "numpy.attention", "numpy.conv.winograd"} <= set(told["files"])


def test_choice_of_kernel_files() -> None:
    files = ["numba.pool", "numpy.conv.rows", "numpy.convolved", "numpy.pool"]
    assert earn.chosen(files, [], "numpy@before") == files[1:]
    assert earn.chosen(files, ["numpy.conv", "numba"], "numpy") == ["numpy.conv.rows"]
    assert earn.chosen(files, ["numpy.conv", "numba"], "numba") == ["numba.pool"]


def test_earn_table() -> None:
    rows = [
        {"file": "numpy.a", "task": "mlp", "gain": 1.02},
        {"file": "numpy.a", "task": "lenet", "gain": 1.2},
        {"file": "numpy.b", "task": "gelu", "gain": 1.04},
        {"file": "numpy.c", "task": "mlp", "gain": None},
        {"file": "numpy.d", "task": "", "gain": None},
    ]
    _, table = report.earn_tables(rows)
    assert "| numpy.a | 1.20 | lenet 1.20, mlp 1.02 |  |  |" in table
    assert "| numpy.b | **1.04** |  | gelu 1.04 |  |" in table
    assert "| numpy.c | needed | mlp: cannot do without |  |  |" in table
    assert "| numpy.d | **not entered** |  |  |  |" in table


def test_profile_counts_outermost_calls_only() -> None:
    record = Profile()
    inner = record.wrap(lambda x: x, "inner", "forward")
    outer = record.wrap(inner, "outer", "forward")
    outer(np.ones((2, 3)))
    inner(np.ones(4))
    assert dict(record.calls) == {("outer", "forward", "2x3"): 1, ("inner", "forward", "4"): 1}
    assert any("| outer | forward | 2x3 |" in line for line in tables(record, 1, 1.0, 1.0))


def run(out: Path, *words: str) -> tuple[str, dict[str, Any]]:
    """What a quick run of the benchmark prints, and what it writes for JSON."""
    command = [sys.executable, str(ROOT / "ci" / "bench.py"), "--quick", "--seconds", "0.5"]
    done = subprocess.run(
        [*command, "--json", str(out), *words],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout, json.loads(out.read_text())


@stops_processes
def test_a_small_run(tmp_path: Path) -> None:
    printed, written = run(tmp_path / "bench.json", "--workloads", "mlp8", "--competitors", "numpy")
    assert "| MLP 784-128-10, batch 8 | xpnn, NumPy |" in printed
    (row,) = written["results"]
    assert row["median_ms"] > 0
    assert row["peak_mb"] > 10
    assert len(row["losses"]) == 5
    assert xpnn.get_backend().name == "numpy"


@stops_processes
def test_a_small_sweep(tmp_path: Path) -> None:
    """Of this xpnn, and of the one in a folder, which is the same here."""
    names = f"numpy,numpy@{ROOT}"
    printed, written = run(tmp_path / "sweep.json", "--sweep", "lstm-length/4", "--competitors", names)
    assert f"| LSTM 64-64 batch 16, length | xpnn, NumPy @ {ROOT} | 4: " in printed
    ours, same = written["sweep"]
    assert ours["losses"] == same["losses"]
    assert ours["peak_mb"] > 10


@stops_processes
def test_a_kernel_file_switched_off(tmp_path: Path) -> None:
    out = tmp_path / "earn.json"
    words = ("--earn", "numpy.pool", "--kernels", "max-pool", "--competitors", "numpy")
    printed, written = run(out, *words)
    assert "| numpy.pool | " in printed
    (row,) = written["earn"]
    assert row["gain"] > 0
    again = [sys.executable, str(ROOT / "ci" / "bench.py"), "--show", str(out)]
    assert subprocess.run(again, capture_output=True, text=True, check=True).stdout == printed
