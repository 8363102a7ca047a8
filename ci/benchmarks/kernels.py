"""Single operations, forward and backward, of xpnn and of PyTorch: the rows of the kernel table.

Images lie as they do inside of a network: with channels last in xpnn on NumPy and in PyTorch's channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.frameworks import THREADS, need
from benchmarks.workloads import initial_values

COMPETITORS = ("numpy", "numba", "pytorch", "pytorch-channels-last", "pytorch-fused")


@dataclass
class Library:
    """What the rows are made of: xpnn or PyTorch, and how images lie in memory."""

    module: Any
    F: Any
    tensor: Callable[[Any, bool], Any]  # of a NumPy array; whether it requires a gradient
    channels_last: bool
    fused: dict[str, Any]  # options of the optimizers

    @property
    def nn(self) -> Any:
        return self.module.nn

    def random(self, *shape: int, seed: int = 0, gradient: bool = True, scale: float = 1.0) -> Any:
        """The same numbers in each library, in the memory order of its images."""
        import numpy as np

        values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(scale)
        if len(shape) == 4 and self.channels_last:
            values = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return self.tensor(values, gradient)

    def like(self, y: Any) -> Any:
        """Random numbers in the shape and memory order of a result: the upstream gradient."""
        import numpy as np

        result = y.detach().numpy()
        values = np.random.default_rng(1).standard_normal(result.shape, dtype=np.float32)
        upstream = np.empty_like(result)
        upstream[...] = values
        return self.tensor(upstream, False)


def library(competitor: str) -> Library:
    """The library of a competitor, set to its threads."""
    if competitor in ("numpy", "numba"):
        if competitor == "numba":
            need("numba", "Numba")
            need("xpnn.kernels.numba", "a version of xpnn with kernels for Numba")
        import xpnn

        return Library(xpnn, xpnn.functional, xpnn.Tensor, True, {})
    need("torch", "PyTorch")
    import torch

    torch.set_num_threads(THREADS)
    variant = competitor.partition("-")[2]
    options = {"fused": True} if variant == "fused" else {}
    return Library(
        torch,
        torch.nn.functional,
        lambda x, gradient: torch.from_numpy(x).requires_grad_(gradient),
        variant == "channels-last",
        options,
    )


Step = Callable[[int], Any]
Check = Callable[[], list[float]]  # norms of what was computed, after a step
Made = tuple[Step, Check]


@dataclass(frozen=True)
class Kernel:
    """A row: `make(library)` returns the step and its check; `variants` says where PyTorch has more ways."""

    title: str
    make: Callable[[Library], Made]
    variants: str = ""  # "channels-last", "fused"


def both_ways(lib: Library, function: Callable, *arguments: Any) -> Made:
    """Forward and backward of a function, with a fixed upstream gradient."""
    upstream = lib.like(function(*arguments))
    last: list[Any] = []

    def step(i: int) -> None:
        for argument in arguments:
            argument.grad = None
        y = function(*arguments)
        y.backward(upstream)
        last[:] = [y]

    def check() -> list[float]:
        step(0)
        return [norm(y) for y in last] + [norm(a.grad) for a in arguments if a.grad is not None]

    return step, check


def norm(x: Any) -> float:
    import numpy as np

    return float(np.linalg.norm(x.detach().numpy().astype(np.float64)))


def conv(
    batch: int, channels: int, size: int, outside: int, kernel: int, stride: int = 1, groups: int = 1
) -> Kernel:
    def make(lib: Library) -> Made:
        stem = channels == 3  # images themselves need no gradient
        x = lib.random(batch, channels, size, size, gradient=not stem)
        w = lib.random(outside, channels // groups, kernel, kernel, seed=2, scale=0.1)
        options = {"stride": stride, "padding": kernel // 2, "groups": groups}
        return both_ways(lib, lambda x, w: lib.F.conv2d(x, w, **options), x, w)

    kind = " depthwise" if groups > 1 else ""
    how = f" stride {stride}" if stride > 1 else ""
    title = f"{kernel}x{kernel}{kind} conv{how} C{channels} to {outside}, H{size} N{batch}"
    return Kernel(title, make, "channels-last")


def norm_and_relu(lib: Library) -> Made:
    layer = lib.nn.BatchNorm2d(16)
    return both_ways(lib, lambda x: lib.F.relu(layer(x)), lib.random(128, 16, 32, 32))


def module(title: str, make: Callable[[Any], Any], *shape: int, variants: str = "") -> Kernel:
    """A row for `make(nn)`, a module of equal weights in each library, on inputs of a shape."""

    def row(lib: Library) -> Made:
        layer = make(lib.nn)
        for name, parameter in layer.named_parameters():
            parameter.data = lib.tensor(initial_values(name, tuple(parameter.shape)), False)

        def output(x: Any) -> Any:
            y = layer(x)
            return y[0] if isinstance(y, tuple) else y

        return both_ways(lib, output, lib.random(*shape))

    return Kernel(title, row, variants)


def max_pool(lib: Library) -> Made:
    return both_ways(lib, lambda x: lib.F.max_pool2d(x, 2), lib.random(128, 16, 32, 32))


def layer_norm(lib: Library) -> Made:
    return both_ways(lib, lib.nn.LayerNorm(128), lib.random(2048, 128))


def gelu(lib: Library) -> Made:
    return both_ways(lib, lambda x: lib.F.gelu(x), lib.random(1024, 1024))


def attention(lib: Library) -> Made:
    # (batch, heads, steps, features) is no image
    q, k, v = (plain(lib).random(16, 4, 128, 32, seed=seed) for seed in range(3))
    return both_ways(lib, lambda q, k, v: lib.F.scaled_dot_product_attention(q, k, v), q, k, v)


def product(lib: Library) -> Made:
    a, b = (plain(lib).random(64, 128, 128, seed=seed) for seed in range(2))
    return both_ways(lib, lambda a, b: a @ b, a, b)


def softmax(lib: Library) -> Made:
    return both_ways(lib, lambda x: lib.F.softmax(x, -1), lib.random(2048, 128))


def arithmetic(lib: Library) -> Made:
    x, y = (lib.random(128, 16, 32, 32, seed=seed) for seed in range(2))
    return both_ways(lib, lambda x, y: x * y + x, x, y)


def sums(lib: Library) -> Made:
    return both_ways(lib, lambda x: x.sum(0) * x.mean(1).sum(), lib.random(2048, 1024))


def embedding(lib: Library) -> Made:
    import numpy as np

    words = lib.tensor(np.random.default_rng(3).integers(0, 10_000, (32, 128)), False)
    return both_ways(lib, lambda table: lib.F.embedding(words, table), lib.random(10_000, 128))


def plain(lib: Library) -> Library:
    return Library(lib.module, lib.F, lib.tensor, False, lib.fused)


def parameters_with_gradients(lib: Library, count: int, *shape: int) -> list[Any]:
    parameters = [lib.nn.Parameter(lib.random(*shape, seed=i, gradient=False)) for i in range(count)]
    for i, parameter in enumerate(parameters):
        parameter.grad = lib.random(*shape, seed=count + i, gradient=False)
    return parameters


def clipping(lib: Library) -> Made:
    parameters = parameters_with_gradients(lib, 100, 64, 128)

    place = lib.nn.utils if hasattr(lib.nn.utils, "clip_grad_norm_") else lib.module.optim

    def step(i: int) -> None:
        place.clip_grad_norm_(parameters, 1.0)

    def check() -> list[float]:
        step(0)
        return [norm(parameter.grad) for parameter in parameters[:10]]

    return step, check


def optimizer(kind: str, count: int, *shape: int, **options: float) -> Callable[[Library], Made]:
    def make(lib: Library) -> Made:
        parameters = parameters_with_gradients(lib, count, *shape)
        optimizer = getattr(lib.module.optim, kind)(parameters, lr=1e-3, **options, **lib.fused)

        def check() -> list[float]:
            optimizer.step()
            return [norm(parameter) for parameter in parameters[:10]]

        return lambda i: optimizer.step(), check

    return make


def dropout(lib: Library) -> Made:
    return both_ways(lib, lambda x: lib.F.dropout(x, 0.5, training=True), lib.random(2048, 2048))


def cross_entropy(lib: Library) -> Made:
    import numpy as np

    labels = lib.tensor(np.random.default_rng(3).integers(0, 10, 128), False)
    return both_ways(lib, lambda x: lib.F.cross_entropy(x, labels), lib.random(128, 10))


KERNELS = {
    "conv-c64": conv(16, 64, 56, 64, 3),
    "conv-c128": conv(16, 128, 28, 128, 3),
    "conv-c256": conv(16, 256, 14, 256, 3),
    "conv-c512": conv(16, 512, 7, 512, 3),
    "conv-c16": conv(128, 16, 32, 16, 3),
    "conv-c32": conv(128, 32, 16, 32, 3),
    "conv-c64-h8": conv(128, 64, 8, 64, 3),
    "conv-stride2": conv(16, 64, 56, 128, 3, stride=2),
    "conv-1x1": conv(16, 64, 56, 256, 1),
    "conv-5x5": conv(128, 16, 14, 16, 5),
    "conv-stem": conv(16, 3, 224, 64, 7, stride=2),
    "conv-depthwise": conv(16, 64, 56, 64, 3, groups=64),
    "conv-pool": module(
        "5x5 conv C1 to 6, relu, max-pool, H28 N128",
        lambda nn: nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        128, 1, 28, 28, variants="channels-last",
    ),
    "norm-relu": Kernel("batch norm + relu C16 H32 N128", norm_and_relu, "channels-last"),
    "max-pool": Kernel("max-pool 2x2 C16 H32 N128", max_pool, "channels-last"),
    "group-norm": module(
        "group norm C64 H28 N16", lambda nn: nn.GroupNorm(8, 64), 16, 64, 28, 28, variants="channels-last"
    ),
    "layer-norm": Kernel("layer norm 2048 x 128", layer_norm),
    "gelu": Kernel("GELU of 1M", gelu),
    "softmax": Kernel("softmax 2048 x 128", softmax),
    "arithmetic": Kernel("x y + x of 2.1M", arithmetic, "channels-last"),
    "sums": Kernel("sums 2048 x 1024", sums),
    "linear": module("linear 512 to 512, N512", lambda nn: nn.Linear(512, 512), 512, 512),
    "product": Kernel("product 64 x 128 x 128 x 128", product),
    "embedding": Kernel("embedding of 4096 words, 10000 x 128", embedding),
    "lstm": module("LSTM 128-128 T64 N32", lambda nn: nn.LSTM(128, 128), 64, 32, 128),
    "gru": module("GRU 128-128 T64 N32", lambda nn: nn.GRU(128, 128), 64, 32, 128),
    "rnn": module("RNN 128-128 T64 N32", lambda nn: nn.RNN(128, 128), 64, 32, 128),
    "attention": Kernel("attention 16 x 4 x 128 x 32", attention),
    "adam": Kernel("Adam, one tensor of 10M", optimizer("Adam", 1, 2500, 4000), "fused"),
    "adam-small": Kernel("Adam, 1000 tensors of 32 x 32", optimizer("Adam", 1000, 32, 32), "fused"),
    "sgd-small": Kernel(
        "SGD with momentum, 1000 tensors of 32 x 32",
        optimizer("SGD", 1000, 32, 32, momentum=0.9), "fused",
    ),
    "clip": Kernel("clipping of 100 gradients of 64 x 128", clipping),
    "dropout": Kernel("dropout of 4.2M", dropout),
    "cross-entropy": Kernel("softmax + cross entropy 128 x 10", cross_entropy),
}  # fmt: skip


def has_variant(competitor: str, name: str) -> bool:
    """Whether a competitor has a column for a row: PyTorch's variants are for some rows only."""
    variant = competitor.partition("-")[2] if competitor.startswith("pytorch") else ""
    return variant in ("", KERNELS[name].variants)


def prepare(competitor: str, name: str) -> tuple[dict[str, Any], Step]:
    """For `process.serve`: norms of what a row computes, and its step."""
    step, check = KERNELS[name].make(library(competitor))
    return {"check": check()}, step
