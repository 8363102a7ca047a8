"""Layers and losses, forward and backward, of xpnn and of PyTorch, each at two sizes.

Arrays lie as PyTorch's default has them. A step is one call and the gradients of all its floating inputs and
parameters, for a fixed upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.kernels import Kernel, Library, Made, both_ways, library, plain
from benchmarks.workloads import initial_values

COMPETITORS = ("numpy", "pytorch")

Shape = tuple[int, ...]
Call = Callable[..., Any]


def row(title: str, call: Callable[[Library], Call], shapes: tuple[Shape, ...]) -> Kernel:
    """`call(library)` takes arrays of these shapes, or is a module that does."""

    def make(lib: Library) -> Made:
        lib = plain(lib)
        function = call(lib)
        parameters = list(getattr(function, "named_parameters", dict)())
        for name, parameter in parameters:
            parameter.data = lib.tensor(initial_values(name, tuple(parameter.shape)), False)
        inputs = [lib.random(*shape, seed=seed) for seed, shape in enumerate(shapes)]

        def output(*arguments: Any) -> Any:
            y = function(*arguments[: len(inputs)])
            return y[0] if isinstance(y, tuple) else y

        return both_ways(lib, output, *inputs, *(parameter for _, parameter in parameters))

    return Kernel(title, make)


def layer(name: str, call: Callable[[Library], Call], *sizes: Any) -> Iterator[tuple[str, Kernel]]:
    """Rows of one layer; a size is the shape of its input, or a list of those of several."""
    for number, size in enumerate(sizes, start=1):
        shapes = tuple(size) if isinstance(size, list) else (size,)
        title = f"{name}, {' and '.join('x'.join(map(str, shape)) for shape in shapes)}"
        yield f"{name}/{number}", row(title, call, shapes)


def module(name: str, *arguments: Any, **options: Any) -> Callable[[Library], Call]:
    return lambda lib: getattr(lib.nn, name)(*arguments, **options)


def function(name: str, *arguments: Any, **options: Any) -> Callable[[Library], Call]:
    """A function of arrays, then of what else it is given."""

    def call(lib: Library) -> Call:
        found = getattr(lib.F, name)
        return lambda *arrays: found(*arrays, *arguments, **options)

    return call


def labelled(name: str, classes: int, *shape: int) -> Callable[[Library], Call]:
    """A loss of scores, and class numbers of a shape."""

    def call(lib: Library) -> Call:
        labels = integers(lib, classes, *shape)
        return lambda scores: getattr(lib.F, name)(scores, labels)

    return call


def compared(name: str, low: float = 0.0, **options: Any) -> Callable[[Library], Call]:
    """A loss of two arrays, brought into (low, 1) by a sigmoid where it takes no others."""

    def call(lib: Library) -> Call:
        found = getattr(lib.F, name)
        if not low:
            return lambda x, y: found(x, y, **options)
        return lambda x, y: found(lib.module.sigmoid(x), lib.module.sigmoid(y), **options)

    return call


def unpooling(lib: Library) -> Call:
    def call(x: Any) -> Any:
        y, places = lib.F.max_pool2d(x, 2, return_indices=True)
        return lib.F.max_unpool2d(y, places, 2)

    return call


def sampling(lib: Library) -> Call:
    return lambda x, grid: lib.F.grid_sample(x, lib.module.tanh(grid), align_corners=False)


def bags(mode: str, rows: int, *shape: int) -> Callable[[Library], Call]:
    def call(lib: Library) -> Call:
        words = integers(lib, rows, *shape)
        return lambda table: lib.F.embedding_bag(words, table, mode=mode)

    return call


def looked_up(rows: int, *shape: int) -> Callable[[Library], Call]:
    def call(lib: Library) -> Call:
        words = integers(lib, rows, *shape)
        return lambda table: lib.F.embedding(words, table)

    return call


def integers(lib: Library, high: int, *shape: int) -> Any:
    import numpy as np

    return lib.tensor(np.random.default_rng(3).integers(0, high, shape), False)


# fmt: off
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign",
    "sigmoid", "logsigmoid", "hardsigmoid", "hardswish", "hardtanh", "hardshrink", "softshrink", "tanhshrink",
    "tanh", "glu",
)
# fmt: on
SMALL, LARGE = (8, 16, 16, 16), (16, 32, 32, 32)  # images
SEQUENCES = ((8, 16, 128), (16, 32, 1024))
VOLUMES = ((2, 8, 8, 8, 8), (2, 16, 16, 16, 16))
PAIRS = ([(64, 32), (64, 32)], [(512, 256), (512, 256)])

LAYERS: dict[str, Kernel] = dict([
    *layer("conv1d", module("Conv1d", 32, 32, 3, padding=1), (8, 32, 64), (16, 32, 512)),
    *layer("conv3d", module("Conv3d", 16, 16, 3, padding=1), (2, 16, 8, 8, 8), (2, 16, 16, 16, 16)),
    *layer("conv_transpose1d", module("ConvTranspose1d", 32, 16, 4, 2, 1), (8, 32, 64), (16, 32, 512)),
    *layer("conv_transpose2d", module("ConvTranspose2d", 32, 16, 4, 2, 1), (8, 32, 8, 8), (16, 32, 16, 16)),
    *layer("conv_transpose3d", module("ConvTranspose3d", 16, 8, 2, 2), (2, 16, 4, 4, 4), (2, 16, 8, 8, 8)),
    *layer("max_pool1d", function("max_pool1d", 3, 2, 1), *SEQUENCES),
    *layer("max_pool2d", function("max_pool2d", 3, 2, 1), SMALL, LARGE),
    *layer("max_pool3d", function("max_pool3d", 2), *VOLUMES),
    *layer("avg_pool1d", function("avg_pool1d", 3, 2, 1), *SEQUENCES),
    *layer("avg_pool2d", function("avg_pool2d", 3, 2, 1), SMALL, LARGE),
    *layer("avg_pool3d", function("avg_pool3d", 2), *VOLUMES),
    *layer("lp_pool2d", function("lp_pool2d", 2.0, 2), SMALL, LARGE),
    *layer("adaptive_avg_pool2d", function("adaptive_avg_pool2d", 7), SMALL, LARGE),
    *layer("adaptive_max_pool2d", function("adaptive_max_pool2d", 7), SMALL, LARGE),
    *layer("max_unpool2d", unpooling, SMALL, LARGE),
    *layer("batch_norm1d", module("BatchNorm1d", 64), (128, 64), (2048, 64)),
    *layer("batch_norm3d", module("BatchNorm3d", 16), (2, 16, 8, 8, 8), (2, 16, 16, 16, 16)),
    *layer("layer_norm", module("LayerNorm", 64), (128, 64), (2048, 64)),
    *layer("rms_norm", module("RMSNorm", 64), (128, 64), (2048, 64)),
    *layer("group_norm", module("GroupNorm", 4, 16), SMALL, (16, 16, 32, 32)),
    *layer("instance_norm2d", module("InstanceNorm2d", 16), SMALL, (16, 16, 32, 32)),
    *layer("local_response_norm", function("local_response_norm", 5), SMALL, LARGE),
    *layer("normalize", function("normalize"), (64, 32), (2048, 256)),
    *(row for name in ACTIVATIONS for row in layer(name, function(name), SMALL, LARGE)),
    *layer("prelu", module("PReLU", 16), SMALL, (16, 16, 32, 32)),
    *layer("softmax of channels", function("softmax", dim=1), SMALL, LARGE),
    *layer("log_softmax of channels", function("log_softmax", dim=1), SMALL, LARGE),
    *(
        row
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
        for row in layer(name, compared(name), *PAIRS)
    ),
    *layer("binary_cross_entropy", compared("binary_cross_entropy", 1.0), *PAIRS),
    *layer(
        "binary_cross_entropy_with_logits",
        lambda lib: lambda x, y: lib.F.binary_cross_entropy_with_logits(x, lib.module.sigmoid(y)), *PAIRS,
    ),
    *layer("kl_div", compared("kl_div", reduction="batchmean", log_target=True), *PAIRS),
    *layer("poisson_nll_loss", compared("poisson_nll_loss"), *PAIRS),
    *layer("cosine_similarity", compared("cosine_similarity"), *PAIRS),
    *layer("pairwise_distance", compared("pairwise_distance"), *PAIRS),
    *layer("cdist", lambda lib: lib.module.cdist, *PAIRS),
    *layer("triplet_margin_loss", function("triplet_margin_loss"), [(64, 32)] * 3, [(512, 256)] * 3),
    *layer("cross_entropy", labelled("cross_entropy", 100, 256), (256, 100)),
    *layer("cross_entropy of cells", labelled("cross_entropy", 5, 8, 64, 64), (8, 5, 64, 64)),
    *layer("nll_loss of cells", labelled("nll_loss", 5, 8, 64, 64), (8, 5, 64, 64)),
    *layer("multi_margin_loss", labelled("multi_margin_loss", 100, 256), (256, 100)),
    *layer("nearest", function("interpolate", scale_factor=2), SMALL, LARGE),
    *layer("bilinear", function("interpolate", scale_factor=2, mode="bilinear"), SMALL, LARGE),
    *layer("bicubic", function("interpolate", size=24, mode="bicubic"), SMALL, LARGE),
    *layer("area", function("interpolate", size=7, mode="area"), SMALL, LARGE),
    *layer("trilinear", function("interpolate", scale_factor=2, mode="trilinear"), *VOLUMES),
    *layer("grid_sample", sampling, [SMALL, (8, 16, 16, 2)], [LARGE, (16, 32, 32, 2)]),
    *layer("embedding", looked_up(1000, 32, 16), (1000, 64)),
    *layer("embedding_bag of sum", bags("sum", 1000, 64, 16), (1000, 64)),
    *layer("embedding_bag of mean", bags("mean", 1000, 64, 16), (1000, 64)),
    *layer("embedding_bag of max", bags("max", 1000, 64, 16), (1000, 64)),
    *layer("pad by reflect", function("pad", (1, 1, 1, 1), mode="reflect"), SMALL, LARGE),
    *layer("pad by replicate", function("pad", (1, 1, 1, 1), mode="replicate"), SMALL, LARGE),
    *layer("pad by circular", function("pad", (1, 1, 1, 1), mode="circular"), SMALL, LARGE),
    *layer("pixel_shuffle", function("pixel_shuffle", 2), SMALL, LARGE),
    *layer("unfold", function("unfold", 3, padding=1), SMALL, LARGE),
    *layer("fold", function("fold", 16, 2, stride=2), (8, 64, 64)),
    *layer("bilinear of two", module("Bilinear", 32, 32, 16), [(64, 32), (64, 32)]),
    *layer("cumsum", lambda lib: lambda x: x.cumsum(1), (64, 50), (16, 64, 128)),
    *layer("cat", lambda lib: lambda x, y: lib.module.cat([x, y], 1), [SMALL, SMALL], [LARGE, LARGE]),
])  # fmt: skip


NAMES = tuple(dict.fromkeys(name.partition("/")[0] for name in LAYERS))


def chosen(words: Iterable[str]) -> list[str]:
    """The rows that a user means by words like relu or relu/2. Raises: LookupError for a word of none."""
    found: list[str] = []
    for word in words:
        meant = [name for name in LAYERS if word in (name, name.partition("/")[0])]
        if not meant:
            raise LookupError(word)
        found += meant
    return found


def prepare(competitor: str, name: str) -> tuple[dict[str, Any], Any]:
    """For `process.serve`: norms of what a layer computes, and its step."""
    step, check = LAYERS[name].make(library(competitor))
    return {"check": check()}, step
