"""Worker processes of the DataLoader: the same batches as without, errors, deaths, interruptions, state."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_datasets import IMAGES, Augmented, Counting, keep, refuse
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, DataError, backend_of, get_backend
from xpnn.data import (
    DataLoader,
    TensorDataset,
)

METHODS = ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)]


def loader(method: str | None = "spawn", workers: int = 2, **options: Any) -> DataLoader:
    options = {"dataset": Augmented(), "batch_size": 3, "shuffle": True, "seed": 5} | options
    return DataLoader(num_workers=workers, multiprocessing_context=method, **options)


def bits(batches: Any) -> list:
    return [
        (batch["image"].tolist(), batch["pair"].image.tolist(), batch["pair"].label, batch["noise"].tolist())
        for batch in batches
    ]


def left_over() -> list:
    """Worker processes that are still there."""
    gc.collect()  # loaders that a traceback held
    end = time.monotonic() + 60
    while (here := multiprocessing.active_children()) and time.monotonic() < end:
        time.sleep(0.02)
    return [process for process in here if process.name.startswith("xpnn-loader")]


@pytest.mark.parametrize("method", METHODS)
def test_batches_do_not_depend_on_the_workers(method: str) -> None:
    without, processes, one = loader(None, workers=1), loader(method), loader(method, workers=1)
    epochs = [list(processes) for _ in range(2)]
    assert [bits(epoch) for epoch in epochs] == [bits(without), bits(without)]
    assert os.getpid() not in {pid for batch in epochs[0] for pid in batch["pid"].tolist()}
    assert all(isinstance(batch["image"], xpnn.Tensor) for batch in epochs[0])
    alone = list(one)
    assert bits(alone) == bits(epochs[0])
    assert [batch["drawn"].tolist() for batch in alone] == [batch["drawn"].tolist() for batch in epochs[0]]
    assert not left_over()


@pytest.mark.slow
def test_state_in_mid_epoch() -> None:
    whole = bits(loader(None, workers=1))
    first = loader()
    passing = iter(first)
    begun = bits([next(passing), next(passing)])
    state = first.state_dict()
    del passing
    second = loader(persistent_workers=True)
    second.load_state_dict(state)
    assert begun + bits(second) == whole
    assert begun == whole[:2]


def test_persistent_workers_stay_and_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnn.data.loader.GRACE", 60.0)  # so that a busy machine does not matter
    lasting = loader(persistent_workers=True)
    epochs = [list(lasting) for _ in range(2)]
    assert len({pid for epoch in epochs for batch in epoch for pid in batch["pid"].tolist()}) <= 2
    other = loader(None, workers=1)
    assert [bits(epoch) for epoch in epochs] == [bits(other), bits(other)]
    assert copy.deepcopy(lasting)._processes is None
    pids = {process.process.pid for process in lasting._processes._workers}
    for _ in range(5):  # left early, and they stay
        for batch in lasting:
            assert set(batch["pid"].tolist()) <= pids
            break
    assert [{*batch["pid"].tolist()} <= pids for batch in lasting] == [True] * 5
    del lasting
    assert not left_over()


@pytest.mark.slow
def test_batches_come_to_the_backend(backend: Target) -> None:
    with backend.active():
        dataset = TensorDataset(IMAGES, np.arange(13))
        ((image, label),) = loader(workers=1, dataset=dataset, batch_size=13, shuffle=False)
        assert backend_of(image.array) is get_backend()
        np.testing.assert_array_equal(image.numpy(), IMAGES)
        assert label.numpy().tolist() == list(range(13))
        if backend.backend in ("numpy", "torch"):
            result = next(iter(loader(workers=1, collate_fn=keep)))
            assert type(result) is tuple
            assert backend_of(result[0].array) is get_backend()
            assert type(result[1]) is list
        if backend.name == "numpy":
            ((raw, _),) = loader(workers=1, dataset=dataset, batch_size=13, shuffle=False, tensors=False)
            np.testing.assert_array_equal(raw, IMAGES)
            raw += 1  # writable


@pytest.mark.slow
def test_iterable_datasets_are_shared_out() -> None:
    lasting = loader(dataset=Counting(), shuffle=None, persistent_workers=True)
    runs = [[[part.tolist() for part in batch] for batch in lasting] for _ in range(2)]
    assert [batch[0] for batch in runs[0]] == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]
    drawn = [value for batch in runs[0] for value in batch[1] + batch[2]]
    assert len(set(drawn)) == 20  # each worker has seeds of its own
    again = [[part.tolist() for part in batch] for batch in loader(dataset=Counting(), shuffle=None)]
    assert again == runs[0]


def test_errors_have_the_workers_traceback() -> None:
    with pytest.raises(KeyError, match="sample 4") as caught:
        list(loader(dataset=Augmented("raise", 4)))
    assert 'return {}[f"sample {index}"]' in str(caught.value.__cause__)
    assert "while loading batch" in "".join(caught.value.__notes__)
    with pytest.raises(DataError, match="got OddError in a worker process: 1 and 2") as caught_odd:
        list(loader(dataset=Augmented("odd", 4)))
    assert "raise OddError(1, 2)" in str(caught_odd.value.__cause__)
    lasting = loader(dataset=Augmented("raise", 4), persistent_workers=True, shuffle=False)
    for _ in range(2):  # the worker lives on
        with pytest.raises(KeyError):
            list(lasting)
    with pytest.raises(ValueError, match=r"not me, [01]"):
        list(loader(worker_init_fn=refuse))
    del lasting
    assert not left_over()


@pytest.mark.parametrize(
    ("trouble", "message"),
    [("kill", "was killed by SIGKILL"), pytest.param("exit", "exit code 3", marks=pytest.mark.slow)],
)
def test_a_dead_worker_raises(trouble: str, message: str) -> None:
    for lasting in (False, True):
        dying = loader(dataset=Augmented(trouble, 7), persistent_workers=lasting, shuffle=False)
        start = time.monotonic()
        with pytest.raises(DataError, match=rf"lost worker process \d .*{message}.* while loading batch 2"):
            list(dying)
        assert time.monotonic() - start < 150
        dying.dataset.at = -1
        assert len(list(dying)) == 5  # new ones are started
        del dying
    assert not left_over()


@pytest.mark.slow
def test_a_worker_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match="has waited 6 s"):
        list(loader(dataset=Augmented("sleep", 7), timeout=6))
    assert time.monotonic() - start < 150
    assert not left_over()


def test_leaving_early_does_not_wait_for_the_work() -> None:
    start = time.monotonic()
    for _ in loader(dataset=Augmented("sleep", 7), shuffle=False):
        break
    assert time.monotonic() - start < 150
    assert not left_over()


def test_persistent_workers_that_were_interrupted_are_replaced() -> None:
    lasting = loader(dataset=Augmented("sleep", 4), shuffle=False, persistent_workers=True)
    for _ in range(2):
        for _ in lasting:
            break
    lasting.dataset.at = -1
    assert len(list(lasting)) == 5
    del lasting
    assert not left_over()


def test_what_cannot_be_pickled_is_explained() -> None:
    dataset = TensorDataset(IMAGES, transform=lambda image: image)
    with pytest.raises(DataError, match=r"cannot send the dataset.*lambda.*at the top of a module"):
        list(DataLoader(dataset, num_workers=1, multiprocessing_context="spawn"))
    with pytest.raises(ArgumentError, match=r"multiprocessing_context as one of.*'thread'"):
        list(loader("thread"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_needs_no_pickling() -> None:
    dataset = TensorDataset(IMAGES, transform=lambda image: image[:, :2])
    script = textwrap.dedent(
        """
        import numpy as np
        from xpnn.data import DataLoader, TensorDataset
        dataset = TensorDataset(np.ones((4, 1, 2, 2)), transform=lambda image: image * 3)
        for batch in DataLoader(dataset, 2, num_workers=2, multiprocessing_context="fork"):
            print(batch[0].sum().item())
        """
    )
    result = run_script(script)
    assert (result.returncode, result.stdout) == (0, "24.0\n24.0\n"), result.stderr
    assert len(dataset) == 13


def run_script(script: str, path: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script] if path is None else [sys.executable, str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, env=environment()
    )


def environment() -> dict[str, str]:
    root = str(Path(__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)])}


ENDLESS = """
import os, sys, time
import numpy as np
from xpnn.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, index):
        if index > 3:
            time.sleep(300)
        return np.array([index, os.getpid()])

