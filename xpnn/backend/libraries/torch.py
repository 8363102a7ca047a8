"""PyTorch as an array library: its arrays and routines, without its autograd."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.errors import BackendError, GradientError
from xpnn.backend.registry import Array, Backend, Gpu, register_backend


def _load() -> ModuleType:
    return importlib.import_module("array_api_compat.torch")


def _to_numpy(array: Array) -> np.ndarray:
    array = array.detach().cpu()
    return (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()


def _parse_device(device: Any) -> Any:
    torch = importlib.import_module("torch")
    if device is None:
        return None
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BackendError(
            f"backend 'torch' has no device '{device}': PyTorch {torch.__version__} sees no GPU here"
        )
    return device


def _gpu() -> Gpu:
    cuda = importlib.import_module("torch").cuda
    return Gpu(
        count=cuda.device_count,
        name=cuda.get_device_name,
        synchronize=cuda.synchronize,
        empty_cache=cuda.empty_cache,
        memory_allocated=cuda.memory_allocated,
        max_memory_allocated=cuda.max_memory_allocated,
    )


def _admit(array: Array) -> Array:
    if array.requires_grad:
        raise GradientError(
            "expects a torch.Tensor that requires no gradient, got one that does, which it would never get",
            hint="Call detach() on it first: t.detach()",
        )
    return array


def _owns_memory(array: Array) -> bool:
    return array.is_contiguous() and array.untyped_storage().nbytes() == array.nbytes


def _index_add(values: Array, indices: Array, count: int) -> Array:
    return values.new_zeros((count, *values.shape[1:])).index_add_(0, indices, values)


def _complex_of(real: Array, imag: Array, dtype: Any) -> Array:
    return importlib.import_module("torch").complex(real, imag)


def _erfc(z: Array) -> Array:
    return z.erfc()


def _uniform(shape: tuple[int, ...], like: Array, seed: int, counter: int) -> Array:
    torch = importlib.import_module("torch")
    generator = torch.Generator(device=like.device)
    generator.manual_seed(int(np.random.SeedSequence([seed, counter]).generate_state(1, np.uint64)[0] >> 1))
    return torch.rand(shape, generator=generator, dtype=torch.float32, device=like.device)


register_backend(
    Backend(
        "torch",
        packages=("torch",),
        load=_load,
        install="pip install 'xpnn[torch]'",
        to_numpy=_to_numpy,
        device_of=lambda array: array.device,
        parse_device=_parse_device,
        probe=lambda: "cpu or cuda",
        gpu=_gpu,
        kernels="xpnn.kernels.torch",
        several_devices=True,
        admit=_admit,
        owns_memory=_owns_memory,
        index_add=_index_add,
        complex_of=_complex_of,
        erfc=_erfc,
        uniform=_uniform,
    )
)
