"""compute-sanitizer over one use of every kernel: addresses, and races of the threads of a block."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import xpnn
from on_gpu.setting import Row, Setting

TOOLS = ("memcheck", "racecheck")
PLACES = ("/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda/compute-sanitizer/compute-sanitizer")
FOUND = 9  # the status with which it ends if it has found something


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each tool; in the dry run, for the program that they would look at."""
    program = shutil.which("compute-sanitizer") or next((p for p in PLACES if Path(p).exists()), None)
    if program is None and not setting.dry:
        yield {"name": "compute-sanitizer", "left out": "it is not installed"}
        return
    for tool in setting.pick(TOOLS, TOOLS[:1]):
        command = [] if setting.dry else [program, "--tool", tool, "--error-exitcode", str(FOUND)]
        command += [sys.executable, str(Path(__file__).parent.parent / "gpu.py"), "exercises"]
        seconds = setting.seconds / len(TOOLS)
        try:
            done = subprocess.run(
                command + ["--dry-run"] * setting.dry, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            yield {"name": tool, "left out": f"not done after {seconds:.0f} s"}
            continue
        said = done.stdout[-3000:] + done.stderr[-1000:]
        last = done.stdout.strip().splitlines()[-1:]
        yield {"name": tool, "last": "".join(last), **({"wrong": said} if done.returncode else {})}


def exercise(setting: Setting) -> str:
    """Use every kernel once, each array in memory of its own, so that what goes past its end is seen."""
    from cuda_on_cpu.exercises import EXERCISES, results_of

    if not setting.dry:
        setting.library.cuda.set_allocator(None)
    names = setting.pick(list(EXERCISES), ["gelu", "linear"])
    with xpnn.use_backend(setting.backend):
        for name in names:
            results_of(name, "float32")
        results_of("gelu", "float16")
    return f"{len(names)} uses of kernels"