if __name__ == "__main__":
    for batch in DataLoader(Slow(), 2, num_workers=2, multiprocessing_context="spawn", persistent_workers=%s):
        print(batch[0, 1].item(), flush=True)
"""


@pytest.mark.parametrize("persistent", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_an_end_of_the_program_ends_the_workers(tmp_path: Path, how: int, persistent: bool) -> None:
    path = tmp_path / "script.py"
    path.write_text(ENDLESS % persistent)
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(), start_new_session=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        pids = {int(program.stdout.readline()) for _ in range(2)}
        time.sleep(0.5)
        if how == signal.SIGINT:
            os.killpg(program.pid, how)  # what a terminal sends, to the workers too
        else:
            program.kill()
        _, errors = program.communicate(timeout=150)
        assert program.returncode == (-signal.SIGKILL if how == signal.SIGKILL else -signal.SIGINT)
        if how == signal.SIGINT:
            assert errors.count("KeyboardInterrupt") >= 1
            assert "xpnn-loader" not in errors  # none of the workers' own tracebacks
    end = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_script_without_a_guard_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        "from xpnn.data import DataLoader\n"
        "for batch in DataLoader([1, 2], num_workers=1, multiprocessing_context='spawn'):\n    print(batch)\n"
    )
    result = run_script("", path)
    assert result.returncode == 1
    assert '__name__ == "__main__"' in result.stderr.rpartition("DataError")[2]
