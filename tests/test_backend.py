"""The registry: which library is current, what happens when one is missing, what mixes."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from targets import TARGETS, Target, missing

import xpnn
from xpnn.autograd.namespace import TensorNamespace
from xpnn.backend import (
    ArgumentError,
    Backend,
    BackendError,
    BackendMismatchError,
    DTypeError,
    MissingDependencyError,
    XpnnError,
    available_backends,
    backend_of,
    default_dtype,
    device_of,
    dtype_name,
    find_backend,
    get_backend,
    get_device,
    is_array,
    is_floating,
    move,
    namespace,
    optional_import,
    register_backend,
    registry,
    set_backend,
    show_versions,
    to_numpy,
    use_backend,
)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_target_is_covered(target: Target) -> None:
    """Says in the summary which backends could not be tested here, and why."""
    if missing(target):
        pytest.skip(missing(target))


# Which backend is current


def test_numpy_is_the_default() -> None:
    script = "import xpnn; print(xpnn.get_backend(), xpnn.asarray(1.0).dtype)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["numpy", "float32"]


def test_set_backend_holds_in_every_thread(strict: Backend) -> None:
    set_backend("array_api_strict", "device1")
    assert in_thread(get_backend) is strict
    assert in_thread(get_device) == strict.parse_device("device1")


def test_use_backend_holds_in_its_block_and_thread(strict: Backend) -> None:
    with use_backend("array_api_strict", "device1") as active:
        assert active is strict
        assert get_backend() is strict
        assert in_thread(get_backend).name == "numpy"
        with use_backend("numpy"):
            assert get_backend().name == "numpy"
            assert get_device() is None
        assert get_device() == strict.parse_device("device1")
    assert get_backend().name == "numpy"


def test_use_backend_ends_with_an_error(strict: Backend) -> None:
    with pytest.raises(KeyError), use_backend("array_api_strict"):
        raise KeyError
    assert get_backend().name == "numpy"


def test_new_arrays_follow_the_current_backend(backend: Target) -> None:
    array = xpnn.asarray([1.0, 2.0])
    assert backend_of(array) is find_backend(backend.backend)
    assert str(device_of(array)) == str(device_of(backend.array(np.zeros(1))))


def test_str_is_the_name() -> None:
    assert str(get_backend()) == "numpy"


# Backends that cannot be had


def test_unknown_backend_lists_the_known() -> None:
    with pytest.raises(
        BackendError, match=r"'torhc' is unknown; there are 'numpy', .*'torch'.*register_backend"
    ):
        set_backend("torhc")
    assert get_backend().name == "numpy"


def test_missing_backend_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_missing(monkeypatch, "torch")
    monkeypatch.delitem(find_backend("torch").__dict__, "xp", raising=False)
    message = (
        r"needs the package torch, which is not installed\. Install it with: pip install 'xpnn\[torch\]'"
    )
    with pytest.raises(BackendError, match=message + r"\. Available now: .*numpy"):
        set_backend("torch")
    status = available_backends()["torch"]
    assert not status.available
    assert "pip install 'xpnn[torch]'" in str(status)


def test_broken_backend_is_reported(fresh: Backend) -> None:
    def load() -> None:
        raise ImportError("libfoo.so: no such file")

    register_backend(copy_of(fresh, load=load))
    with pytest.raises(
        BackendError, match=r"cannot be imported: libfoo\.so.*Reinstall it with: pip install fresh"
    ):
        set_backend("fresh")


def test_cupy_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import cupy` succeeds there, so a device is asked for."""
    cupy = SimpleNamespace(__version__="14.0", cuda=SimpleNamespace(is_available=lambda: False))
    pretend_cupy(monkeypatch, cupy)
    with pytest.raises(BackendError, match=r"finds no CUDA device \(CuPy 14\.0 is installed\).*nvidia-smi"):
        set_backend("cupy")
    assert not available_backends()["cupy"].available


