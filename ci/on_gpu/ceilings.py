"""What the card can do at most: bytes and products a second, and how many launches."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from on_gpu.setting import Row, Setting, torch_milliseconds

PRODUCTS = {"float64": 4096, "float32": 8192, "float16": 16384}  # rows of square matrices of random numbers
BY_TORCH = ("float32", "tf32", "float16", "bfloat16")
ELEMENTS = 2**28  # of an array that is copied


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each ceiling."""
    yield from _copies(setting)
    one = setting.library.asarray(np.ones(1, np.float32))
    ms = setting.milliseconds(lambda: one + 1, setting.pick(2000, 5))
    yield {"name": "launch of a kernel", "us": 1e3 * ms}
    for dtype, n in PRODUCTS.items():
        yield _product(setting, dtype, setting.pick(n, 8))
    if importlib.util.find_spec("torch") is None:
        yield {"name": "products by PyTorch", "left out": "it is not installed"}
        return
    for dtype in BY_TORCH:
        yield _product_by_torch(setting, dtype, setting.pick(8192, 8))


def _copies(setting: Setting) -> Iterator[Row]:
    """On the device, whose bytes are read and written; and from memory of the host that is pinned."""
    library, repeats = setting.library, setting.pick(10, 1)
    n = setting.pick(ELEMENTS, 2**10)
    pinned = library.cuda.alloc_pinned_memory(4 * n)
    host = np.frombuffer(pinned, np.float32, n)
    host[...] = np.random.default_rng(0).random(n, np.float32)
    source, target = (library.empty((n,), dtype=library.float32) for _ in range(2))
    ms = setting.milliseconds(lambda: source.set(host), repeats)
    yield {"name": "copy from pinned memory", "ms": ms, "GB/s": 4 * n / ms / 1e6}

    def copy() -> None:
        target[...] = source

    ms = setting.milliseconds(copy, repeats)
    yield {"name": "copy on the device", "ms": ms, "GB/s": 8 * n / ms / 1e6}


def _product(setting: Setting, dtype: str, n: int) -> Row:
    library = setting.library
    draws = (np.random.default_rng(seed).random((n, n), np.float32) - 0.5 for seed in range(2))
    a, b = (library.asarray(draw.astype(dtype)) for draw in draws)
    ms = setting.milliseconds(lambda: a @ b, setting.pick(10, 1))
    return {"name": f"product {dtype} {n}, CuPy", "ms": ms, "TFLOP/s": 2 * n**3 / ms / 1e9}


def _product_by_torch(setting: Setting, dtype: str, n: int) -> Row:
    """In the types that matrix units have."""
    torch: Any = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = getattr(torch, "float32" if dtype == "tf32" else dtype)
    a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    ms = torch_milliseconds(lambda: a @ b, setting.pick(10, 1))
    torch.backends.cuda.matmul.allow_tf32 = before
    return {"name": f"product {dtype} {n}, PyTorch", "ms": ms, "TFLOP/s": 2 * n**3 / ms / 1e9}
