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
from xpnn.backend import choose_kernel, device_of, find_backend, reference_only
from xpnn.functional.attention.scaled_dot_product import _attention
from xpnn.kernels import expressions
from xpnn.kernels.cupy import launching
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


ATTENTION = [
    # of queries, keys and values, of the mask, whether there is dropout and causality
    ((5, 3), (4, 3), (4, 2), None, False, False),
    ((2, 35, 33), (2, 33, 33), (2, 33, 1), (33,), False, True),
    ((2, 2, 33, 5), (2, 2, 35, 5), (2, 2, 35, 40), (2, 1, 33, 1), True, True),
    ((1, 2, 2, 128), (1, 2, 66, 128), (1, 2, 66, 128), (1, 1, 2, 66), True, False),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("case", ATTENTION, ids=lambda case: str(case[0]))
def test_attention(case: tuple, turned: bool) -> None:
    """Both results and all gradients, in float64, also of arrays whose steps lie apart, or backwards."""
    *shapes, mask_shape, drops, causal = case
    rng = np.random.default_rng(0)
    q, k, v = map(rng.standard_normal, shapes)
    mask = None if mask_shape is None else rng.standard_normal(mask_shape)
    if mask is not None:
        mask[..., 0] = -np.inf  # of the first query, if it is causal, that hides all
    scores = (*q.shape[:-1], k.shape[-2])
    keep = rng.uniform(size=scores) < 0.7 if drops else None
    given = [None if x is None else cupy_like.asarray(x) for x in (q, k, v, mask, keep)]
    if turned:
        given = [None if x is None else apart(x) for x in given]
    options = {"causal": causal, "scale": 0.4, "dropout": 0.3 if drops else 0.0}
    above = [cupy_like.asarray(rng.standard_normal((*scores[:-1], n))) for n in (v.shape[-1], 1)]

    cuda_on_cpu.launched.clear()
    entry = choose_kernel(find_backend("cupy_like"), "attention", *given, **options)
    (y, log_totals), saved = entry.forward(*given, **options)
    assert cuda_on_cpu.launched == {"attention": 1}
    (expected, log_expected), kept = _attention.forward(*given, **options)
    np.testing.assert_allclose(y.get(), expected.get(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(log_totals.get(), log_expected.get(), rtol=1e-12, atol=1e-14)
    everything = (True, True, True, mask is not None, False)
    for gradients, needs in [
        ((above[0], above[1]), (True, False, False, False, False)),
        ((above[0], None), everything),
        ((None, above[1]), (False, False, True, *everything[3:])),
    ]:
        expected = _attention.backward_function(gradients, kept, needs, **options)
        found = entry.backward_function(gradients, saved, needs, **options)
        for g, reference, needed in zip(found, expected, needs):
            assert (g is not None) == needed
            if needed:
                assert g.shape == reference.shape
                np.testing.assert_allclose(g.get(), reference.get(), rtol=1e-11, atol=1e-13)


def apart(x: cupy_like.ndarray) -> cupy_like.ndarray:
    """The same elements, in the order of memory of another array."""
    values = x.get()
    if values.ndim == 1:
        return cupy_like.ndarray(np.repeat(values, 2)[::2])
    if values.ndim > 2:
        values = np.ascontiguousarray(values.swapaxes(-3, -2)).swapaxes(-3, -2)
    return cupy_like.ndarray(np.flip(np.ascontiguousarray(np.flip(values, -2)), -2))


def test_attention_that_the_kernel_leaves_to_the_reference() -> None:
    cuda_on_cpu.launched.clear()
    for shapes in [
        ((3, 129), (3, 129), (3, 129)),
        ((2, 3, 4), (3, 4), (3, 4)),
        ((2, 0, 4), (2, 3, 4), (2, 3, 4)),
        ((2, 3, 4), (2, 0, 4), (2, 0, 4)),
        ((2, 3, 0), (2, 3, 0), (2, 3, 4)),
    ]:
        q, k, v = (xpnn.ones(shape) for shape in shapes)
        y = xpnn.nn.functional.scaled_dot_product_attention(q, k, v)
        assert y.tolist() == np.full((*shapes[0][:-1], v.shape[-1]), float(k.shape[-2] > 0)).tolist()
    assert not cuda_on_cpu.launched


@pytest.mark.parametrize("causal", [False, True])
def test_hidden_keys_do_no_harm(causal: bool) -> None:
    """Their values may be infinite, and whole tiles of them, the first too, may be hidden."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 1, 150, 4)).astype(np.float32)
    mask = np.zeros((150, 150), np.float32)
    mask[:70, :] = -np.inf
    mask[:, :67] = -np.inf
    arrays = [cupy_like.asarray(array) for array in (x, x, x, mask)]
    options = {"causal": causal, "scale": 0.5, "dropout": 0.0}
    entry = choose_kernel(find_backend("cupy_like"), "attention", *arrays, None, **options)
    (y, log_totals), saved = entry.forward(*arrays, None, **options)
    with reference_only():
        (expected, _), _ = _attention.forward(*arrays, None, **options)
    np.testing.assert_allclose(y.get(), expected.get(), rtol=1e-5, atol=1e-6)
    assert not y.get()[..., :70, :].any()
    assert not log_totals.get()[..., :70, :].any()
    gy = cupy_like.asarray(np.ones_like(x))
    for g in entry.backward_function((gy, None), saved, (True,) * 4 + (False,), **options)[:4]:
        assert np.isfinite(g.get()).all()


def test_a_second_derivative_of_attention() -> None:
    """By what the forward kept, which is what the reference keeps."""
    x = xpnn.tensor(np.random.default_rng(0).standard_normal((2, 3, 4)), requires_grad=True)

    def second() -> Any:
        y = xpnn.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        (gx,) = xpnn.autograd.grad([(y * y).sum()], [x], create_graph=True)
        return xpnn.autograd.grad([(gx * gx).sum()], [x])[0].numpy()

    found = second()
    with reference_only():
        np.testing.assert_allclose(found, second(), rtol=1e-10)


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


# ---- all gradients at once ----


def with_gradients(values: list[np.ndarray]) -> list[xpnn.Tensor]:
    params = [xpnn.zeros(value.shape, requires_grad=True) for value in values]
    for param, value in zip(params, values):
        param.grad = xpnn.tensor(value)
    cuda_on_cpu.launched.clear()
    cupy_like.launches.clear()
    return params


@pytest.mark.parametrize("order", [1.0, 2.0, 2.5, np.inf])
@pytest.mark.parametrize("most", [1.0, 1e9])
def test_clipping_takes_three_launches(order: float, most: float) -> None:
    """For any number of parameters, of any sizes and layouts, and the host reads nothing."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in [(3, 5), (), (5000,), (1,), (64,)]]
    values[0] = values[0].T
    params, reads = with_gradients(values), cupy_like.syncs
    norm = xpnn.optim.clip_grad_norm_(params, most, order)
    assert cuda_on_cpu.launched == {"norm_parts": 1, "norm_of_parts": 1, "scaled_to_norm": 1}
    assert sum(cupy_like.launches[name] for name in cupy_like.launches if name != "upload") <= 4  # a copy
    assert cupy_like.syncs == reads
    exact = np.linalg.norm(np.concatenate([value.ravel() for value in values]).astype(float), order)
    assert norm.item() == pytest.approx(exact, rel=1e-6)
    for param, value in zip(params, values):
        expected = value * min(1.0, most / (exact + 1e-6))
        np.testing.assert_allclose(param.grad.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_of_what_is_not_finite(bad: float) -> None:
    values = [np.ones(3, np.float32), np.asarray([1.0, bad], np.float32)]
    for order in (2.0, np.inf):
        norm = xpnn.optim.get_total_norm([p.grad for p in with_gradients(values)], order).item()
        assert np.isnan(norm) if np.isnan(bad) else norm == np.inf


@pytest.mark.parametrize("bad", [1.0, np.nan, np.inf, -np.inf])
def test_a_scaler_looks_once(bad: float) -> None:
    """At all gradients in one launch, and the host reads one answer."""
    values = [np.ones((70, 70), np.float32), np.full((2,), 8.0, np.float32)]
    values[0][69, 68] = bad
    params, reads = with_gradients(values), cupy_like.syncs
    scaler = xpnn.amp.GradScaler(init_scale=4.0)
    scaler.scale(xpnn.zeros(()))
    optimizer = xpnn.optim.SGD(params, lr=1.0)
    cupy_like.launches.clear()
    scaler.unscale_(optimizer)
    assert cuda_on_cpu.launched == {"unscaled": 1}
    assert cupy_like.syncs == reads + 1
    assert params[1].grad.tolist() == [2.0, 2.0]
    scaler.step(optimizer)
    assert params[1].tolist() == ([-2.0, -2.0] if bad == 1 else [0.0, 0.0])


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
    "name",
    [
        "ASGD",
        "Adadelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "Lion",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    ],
)
def test_each_formula_is_written_in_c(name: str) -> None:
    """All that act element by element: one launch a step."""
    kind = getattr(xpnn.optim, name)
    result, launches = stepped(kind, lr=0.1)
    assert launches == 3
    with reference_only():
        assert result == pytest.approx(stepped(kind, lr=0.1)[0], rel=1e-5, abs=1e-6)


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