@pytest.mark.parametrize(("rank", "number"), [("0", None), ("1", 1), ("5", 1)])
def test_each_process_of_a_machine_has_a_gpu(
    rank: str, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    class Device:
        def __init__(self, id: int) -> None:
            self.id = id

        def use(self) -> None:
            used.append(self.id)

    cuda = SimpleNamespace(Device=Device, runtime=SimpleNamespace(getDeviceCount=lambda: 2))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPI_LOCALRANKID", rank)
    find_device = find_backend("cupy").find_device
    assert getattr(find_device(None), "id", None) == number
    assert find_device("cuda").id == (number or 0)
    assert used == ([] if number is None else [number] * 2)
    assert find_device("cuda:0").id == find_device(0).id == 0


def test_cupy_with_a_driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the first kernel is passed on with advice, not left to the first layer."""

    def arange(n: int) -> None:
        raise OSError("CUDA driver version is insufficient")

    cupy = SimpleNamespace(__version__="14.0", cuda=SimpleNamespace(is_available=lambda: True), arange=arange)
    pretend_cupy(monkeypatch, cupy)
    with pytest.raises(
        BackendError, match=r"cannot compute here: OSError: CUDA driver version is insufficient"
    ):
        set_backend("cupy")


def test_unknown_devices() -> None:
    with pytest.raises(ArgumentError, match="backend 'numpy' has no device 'cuda'"):
        set_backend("numpy", device="cuda")


def test_torch_device_that_is_not_there() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match="'torch' has no device 'cuda'"):
        set_backend("torch", device="cuda")


def test_available_backends_gives_reasons() -> None:
    status = available_backends()
    assert status["numpy"].available
    assert np.__version__ in status["numpy"].detail
    assert {"numpy", "cupy", "torch", "jax", "array_api_strict"} <= set(status)


def test_show_versions(capsys: pytest.CaptureFixture[str]) -> None:
    show_versions()
    text = capsys.readouterr().out
    assert xpnn.__version__ in text
    assert np.__version__ in text
    assert "array_api_strict" in text


# Backends of others


def test_a_third_party_registers_a_backend(fresh: Backend) -> None:
    register_backend(fresh)
    with use_backend("fresh") as active:
        assert active is fresh
        assert xpnn.asarray([1.0, 2.0]).dtype == np.float32
    assert "fresh" in available_backends()


def test_a_lazy_library_computes_at_the_end_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[list[int]] = []
    numpy = find_backend("numpy")
    lazy = copy_of(numpy, end_of_step=lambda arrays: computed.append([id(array) for array in arrays]))
    monkeypatch.setattr("xpnn.optim.optimizer.backend_of", lambda array: lazy)
    layer = xpnn.nn.Linear(2, 1)
    optimizer = xpnn.optim.Adam(layer.parameters())
    layer(xpnn.asarray([[1.0, 2.0]])).sum().backward()
    optimizer.step()
    arrays = [p.array for p in layer.parameters()]
    slots = [array for state in optimizer.state.values() for array in state.values()]
    assert computed == [[id(array) for array in (*arrays, *slots)]]


# What mixes and what does not


def test_namespace_passes_over_numbers_and_none(backend: Target) -> None:
    x = backend.array(np.ones(2))
    assert namespace(None, x, 2.0, 1, True) is find_backend(backend.backend).xp


def test_namespace_of_no_array() -> None:
    with pytest.raises(DTypeError, match="expected an array, got float, NoneType"):
        namespace(1.0, None)
    with pytest.raises(
        DTypeError, match=r"expected an array, got list: \[1\]\. Convert it with xpnn\.asarray"
    ):
        namespace([1])


def test_two_libraries_do_not_mix(strict: Backend) -> None:
    other = move(np.ones(2), strict, strict.parse_device("device1"))
    with pytest.raises(
        BackendMismatchError, match=r"'numpy' and 'array_api_strict' on .*device1.*xpnn\.asarray"
    ):
        namespace(np.ones(2), other)
    with pytest.raises(BackendMismatchError, match=r"'numpy' and 'array_api_strict'"):
        xpnn.Tensor(np.ones(2)) + xpnn.Tensor(other)
    with pytest.raises(BackendMismatchError, match=r"'array_api_strict' on .* and 'numpy'"):
        xpnn.functional.linear(xpnn.Tensor(other), np.ones((3, 2)))


def test_two_devices_do_not_mix(strict: Backend) -> None:
    one, other = (move(np.ones(2), strict, strict.parse_device(name)) for name in ("device1", "cpu"))
    message = r"'array_api_strict' on .*device1.* and 'array_api_strict' on .*CPU_DEVICE.*model\.to"
    with pytest.raises(BackendMismatchError, match=message):
        xpnn.Tensor(one) + xpnn.Tensor(other)
    with pytest.raises(BackendMismatchError, match=message):
        xpnn.functional.linear(one, move(np.ones((3, 2)), strict))


# Making and moving arrays


def test_asarray_of_python_numbers(backend: Target) -> None:
    assert dtype_name(xpnn.asarray(1.5).dtype) == "float32"
    assert dtype_name(xpnn.asarray([[1.0], [2]]).dtype) == "float32"
    assert dtype_name(xpnn.asarray([1, 2]).dtype) == "int64"
    assert dtype_name(xpnn.asarray([True]).dtype) == "bool"
    assert dtype_name(xpnn.asarray([1, 2], dtype="float64").dtype) == "float64"
    assert dtype_name(xpnn.asarray([1.0], dtype=np.float64).dtype) == "float64"


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8", "bool"])
def test_asarray_keeps_an_arrays_own_type(backend: Target, dtype: str) -> None:
    values = np.asarray([[0, 1], [1, 0]]).astype(dtype)
    array = xpnn.asarray(values)
    assert dtype_name(array.dtype) == dtype
    assert np.array_equal(to_numpy(array), values)
    assert to_numpy(array).dtype == values.dtype


def test_asarray_moves_from_any_library(backend: Target) -> None:
    x = backend.array([[1.0, 2.0]])
    for other in TARGETS:
        if not missing(other):
            with other.active():
                moved = xpnn.asarray(x)
                assert backend_of(moved).name == other.backend
                assert to_numpy(moved).tolist() == [[1.0, 2.0]]


def test_asarray_of_a_tensor_and_of_nested_arrays(backend: Target) -> None:
    x = backend.array([1.0, 2.0])
    assert not xpnn.backend.is_tensor(xpnn.asarray(xpnn.Tensor(x)))
    assert to_numpy(xpnn.asarray([x, x])).tolist() == [[1.0, 2.0], [1.0, 2.0]]


def test_asarray_copies_when_told(backend: Target) -> None:
    x = backend.array([1.0, 2.0])
    if not find_backend(backend.backend).mutable or backend.read_only:
        pytest.skip("its arrays cannot be written to")
    copy = xpnn.asarray(x, copy=True)
    copy[0] = 5.0
    assert to_numpy(x).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("nonsense", ["text", [[1.0], [1.0, 2.0]], object(), {"a": 1}])
def test_asarray_of_nonsense(nonsense: object) -> None:
    with pytest.raises(DTypeError, match="expected numbers"):
        xpnn.asarray(nonsense)


def test_questions_about_arrays(backend: Target) -> None:
    x = backend.array(np.ones((2, 3), dtype=np.float32))
    assert is_array(x)
    assert is_array(xpnn.Tensor(x))
    assert is_floating(x)
    assert not is_floating(backend.array([1]))
    assert default_dtype(namespace(x)) == x.dtype
    assert not any(is_array(value) for value in (1.0, None, [x], "x", {}))


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"])
def test_dtypes_are_known_by_any_name(dtype: object) -> None:
    assert dtype_name(dtype) == "float32"
    with pytest.raises(DTypeError, match="expected a dtype"):
        dtype_name(object())


def test_optional_import_names_the_extra() -> None:
    with pytest.raises(
        MissingDependencyError, match=r"'no_such_package' is needed.*pip install 'xpnn\[train\]'"
    ):
        optional_import("no_such_package.part", extra="train")


def test_errors_derive_from_what_others_raise() -> None:
    pairs = [
        ("ShapeError", ValueError), ("DTypeError", TypeError), ("ArgumentError", ValueError),
        ("ShapeError", RuntimeError),
        ("IndexOutOfRangeError", IndexError), ("BackendError", RuntimeError), ("GradientError", RuntimeError),
        ("BackendMismatchError", TypeError), ("MissingDependencyError", ImportError),
        ("AnomalyError", FloatingPointError), ("DataError", ValueError), ("CheckpointError", ValueError),
    ]  # fmt: skip
    for name, builtin in pairs:
        error = getattr(xpnn.backend.errors, name)
        assert issubclass(error, XpnnError)
        assert issubclass(error, builtin)


@pytest.fixture
def strict() -> Backend:
    pytest.importorskip("array_api_strict")
    return find_backend("array_api_strict")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend that nobody has registered; what the test registers is forgotten afterwards."""
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))
    return Backend("fresh", ("numpy",), lambda: find_backend("numpy").xp, "pip install fresh", np.asarray)


