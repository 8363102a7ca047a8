"""How much of the time several processes gain: a step of two ranks, one thread each, beside one of one rank.

    python ci/distributed_speed.py [--rounds 5] [--json FILE]

Each rank has the workload's whole batch, so that two ranks do twice the work; the efficiency is the time of
one rank alone by that of two together. PyTorch's DistributedDataParallel over gloo runs the same workloads in
turns with xpnn's over MPI, each job in processes of its own. Two ranks share caches and memory also where
nothing is sent: "apart" is two jobs of one rank side by side, the most that could be reached.

Then `all_reduce` is timed over sizes, and its latency and bandwidth are fitted to t = 2 log2(p) latency +
2 (p - 1) / p bytes / bandwidth (See: Thakur, Rabenseifner & Gropp (2005), "Optimization of collective
communication operations in MPICH"). With the links below in place of this machine's memory it gives the
efficiency of 8, 64 and 1024 ranks: gradients are sent during the backward, which is taken as two thirds of a
step, and what does not fit into it is waited for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.frameworks import training_step
from benchmarks.processor import processor
from benchmarks.workloads import WORKLOADS

NAMES = ("mlp", "resnet20", "transformer")
SECONDS = 2.0
LINKS = {"10 Gb/s Ethernet": (30e-6, 1.25e9), "100 Gb/s InfiniBand": (2e-6, 12.5e9)}
SIZES = (1 << 10, 1 << 14, 1 << 18, 1 << 21, 1 << 24)


def work(name: str, library: str, size: int) -> None:
    """One process of a job: prints the median time of a step, or of an all_reduce of each size."""
    if library == "xpnn":
        import numpy as np

        import xpnn
        from xpnn import distributed

        group = distributed.init() if size > 1 else None
        xpnn.set_num_threads(1)
        if name == "all_reduce":
            assert group is not None
            arrays = [np.zeros(bytes_ // 4, np.float32) for bytes_ in SIZES]
            found: Any = [median_time(lambda a=a: group.all_reduce(a), 0.5, group) for a in arrays]  # type: ignore[misc]
        else:
            wrap = xpnn.nn.parallel.DistributedDataParallel if size > 1 else lambda x: x
            change = lambda x: wrap(x) if isinstance(x, xpnn.nn.Module) else x  # noqa: E731
            step = training_step(WORKLOADS[name], xpnn, xpnn.functional, xpnn.asarray, change=change)
            found = median_time(lambda: step(0), SECONDS, group)
        rank = 0 if group is None else group.rank
    else:
        import torch

        torch.set_num_threads(1)
        if size > 1:
            torch.distributed.init_process_group("gloo")
        wrap = torch.nn.parallel.DistributedDataParallel if size > 1 else lambda x: x
        change = lambda x: wrap(x) if isinstance(x, torch.nn.Module) else x  # noqa: E731
        step = training_step(WORKLOADS[name], torch, torch.nn.functional, torch.tensor, change=change)
        found = median_time(lambda: step(0), SECONDS, torch.distributed if size > 1 else None)
        rank = torch.distributed.get_rank() if size > 1 else 0
    if rank == 0:
        print(json.dumps(found))


def median_time(step: Any, seconds: float, group: Any) -> float:
    """Seconds a call; every process of the group calls it equally often."""
    step()
    started = time.perf_counter()
    step()
    once = time.perf_counter() - started
    count = max(int(seconds / max(once, 1e-6)), 3)
    if group is not None:
        counts = [count]
        if hasattr(group, "broadcast_object"):
            count = group.broadcast_object(count)
        else:
            group.broadcast_object_list(counts)
            count = counts[0]
    times = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def job(name: str, library: str, size: int) -> list[subprocess.Popen[str]]:
    """Start the processes of a job."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "XPNN_NUMBA": "0"}
    command = [sys.executable, __file__, "--work", name, library, str(size)]
    if size == 1:
        return [start(command, threads)]
    if library == "xpnn":
        mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
        return [start([mpiexec, "-n", str(size), *command], threads)]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "WORLD_SIZE": str(size)}
    return [start(command, {**threads, **where, "RANK": str(rank)}) for rank in range(size)]


def start(command: list[str], extra: dict[str, str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **extra}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def result(processes: list[subprocess.Popen[str]]) -> Any:
    """What the first rank of a job, or the slower of two jobs, printed."""
    texts = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("a job failed")
    found = [json.loads(text) for text in texts if text.strip()]
    return max(found) if isinstance(found[0], float) else found[0]


def predicted(step: float, bytes_: int, ranks: int, latency: float, bandwidth: float) -> float:
    """The efficiency of so many ranks on a link, by the model above."""
    sending = 2 * math.log2(ranks) * latency + 2 * (ranks - 1) / ranks * bytes_ / bandwidth
    return step / (step + max(sending - 2 / 3 * step, 0.0) + 2 * math.log2(ranks) * latency)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, library, size = arguments.work
        work(name, library, int(size))
    else:
        compare(arguments.rounds, arguments.json)


def compare(rounds: int, file: Path | None) -> None:
    """Run all jobs in turns, and print the tables."""
    kinds = ("alone", "together", "apart")
    times: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(rounds):
        for name in NAMES:
            for library in ("xpnn", "pytorch"):
                for kind in kinds:
                    if kind == "apart":
                        jobs = job(name, library, 1) + job(name, library, 1)
                    else:
                        jobs = job(name, library, 1 if kind == "alone" else 2)
                    times.setdefault((name, library, kind), []).append(result(jobs))
    medians = {key: statistics.median(found) for key, found in times.items()}
    print(f"{processor()}; two ranks of one thread each\n")
    print("workload      library   1 rank, ms  2 ranks, ms  efficiency  apart")
    for name in NAMES:
        for library in ("xpnn", "pytorch"):
            one, two, apart = (medians[name, library, kind] for kind in kinds)
            times_ = f"{one * 1e3:10.2f} {two * 1e3:12.2f}"
            print(f"{name:<13} {library:<9} {times_} {one / two:11.2f} {one / apart:6.2f}")

    measured = result(job("all_reduce", "xpnn", 2))
    latency = measured[0] / 2
    bandwidth = (SIZES[-1] - SIZES[-2]) / (measured[-1] - measured[-2])
    print(f"\nall_reduce of 2 ranks here: latency {latency * 1e6:.0f} us, {bandwidth / 1e9:.1f} GB/s;")
    for bytes_, seconds in zip(SIZES, measured):
        model = 2 * latency + bytes_ / bandwidth
        print(f"  {bytes_ / 1024:8.0f} KiB  {seconds * 1e6:8.0f} us, by the model {model * 1e6:8.0f}")
    print("\nPredicted efficiency        ranks:      8     64   1024")
    for name in NAMES:
        bytes_ = gradient_bytes(name)
        for link, (wait, speed) in LINKS.items():
            row = [
                predicted(medians[name, "xpnn", "alone"], bytes_, ranks, wait, speed)
                for ranks in (8, 64, 1024)
            ]
            print(f"  {name:<12} {link:<20} " + "".join(f"{value:7.2f}" for value in row))
    if file is not None:
        found = {" ".join(key): value for key, value in times.items()} | {"all_reduce": measured}
        file.write_text(json.dumps(found, indent=1) + "\n")


def gradient_bytes(name: str) -> int:
    """What each rank sends in a step."""
    import xpnn

    model = WORKLOADS[name].model(xpnn.nn, xpnn.functional)
    return sum(4 * math.prod(p.shape) for p in model.parameters())


if __name__ == "__main__":
    main()
