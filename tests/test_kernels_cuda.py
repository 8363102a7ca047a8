"""Kernels in CUDA C++, run by the CPU: each against its reference, and the shim that runs them.

The stand-in for CuPy goes through the whole path of a launch, so that all tests that have it among their
targets run these kernels too. What is here is what those do not see: that every kernel was launched, indices
of 64 bits, how often a training step gives the device work, the sanitizers, and what NVIDIA's compiler says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cuda_on_cpu
import cupy_like
import numpy as np
import pytest
from cuda_on_cpu import exercises

import xpnn
from xpnn.backend import reference_only
from xpnn.kernels.cupy import launching

pytestmark = pytest.mark.skipif(cuda_on_cpu.compiler() is None, reason="needs g++")

ROOT = Path(__file__).parent.parent
SOURCES = sorted(launching.FOLDER.glob("*.cu"))
TEMPLATES = {"pointwise.cu", "multi_tensor.cu"}
ARCHITECTURES = ("80", "90", "100")


@pytest.fixture(autouse=True)
def on_the_stand_in() -> Iterator[None]:
    with xpnn.use_backend("cupy_like"):
        yield


def run(body: str, args: tuple, threads: int = 64, grid: int = 1, char: str = "f") -> None:
    """Launch a kernel with one float array, `p`, and whatever the body declares."""
    code = launching.complete(f'extern "C" __global__ void tried(T* p, int n) {{ {body} }}', char, wide=False)
    cupy_like.RawModule(code=code).get_function("tried")((grid,), (threads,), args)


# ---- the shim ----


def test_threads_of_a_block_meet_at_barriers() -> None:
    x = cupy_like.asarray(np.arange(64, dtype=np.float32))
    body = "__shared__ T s[64]; int i = threadIdx.x; s[i] = p[i]; __syncthreads(); p[i] = s[n - 1 - i];"
    run(body, (x, np.int32(64)))
    assert x.get().tolist() == list(range(63, -1, -1))


def test_a_forgotten_barrier_shows() -> None:
    x = cupy_like.asarray(np.arange(64, dtype=np.float32))
    body = "__shared__ T s[64]; int i = threadIdx.x; s[i] = -1; s[i] = p[i]; p[i] = s[n - 1 - i];"
    run(body, (x, np.int32(64)))
    assert x.get().tolist() != list(range(63, -1, -1))


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("if (threadIdx.x < 3) __syncthreads();", "same __syncthreads"),
        ("if (threadIdx.x < 3) p[0] = warp_sum(1);", "same shuffle"),
        ("p[0] = warp_sum(1); if (threadIdx.x < 40) p[0] = warp_sum(1);", "same shuffle"),
    ],
)
def test_threads_that_part_are_an_error(body: str, match: str) -> None:
    x = cupy_like.asarray(np.zeros(1, np.float32))
    with pytest.raises(RuntimeError, match=match):
        run(body, (x, np.int32(64)))


def test_warps_reach_different_numbers_of_shuffles() -> None:
    x = cupy_like.asarray(np.zeros(64, np.float32))
    run("T v = threadIdx.x; if (threadIdx.x < 32) v = warp_sum(v); p[threadIdx.x] = v;", (x, np.int32(64)))
    assert x.get().tolist() == [496.0] * 32 + list(range(32, 64))


def test_arguments_are_those_that_the_kernel_declares() -> None:
    x = cupy_like.asarray(np.zeros(4, np.float32))
    wrong: list[tuple] = [
        (x,),
        (x, 4),
        (x, np.int64(4)),
        (x, np.float32(4)),
        (x.astype(np.float64), np.int32(4)),
    ]
    for args in wrong:
        with pytest.raises((TypeError, ValueError)):
            run("p[0] = n;", args)
    with pytest.raises(TypeError, match="address that is not 0"):
        run("p[0] = n;", (None, np.int32(4)))
    run("if (p) p[0] = n;", (np.uint64(0), np.int32(4)))
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    array = cupy_like.asarray(x)
    array._values = frozen
    with pytest.raises(TypeError, match="written to"):
        run("p[0] = n;", (array, np.int32(4)))


def test_half_precision_is_numpys() -> None:
    """All numbers there and back, and the rounding of those between them."""
    bits = np.arange(2**16, dtype=np.uint16)
    x = cupy_like.asarray(bits.view(np.float16))
    body = "for (int i = threadIdx.x; i < n; i += blockDim.x) write(p, i, read(p, i) * 1.0f);"
    run(body, (x, np.int32(2**16)), char="e")
    assert np.array_equal(x.get(), bits.view(np.float16), equal_nan=True)
    rng = np.random.default_rng(0)
    values = rng.standard_normal(4000) * 10.0 ** rng.uniform(-8, 6, 4000)
    with np.errstate(over="ignore"):
        odd = values.astype(np.float16)
        expected = (odd.astype(np.float32) * np.float32(1.337)).astype(np.float16)
    x = cupy_like.asarray(odd)
    body = "for (int i = threadIdx.x; i < n; i += blockDim.x) write(p, i, read(p, i) * 1.337f);"
    run(body, (x, np.int32(4000)), char="e")
    assert np.array_equal(x.get(), expected)


# ---- the kernels ----


@pytest.mark.parametrize("name", exercises.EXERCISES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_results_are_the_references(name: str, dtype: str) -> None:
    """Results and gradients, on odd sizes; float64 is held against PyTorch by tests/test_cases.py."""
    results = exercises.results_of(name, dtype)
    with reference_only():
        expected = exercises.results_of(name, dtype)
    tolerance = {"float32": 2e-5, "float16": 4e-3}[dtype]
    for y, reference in zip(results, expected, strict=True):
        assert y.dtype == reference.dtype
        np.testing.assert_allclose(y, reference, rtol=tolerance, atol=tolerance)


def test_wide_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of 2^31 elements take indices of 64 bits: the same results by that way."""
    expected = {name: exercises.results_of(name, "float32") for name in exercises.EXERCISES}
    monkeypatch.setattr(launching, "WIDE", 1)
    for name, results in expected.items():
        for y, narrow in zip(exercises.results_of(name, "float32"), results, strict=True):
            np.testing.assert_array_equal(y, narrow)


