"""Several processes that compute together, started as users start them; `ranks.py` is what each one does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from xpnn import distributed as dist
from xpnn.backend.halves import HALVES, packed, unpacked
from xpnn.backend.launchers import launched_here, launching_advice
from xpnn.backend.loans import Loan, Loans
from xpnn.cli.program import main
from xpnn.io import read_checkpoint

RANKS, TRAINING = (str(Path(__file__).with_name(name)) for name in ("ranks.py", "ranks_training.py"))
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py and an mpiexec"
)


def run(size: int, *arguments: str, runner: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script in so many processes, each with one thread. What hangs fails after five minutes."""
    through = ["-m", "mpi4py"] if runner else []
    return subprocess.run(
        [str(MPIEXEC), "-n", str(size), sys.executable, *through, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("collectives", 1),
        ("collectives", 3),
        ("messages", 2),
        ("messages", 4),
        ("nccl", 2),
        ("nccl", 4),
        ("without_nccl", 2),
        ("gradients", 2),
        ("gradients", 4),
        ("unused", 2),
        ("other_hooks", 3),
        ("many", 2),
        ("interrupted", 2),
        ("comm_hooks", 2),
        ("second_order", 2),
        ("sync_batch_norm", 2),
        ("sync_batch_norm", 4),
        ("refusals", 2),
        ("straggler", 2),
        ("join", 2),
        ("wrapped", 1),
        ("wrapped", 2),
        ("validation", 2),
        ("zero_redundancy", 1),
        ("zero_redundancy", 3),
    ],
)
def test_ranks(name: str, size: int) -> None:
    done = run(size, RANKS, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == size


@pytest.mark.parametrize(
    ("name", "runner", "said"),
    [
        ("raises", True, "RuntimeError: out of luck"),
        ("raises", False, "RuntimeError: out of luck"),  # by `mpiexec python script.py`
        ("exits", True, ""),
        ("killed", False, ""),
    ],
)
def test_a_rank_that_dies_ends_all(name: str, runner: bool, said: str) -> None:
    """The others wait in a barrier; `run` fails if they go on to do so."""
    done = run(2, RANKS, name, runner=runner)
    assert done.returncode != 0
    assert said in done.stderr
    assert "done" not in done.stdout


def trained(size: int, folder: Path, *words: str) -> tuple[list[dict[str, float]], list[float]]:
    """The history of a run in so many processes, and the sums of squares of its parameters."""
    done = run(size, TRAINING, str(folder), *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["rows"], found["sums"]


def expect_same(found: tuple, expected: tuple) -> None:
    for row, other in zip(found[0], expected[0], strict=True):
        assert row == pytest.approx(other, rel=1e-6), "metrics are float32"
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-10)
        assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-10)
    assert expected[1] is None or found[1] == pytest.approx(expected[1], rel=1e-8)


def test_trainer(tmp_path: Path) -> None:
    """The losses do not depend on how many processes there are, nor on whether that changes in between."""
    alone = trained(1, tmp_path / "1", "4")
    expect_same(trained(2, tmp_path / "2", "4"), alone)
    trained(3, tmp_path / "3", "2")
    expect_same(trained(2, tmp_path / "3", "4", "resume"), alone)
    expect_same(trained(2, tmp_path / "twice", "3", "twice"), alone)


@pytest.mark.parametrize("batch", [10, 14])  # of 7 in an epoch; steps are of two
def test_a_run_that_is_cut_within_an_epoch(batch: int, tmp_path: Path) -> None:
    """What it has summed up, and the gradient of half a step, go over to another number of processes."""
    alone = trained(1, tmp_path / "alone", "3")
    ended = run(3, TRAINING, str(tmp_path / "cut"), "3", "term", "1", str(batch))
    assert ended.returncode == 143, ended.stderr
    assert read_checkpoint(tmp_path / "cut" / "last.safetensors").states["trainer"]["batches"] >= batch
    expect_same(trained(2, tmp_path / "cut", "3", "resume"), alone)


@pytest.mark.parametrize("when", ["often", "always"])
def test_a_run_of_several_that_is_killed_within_an_epoch(when: str, tmp_path: Path) -> None:
    """It goes on from the last batch, of which the file that was written then has all that was summed up."""
    alone = trained(1, tmp_path / "alone", "3")
    killed = run(2, TRAINING, str(tmp_path / "cut"), "3", when, "kill", "1", "11")
    assert killed.returncode != 0
    assert 10 <= read_checkpoint(tmp_path / "cut" / "last.safetensors").states["trainer"]["batches"] <= 11
    expect_same(trained(3, tmp_path / "cut", "3", when, "resume"), alone)


def test_trainer_with_a_state_that_is_shared_out(tmp_path: Path) -> None:
    """It is written once, and read by any number of processes, with or without sharing it out."""
    alone = trained(1, tmp_path / "1", "3")
    trained(3, tmp_path / "3", "1", "zero")
    expect_same(trained(2, tmp_path / "3", "2", "zero", "resume"), (alone[0][:2], None))
    expect_same(trained(1, tmp_path / "3", "3", "resume"), alone)