def copy_of(backend: Backend, **changes: object) -> Backend:
    fields = {name: getattr(backend, name) for name in backend.__dataclass_fields__}
    return Backend(**{**fields, **changes})


def pretend_missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name, *rest)
    )


def pretend_cupy(monkeypatch: pytest.MonkeyPatch, cupy: SimpleNamespace) -> None:
    """A CuPy that can be imported, and does what the test says."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: find_spec("numpy" if name == "cupy" else name, *rest)
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(find_backend("cupy").__dict__, "xp", cupy)


def in_thread(function: object) -> object:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("device", ["moon", 3, object(), np.ones(2)])
def test_a_device_that_is_not_there_is_refused(device: Any) -> None:
    for call in (xpnn.asarray, xpnn.tensor, xpnn.nn.Parameter(np.ones(1)).to):
        with pytest.raises(ArgumentError, match=r"backend 'numpy' has no device"):
            call(device=device) if call.__name__ == "to" else call([1.0], device=device)


# NumPy


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
@pytest.mark.parametrize("second", ["array", "row", "column", "number", "wider"])
def test_where_of_numpy_selects_bits(dtype: str, second: str) -> None:
    """What the library's own gives, to the sign of zeros and the bits of NaN, for any order of memory."""
    rng = np.random.default_rng(0)
    x = np.asarray(100 * rng.standard_normal((60, 150)), dtype=dtype).T
    x[:2] = 0 if dtype == "int64" else np.asarray([[-0.0], [np.nan]])
    y = {
        "array": x[::-1] + x.dtype.type(1),
        "row": x[0] + x.dtype.type(1),
        "column": x[:, :1],
        "number": -2,
        "wider": np.ones(x.shape),
    }[second]
    where = find_backend("numpy").xp.where
    for condition in (x > 0, np.ascontiguousarray(x) > 0, x[:, :1] > 0):
        for first, other in ((x, y), (y, x)):
            found, expected = where(condition, first, other), np.where(condition, first, other)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes()


