"""Processes are forked while threads compute: the child computes the same bits, with threads of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

Tally = Callable[[str, int, int], None]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# A child that hangs is ended by its alarm.
PROGRAM = """
import os, random, signal, sys, threading
import numpy as np
import xpnn
from xpnn import functional as F, nn, optim
from xpnn.backend import threads

xpnn.set_num_threads(2)
count, seconds = int(sys.argv[1]), 120
rng = np.random.default_rng(0)
x, y = rng.standard_normal((16, 8, 16, 16), dtype=np.float32), rng.integers(0, 10, 16)
rows = rng.standard_normal((600, 700), dtype=np.float32)
steps = rng.standard_normal((12, 32, 48), dtype=np.float32)


def make():
    # Of each thread its own, made before there are threads: random numbers are drawn from one stream.
    xpnn.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(8, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(24 * 64, 10),
    )
    return net, {name: xpnn.Tensor(t.array.copy()) for name, t in net.state_dict().items()}, nn.LSTM(48, 64)


def compute(net, weights, lstm):
    net.load_state_dict(weights)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    found = [p.array for p in net.parameters()]
    found += [F.softmax(rows, 1), F.linear(rows, rows), lstm(xpnn.tensor(steps))[0].array]
    return b"".join(array.tobytes() for array in found)


mine, *others = [make() for _ in range(3)]
expected = compute(*mine)
wrong, stop = [], threading.Event()


def work(models):
    while not stop.is_set():
        if compute(*models) != expected:
            wrong.append("a thread")


workers = [threading.Thread(target=work, args=(models,)) for models in others]
for worker in workers:
    worker.start()
random.seed(0)
for _ in range(count):
    threading.Event().wait(random.uniform(0, 0.02))
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        blas = threads._blas()
        right = compute(*mine) == expected and (blas is None or blas[0]() == 2)
        os._exit(0 if right else 1)
    status = os.waitpid(child, 0)[1]
    if status:
        wrong.append(f"a child: {status}")
stop.set()
for worker in workers:
    worker.join()
print(count, count - len(wrong), wrong)
"""


def attack(count: int, numba: str) -> tuple[int, int]:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(count)]
    environment = {**os.environ, "XPNN_NUMBA": numba}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    tried, survived, wrong = done.stdout.split(maxsplit=2)
    assert tried == survived, wrong
    return int(tried), int(survived)


@pytest.mark.parametrize("count", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_forked_while_threads_compute(count: int, tally: Tally) -> None:
    tally("forks of a process whose threads compute", *attack(count, "0"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")
def test_forked_while_compiled_kernels_run(tally: Tally) -> None:
    tally("forks while kernels of Numba run", *attack(20, "1"))


LEAVES = """
import sys, threading
import numpy as np
import xpnn
from xpnn import functional as F

xpnn.set_num_threads(2)
x = np.ones((700, 700), np.float32)
started = threading.Event()

def work():
    while True:
        F.softmax(F.linear(x, x), 1)
        started.set()

threading.Thread(target=work, daemon=True).start()
started.wait()
sys.exit(7)
"""


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_program_ends_while_a_daemon_thread_computes(count: int, tally: Tally) -> None:
    codes = [subprocess.run([sys.executable, "-c", LEAVES], timeout=300).returncode for _ in range(count)]
    assert codes == [7] * count
    tally("programs that end while a daemon thread computes", count, count)
