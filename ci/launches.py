"""How often a training step gives the GPU work, counted without one: by the stand-in beside the tests.

    python ci/launches.py [--workloads mlp,resnet20] [--by-kernel]

A step of a small network on a GPU takes as long as its launches do, some microseconds each. The stand-in
counts each operation on arrays that is no view as one, which is what CuPy needs at least, and each kernel
in CUDA C++; and how often the host waits for a number. Copies from the host, of a table of addresses that the
memory pool makes the same again, are left out. "Before" is the same step by the references.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import cupy_like
import numpy as np
import targets  # noqa: F401 - registers the stand-in
from benchmarks.workloads import WORKLOADS

import xpnn
from xpnn.backend import reference_only

COUNTED = ("mlp", "lenet", "resnet20", "transformer", "lstm")
BATCH = 4  # the number of launches does not depend on it
WARM_UP = 2  # steps in which kernels are compiled, and tables of addresses made


def launches_of_a_step(name: str) -> tuple[Counter[str], int]:
    """The launches of the third step of a workload, by what was launched, and the reads by the host."""
    workload = WORKLOADS[name]
    xpnn.manual_seed(0)
    model = workload.model(xpnn.nn, xpnn.nn.functional)
    kind, options = workload.optimizer
    optimizer = getattr(xpnn.optim, kind)(model.parameters(), **options)
    rng = np.random.default_rng(0)
    shape = list(workload.shape)
    shape.insert(workload.batch_axis, BATCH)
    x = xpnn.tensor(rng.standard_normal(shape).astype("float32"))
    labels = xpnn.tensor(rng.integers(0, 10, BATCH))
    for _ in range(WARM_UP + 1):
        cupy_like.launches.clear()
        before = cupy_like.syncs
        optimizer.zero_grad()
        loss = xpnn.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    launches = Counter(cupy_like.launches)
    launches.pop("upload", None)
    return launches, cupy_like.syncs - before


def count(name: str) -> dict[str, Any]:
    """The launches of a step before and after, and what is launched now."""
    with xpnn.use_backend("cupy_like"):
        with reference_only():
            before, _ = launches_of_a_step(name)
        after, reads = launches_of_a_step(name)
    return {"before": before.total(), "after": after.total(), "reads": reads, "kernels": after}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(COUNTED))
    parser.add_argument("--by-kernel", action="store_true", help="list what is launched")
    options = parser.parse_args()
    print("| step | launches before | now | share | reads by the host |\n|---|---:|---:|---:|---:|")
    for name in options.workloads.split(","):
        row = count(name)
        share = row["after"] / row["before"]
        print(f"| {name} | {row['before']} | {row['after']} | {share:.2f} | {row['reads']} |")
        if options.by_kernel:
            for kernel, times in row["kernels"].most_common():
                print(f"    {times:5d} {kernel}")


if __name__ == "__main__":
    main()
