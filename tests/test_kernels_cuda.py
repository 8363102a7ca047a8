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
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cuda_on_cpu
import cupy_like
import numpy as np
import pytest
from cuda_on_cpu import exercises

import xpnn
from xpnn.backend import device_of, reference_only
from xpnn.kernels.cupy import expressions, launching
from xpnn.optim.optimizer import elementwise

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


def test_more_threads_than_any_kernel_has_registers_for_are_declared() -> None:
    x = cupy_like.asarray(np.zeros(1, np.float32))
    run("p[0] = n;", (x, np.int32(4)), threads=256)
    with pytest.raises(ValueError, match=r"__launch_bounds__\(512, 1\)"):
        run("p[0] = n;", (x, np.int32(4)), threads=512)


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


def test_libraries_of_another_user_are_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = cuda_on_cpu.folder()
    assert kept.parent == tmp_path
    kept.chmod(0o777)
    with pytest.raises(RuntimeError, match="this user alone"):
        cuda_on_cpu.folder()
    kept.chmod(0o700)
    assert cuda_on_cpu.folder() == kept
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(RuntimeError, match="this user alone"):
        cuda_on_cpu.folder()


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


def test_rocm_is_left_to_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy_like.cuda.runtime, "is_hip", True)
    cuda_on_cpu.launched.clear()
    for name in exercises.EXERCISES:
        exercises.results_of(name, "float32")
    assert not cuda_on_cpu.launched
    monkeypatch.setattr(cupy_like.cuda.runtime, "is_hip", False)
    exercises.results_of("dropout", "float32")
    assert set(cuda_on_cpu.launched) == {"threefry_mask", "dropout"}


def test_every_kernel_is_launched() -> None:
    cuda_on_cpu.launched.clear()
    for name in exercises.EXERCISES:
        exercises.results_of(name, "float32")
    names = {
        name
        for path in SOURCES
        for name in re.findall(
            r'"C" __global__ void (?:__launch_bounds__\([\d, ]+\) )?(\w+)\(', path.read_text()
        )
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


# ---- the updater ----


def stepped(
    kind: Any, steps: int = 3, change: Callable[[Any], None] = lambda group: None, **options: Any
) -> list:
    """A parameter after some steps, and how often the updater's kernel was launched for them."""
    p = xpnn.tensor(np.linspace(-1, 1, 7, dtype=np.float32), requires_grad=True)
    optimizer = kind([p], **options)
    cuda_on_cpu.launched.clear()
    for _ in range(steps):
        change(optimizer.param_groups[0])
        p.grad = p.detach() * 0.5
        optimizer.step()
    return [p.tolist(), cuda_on_cpu.launched.get("update", 0)]


@pytest.mark.parametrize(
    "rate",
    [
        np.float64(0.1),
        np.asarray(0.1),
        np.asarray([0.1]),
        cupy_like.asarray(0.1),
        xpnn.Tensor(np.asarray(0.1)),
        xpnn.Tensor(cupy_like.asarray(0.1)),
    ],
    ids=["scalar", "0-d", "1-d", "on the device", "Tensor", "Tensor on the device"],
)
def test_a_learning_rate_of_any_library(rate: Any) -> None:
    """What schedulers compute by NumPy is a number; only what lies on the device is read there."""
    assert stepped(xpnn.optim.Adam, change=lambda group: group.update(lr=rate)) == [
        pytest.approx(stepped(xpnn.optim.Adam, lr=0.1)[0], rel=1e-6),
        3,
    ]


def test_a_schedule_computed_by_numpy() -> None:
    p = xpnn.tensor([1.0], requires_grad=True)
    optimizer = xpnn.optim.SGD([p], lr=0.5)
    schedule = xpnn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5 * (1 + np.cos(epoch)))
    for _ in range(2):
        p.grad = xpnn.tensor([1.0])
        optimizer.step()
        schedule.step()
    assert p.tolist() == pytest.approx([1 - 0.5 - 0.25 * (1 + np.cos(1))])


class Scaled(xpnn.optim.Optimizer):
    """A formula of somebody's: by a number that each object has."""

    factor = 2.0

    def __init__(self, params: Any, factor: float) -> None:
        super().__init__(params, {"lr": 0.1})
        self.factor = factor

    @elementwise
    def update(self, param: Any, grad: Any, state: Any, options: Any) -> Any:
        return param - options["lr"] * self.factor * grad, state


class Named(xpnn.optim.Optimizer):
    """Options and slots with names that C has not, or that would be the same there."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr-scale": 0.1, "lr_scale": 0.2, "betas": (0.5, 0.25), "betas0": 2.0})

    def slots(self, group: Any) -> tuple[str, ...]:
        return "param", "a-b", "a_b"

    @elementwise
    def update(self, param: Any, grad: Any, state: Any, options: Any) -> Any:
        first, second = options["betas"]
        state = {"param": state["param"] + grad, "a-b": state["a-b"] - param, "a_b": state["a_b"] + first}
        step = options["lr-scale"] * state["param"] + options["lr_scale"] * state["a-b"]
        return param - step - second * options["betas0"] * state["a_b"], state


def test_devices_without_a_hash() -> None:
    """As CuPy's: the same device is the same one of xpnn's, whatever object a library has for it."""
    one, other = (xpnn.tensor([1.0]) for _ in range(2))
    with pytest.raises(TypeError):
        hash(device_of(one))
    assert device_of(one) is not device_of(other)
    assert one.device is other.device
    assert one.to(other.device) is one


def test_a_formula_that_asks_for_its_optimizer() -> None:
    for factor in (5.0, 3.0):
        result, launches = stepped(Scaled, factor=factor)
        with reference_only():
            assert stepped(Scaled, factor=factor)[0] == result
        assert launches == 0


def test_names_that_c_has_not() -> None:
    result, launches = stepped(Named)
    with reference_only():
        assert result == pytest.approx(stepped(Named)[0], rel=1e-6)
    assert launches == 3


def test_a_function_of_numbers_alone_is_not_traced() -> None:
    with pytest.raises(expressions.UntraceableError, match="numbers alone"):
        expressions.xp.exp(1.0)


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
    for architecture in known_architectures():
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


def known_architectures() -> list[str]:
    """Those of `ARCHITECTURES` that this nvcc compiles for: 100 since CUDA 12.8."""
    command = ["nvcc", "--list-gpu-arch"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    known = [architecture for architecture in ARCHITECTURES if f"compute_{architecture}" in listed]
    assert known, listed
    return known


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