# Registrations


def of_numpy(name: str, **options: object) -> Backend:
    """A backend of a user's, around NumPy's namespace or one like it."""
    namespace = options.pop("load", lambda: importlib.import_module("array_api_compat.numpy"))
    return Backend(name, ("numpy",), namespace, "pip install numpy", **options)  # type: ignore[arg-type]


def test_a_library_without_extensions() -> None:
    """linalg and fft are optional in the standard: they are missed when they are asked for, not before."""
    numpy = importlib.import_module("array_api_compat.numpy")
    bare = SimpleNamespace(
        __name__="bare",
        **{n: getattr(numpy, n) for n in dir(numpy) if n not in ("linalg", "fft", "__name__")},
    )
    tensors = TensorNamespace(bare)
    assert tensors.exp(tensors.zeros(2)).tolist() == [1, 1]
    for name in ("linalg", "fft"):
        with pytest.raises(AttributeError, match=name):
            getattr(tensors, name)


def test_a_later_registration_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))
    likes = importlib.import_module("cupy_like")
    x = likes.asarray([1.0, 2.0])
    before = (xpnn.Tensor(x) * 2.0).tolist()
    assert backend_of(x).several_devices is False
    old = find_backend("cupy_like")
    register_backend(
        Backend("cupy_like", old.packages, old.load, "", lambda a: a.get() + 100.0, several_devices=True)
    )
    assert backend_of(x).several_devices is True
    assert (xpnn.Tensor(x) * 2.0).tolist() == [value + 100 for value in before]
    register_backend(old)
    assert backend_of(x) is old


def test_a_backend_that_cannot_compute_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))

    def no_device(*args: object) -> None:
        raise RuntimeError("no device found")

    bare = SimpleNamespace(zeros=no_device, __name__="bare")
    register_backend(of_numpy("deviceless", load=lambda: bare))
    register_backend(of_numpy("unlucky", probe=no_device))
    for name in ("deviceless", "unlucky"):
        status = xpnn.available_backends()[name]
        assert not status.available
        assert "no device found" in status.detail
        with pytest.raises(BackendError, match="no device found"):
            xpnn.set_backend(name)
    register_backend(Backend("absent", ("no_such_package",), lambda: None, "pip install it"))
    with pytest.raises(BackendError, match="Available now: numpy") as caught:
        xpnn.set_backend("absent")
    assert "deviceless" not in str(caught.value)
    assert "unlucky" not in str(caught.value)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="JAX may find the GPU")
def test_jax_that_is_told_to_look_elsewhere_is_asked() -> None:
    pytest.importorskip("jax")
    script = "import xpnn; print(xpnn.available_backends()['jax'].available)"
    environment = {**os.environ, "JAX_PLATFORMS": "cuda"}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split()[-1] == "False"