def test_a_killed_rank_begins_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two processes are killed one after the other; each time the job goes on from the last checkpoint."""
    expected = trained(1, tmp_path / "whole", "4")
    job = ["launch", "-n", "2", "--restarts", "3", TRAINING, str(tmp_path / "cut"), "4"]
    assert main([*job, "kill", "1", "9"]) == 0
    *news, result = capfd.readouterr().out.splitlines()
    assert [line[-9:] for line in news if line.startswith("the processes")] == ["restart 1", "restart 2"]
    found = json.loads(result)
    expect_same((found["rows"], found["sums"]), expected)


def test_launch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two ways to start, what the exit code is, and that a job begins again after a failure."""
    assert main(["launch", "-n", "2", RANKS, "unused"]) == 0
    assert capfd.readouterr().out.count("done") == 2
    script = tmp_path / "twice.py"
    script.write_text(
        "import os, sys, xpnn.distributed as dist\n"
        "group = dist.init()\n"
        "if os.environ['XPNN_RESTARTS'] == '0' and group.rank == 1: sys.exit(7)\n"
        "dist.barrier()\n"
        "print(sys.argv[1:])\n"
    )
    assert main(["launch", "-n", "2", "--restarts", "2", str(script), "--quiet", "x"]) == 0
    said = capfd.readouterr().out
    assert "exit code 7; restart 1" in said
    assert said.count("['--quiet', 'x']") == 2
    assert main(["launch", "-n", "2", "--quiet", str(script)]) == 7
    assert main(["launch", "-n", "2", "no/script.py"]) == 2
    assert "no file" in capfd.readouterr().err
    assert main(["launch", "-n", "2", "-m", "no_such.module"]) == 2
    assert "there is no module 'no_such.module'" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["launch", "-n", "2"])
    assert "required: SCRIPT. See" in capfd.readouterr().err


def test_cores_are_shared() -> None:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    command = [str(MPIEXEC), "-n", "2", sys.executable, RANKS, "threads"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("done") == 2


@pytest.mark.parametrize(
    "program",
    [
        "import xpnn.distributed as d; d.init_process_group('gloo')",
        "from xpnn.train.team import Team; Team()",
    ],
    ids=["by hand", "trainer"],
)
def test_torchrun_starts_no_processes_of_mpi(program: str) -> None:
    """Each of them would train alone, and say nothing."""
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 1
    assert "ProcessError: This process was started as one of 2 processes" in found.stderr
    assert "`xpnn launch`, not torchrun" in found.stderr


@pytest.mark.parametrize(
    ("tasks", "node", "cores", "here"),
    [
        ("2", "0", 1, 2),
        ("2(x3),1", "2", 1, 2),
        ("2(x3),1", "3", 1, 1),
        ("2(x3),1", "4", 1, None),
        ("2", "0", 10_000, None),  # each has its own
        ("", "0", 1, None),
        ("2", "", 1, None),
    ],
)
def test_processes_of_slurm(
    tasks: str, node: str, cores: int, here: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", tasks)
    monkeypatch.setenv("SLURM_NODEID", node)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", str(cores))
    assert launched_here() == here
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert "srun --mpi=pmi2" in launching_advice()


def test_loans() -> None:
    """What one process has back is lent again when the other has it back too, and has no messages in it."""
    numbers: list[int] = []
    others = [1] * 9  # what the other process has back

    def borrow() -> Loan:
        found = loans.borrow(lambda: len(numbers), lambda flags: np.minimum(flags, others[: len(flags)]))
        numbers.append(found.number)
        return found

    loans = Loans()
    first, second = borrow(), borrow()
    first.give_back()
    others[0] = 0
    third = borrow()
    others[0] = 1
    again = borrow()
    first.give_back()  # of no effect any more
    second.busy = True
    second.give_back()
    third.give_back()
    assert borrow().item == third.item == 2
    assert again.item == first.item == 0
    assert numbers == [0, 1, 2, 0, 2]


def test_garbage_is_collected_before_many_are_lent() -> None:
    class Borrower:
        def __init__(self) -> None:
            self.loan = loans.borrow(object, lambda flags: flags)
            weakref.finalize(self, self.loan.give_back)
            self.itself = self

    loans = Loans()
    numbers = [Borrower().loan.number for _ in range(300)]
    assert max(numbers) < 64


@pytest.mark.parametrize("half", HALVES)
def test_halves_are_rounded_as_in_torch(half: str) -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    x = (draw.standard_normal(1000) * 10.0 ** draw.integers(-9, 6, 1000)).astype(np.float32)
    ties = np.array([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00018000], np.uint32).view(np.float32)
    x = np.concatenate([x, ties, np.array([0, -0.0, np.inf, -np.inf, np.nan, 65520, 2049, 2051], np.float32)])
    expected = torch.tensor(x).to(getattr(torch, half))
    np.testing.assert_array_equal(unpacked(packed(x, half), half), expected.float().numpy())
    assert (packed(x, half) == expected.view(torch.int16).numpy().view(np.uint16))[~np.isnan(x)].all()


def test_without_a_job() -> None:
    assert dist.is_available()
    assert not dist.is_initialized()
    assert not dist.is_launched()
    with pytest.raises(dist.ProcessError, match=r"Call xpnn\.distributed\.init\(\) first"):
        dist.get_world_size()