def test_indices_of_32_bits_do_not_overflow() -> None:
    """The last one that a thread reaches, behind all elements, is still one."""
    assert launching.WIDE + launching.MOST_BLOCKS * launching.MOST_THREADS < 2**31


def test_every_kernel_is_launched() -> None:
    cuda_on_cpu.launched.clear()
    for name in exercises.EXERCISES:
        exercises.results_of(name, "float32")
    names = {
        name for path in SOURCES for name in re.findall(r'"C" __global__ void (\w+)\(', path.read_text())
    }
    assert names <= set(cuda_on_cpu.launched), "write an exercise in tests/cuda_on_cpu/exercises.py"


def test_launches_of_a_training_step() -> None:
    """They are at most a fifth of the references' in ci/KERNELS.md, and the host reads nothing."""
    sys.path.insert(0, str(ROOT / "ci"))
    try:
        import launches
    finally:
        sys.path.pop(0)
    table = re.findall(
        r"^\| (\w+) \| (\d+) \| (\d+) \| [\d.]+ \| 0 \|$", (ROOT / "ci/KERNELS.md").read_text(), re.M
    )
    assert {row[0] for row in table} == set(launches.COUNTED)
    for name, before, _ in table:
        counted, reads = launches.launches_of_a_step(name)
        assert reads == 0
        assert 5 * counted.total() <= int(before)


# ---- compilers and sanitizers ----


@pytest.mark.slow
def test_sanitizers_find_nothing() -> None:
    """Addresses and undefined behaviour, over one use of every kernel, in a process of its own."""
    library = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("needs g++'s sanitizers")
    environment = {
        **os.environ,
        "XPNN_SANITIZE": "1",
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    command = [sys.executable, "-m", "cuda_on_cpu.exercises"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "launches" in done.stdout


needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("char", ["f", "e", "d"])
@pytest.mark.parametrize("wide", [False, True])
def test_nvcc_takes_the_sources(char: str, wide: bool, tmp_path: Path) -> None:
    whole = "\n".join(path.read_text() for path in SOURCES if path.name not in TEMPLATES)
    for architecture in ARCHITECTURES:
        assert_nothing_spilled(launching.complete(whole, char, wide), architecture, tmp_path)


@needs_nvcc
@pytest.mark.slow
def test_nvcc_takes_what_is_written_from_formulas(tmp_path: Path) -> None:
    for name in ("gelu", "elu", "adam", "sgd"):
        exercises.results_of(name, "float32")
    generated = [code for code in cuda_on_cpu.sources if "pointwise_value(" in code or "void update(" in code]
    assert generated
    for code in [code for code in generated if "#define XP_T float" in code][:12]:
        assert_nothing_spilled(code, "90", tmp_path)


def assert_nothing_spilled(code: str, architecture: str, folder: Path) -> None:
    """No registers in memory, and no arrays in that of a thread."""
    source = folder / "kernels.cu"
    source.write_text(code)
    command = ["nvcc", f"-arch=sm_{architecture}", "-cubin", "-std=c++17", "-Xptxas", "-v", str(source)]
    done = subprocess.run(
        [*command, "-o", str(folder / "kernels.cubin")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    frames = set(re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill", done.stderr))
    assert frames == {("0", "0")}, f"sm_{architecture}: {done.stderr[-4000:]}"
