"""The ONNX nodes of each primitive.

A function takes the Exporter and a Step, adds nodes, and returns the name of the result, or of several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.io.onnx.trace import Step, Value

if TYPE_CHECKING:
    from xpnn.io.onnx.export import Exporter

Operator = Callable[["Exporter", Step], Any]

OPERATORS: dict[str, Operator] = {}

# Primitives that have the ONNX operator of this name, with the same arguments and no options.
_SAME = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "divide": "Div",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "gelu": "Gelu",
    "hardswish": "HardSwish",
    "log": "Log",
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "mish": "Mish",
    "multiply": "Mul",
    "negative": "Neg",
    "pow": "Pow",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "round": "Round",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
    "where": "Where",
}

_ARITHMETIC = ("add", "divide", "maximum", "minimum", "multiply", "subtract")

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Decorate what exports the primitives of these names."""

    def register(function: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = function
        return function

    return register


@operator(*_SAME)
def _same(e: Exporter, s: Step) -> str:
    if s.options:
        raise s.error(f"cannot be exported: '{s.name}' with {s.options}")
    inputs, dtype = e.inputs(s), s.results[0].dtype
    for i, value in enumerate(s.arguments):  # ONNX brings no types together
        if value is not None and value.dtype != dtype and s.name in _ARITHMETIC:
            inputs[i] = e.cast(inputs[i], dtype)
    return e.add(_SAME[s.name], *inputs)


# ---- layers ----


@operator("linear")
def _linear(e: Exporter, s: Step) -> str:
    x, w, b = e.input(s, 0), e.input(s, 1), e.input(s, 2)
    if len(_of(s, 0).shape) == 2:
        return e.add("Gemm", x, w, b, transB=1)
    y = e.add("MatMul", x, e.add("Transpose", w, perm=[1, 0]))
    return e.add("Add", y, b) if b else y


@operator("conv")
def _conv(e: Exporter, s: Step) -> str:
    return e.add("Conv", *e.inputs(s), **_window(s), group=s.options["groups"])


@operator("conv_input_gradient")
def _conv_transpose(e: Exporter, s: Step) -> str:
    window = _window(s)
    axes = len(window["strides"])
    kernel, size = _of(s, 1).shape[2:], _of(s, 0).shape[2:]
    pads = [a + b for a, b in zip(window["pads"][:axes], window["pads"][axes:])]
    least = [
        stride * (n - 1) + dilation * (k - 1) + 1 - pad
        for stride, n, dilation, k, pad in zip(window["strides"], size, window["dilations"], kernel, pads)
    ]
    beyond = [n - m for n, m in zip(s.options["size"], least)]
    return e.add("ConvTranspose", *e.inputs(s), **window, group=s.options["groups"], output_padding=beyond)


@operator("unfold_columns")
def _unfold_columns(e: Exporter, s: Step) -> str:
    """A convolution, with a kernel for each cell of the window."""
    channels = _of(s, 0).shape[1]
    size = s.options["kernel_size"]
    cells = np.eye(math.prod(size), dtype=s.results[0].dtype).reshape(-1, 1, *size)
    kernels = e.constant(np.concatenate([cells] * channels))
    y = e.add("Conv", e.input(s, 0), kernels, **_window(s), group=channels)
    return e.add("Reshape", y, e.shape(s.results[0], into=True))


@operator("batch_norm_inference")
def _batch_norm(e: Exporter, s: Step) -> str:
    x, mean, variance, w, b, residual = e.inputs(s)
    scale, shift = _affine(e, _of(s, 1).shape, s, w, b)
    y = e.add("BatchNormalization", x, scale, shift, mean, variance, epsilon=s.options["eps"])
    if residual:
        y = e.add("Add", y, residual)
    return e.add("Relu", y) if s.options["relu"] else y


@operator("layer_norm")
def _layer_norm(e: Exporter, s: Step) -> str:
    x, w, b = e.inputs(s)
    features = s.options["features"]
    w = w or _affine(e, _of(s, 0).shape[-features:], s, "", "")[0]
    return e.add("LayerNormalization", x, w, b, axis=-features, epsilon=s.options["eps"])


@operator("group_norm")
def _group_norm(e: Exporter, s: Step) -> str:
    x, w, b = e.inputs(s)
    affine = _affine(e, _of(s, 0).shape[1:2], s, w, b)
    options = {"num_groups": s.options["groups"], "epsilon": s.options["eps"]}
    return e.add("GroupNormalization", x, *affine, **options)


@operator("rms_norm")
def _rms_norm(e: Exporter, s: Step) -> str:
    x, w = e.inputs(s)
    axes = e.constant([*range(-s.options["features"], 0)])
    mean = e.add("ReduceMean", e.add("Mul", x, x), axes, keepdims=1)
    y = e.add("Div", x, e.add("Sqrt", e.add("Add", mean, e.number(s.options["eps"], s))))
    return e.add("Mul", y, w) if w else y


@operator("embedding")
def _embedding(e: Exporter, s: Step) -> str:
    return e.add("Gather", e.input(s, 1), e.input(s, 0), axis=0)


# ---- pooling ----


@operator("max_pool")
def _max_pool(e: Exporter, s: Step) -> str:
    return e.add("MaxPool", e.input(s, 0), kernel_shape=list(s.options["kernel_size"]), **_window(s))


@operator("places_of_maxima")
def _places_of_maxima(e: Exporter, s: Step) -> str:
    """The second output of the MaxPool that is there already; ONNX counts through all channels."""
    options = {"kernel_shape": list(s.options["kernel_size"]), **_window(s)}
    like = e.onnx.helper.make_node("MaxPool", [e.input(s, 0)], [], **options)
    pools = [
        n for n in e.nodes if (n.op_type, n.input, n.attribute) == ("MaxPool", like.input, like.attribute)
    ]
    if pools:
        pools[-1].output[1:] = [f"{pools[-1].output[0]}.places"]
        places = pools[-1].output[1]
    else:
        places = e.add("MaxPool", e.input(s, 0), outputs=2, **options)[1]
    return e.add("Mod", places, e.constant(np.int64(math.prod(_of(s, 0).shape[2:]))))


@operator("put")
def _put(e: Exporter, s: Step) -> str:
    zeros = e.add("Expand", e.number(0, s), e.shape(s.results[0]))
    return e.add("ScatterElements", zeros, e.input(s, 1), e.input(s, 0), axis=len(_of(s, 0).shape) - 1)


@operator("sum_pool")
def _sum_pool(e: Exporter, s: Step) -> str:
    """AveragePool times the size of the window; with the product that makes a mean, AveragePool alone."""
    kernel = s.options["kernel_size"]
    options = {**_window(s), "kernel_shape": list(kernel), "count_include_pad": 1}
    del options["dilations"]
    mean = e.add("AveragePool", e.input(s, 0), **options)
    users = s.results[0].users
    if len(users) == 1 and users[0].name == "multiply" and s.results[0] not in e.recorded.outputs:
        factor = next((a for a in users[0].arguments if a is not None and a is not s.results[0]), None)
        number = None if factor is None or factor.name or factor.shape else factor.array
        if number is not None and math.isclose(number, 1 / math.prod(kernel), rel_tol=1e-6):
            e.done.add(id(users[0]))
            e.names[id(users[0].results[0])] = mean
            return mean
    return e.add("Mul", mean, e.number(math.prod(kernel), s))


@operator("spread_over_windows")
def _repeat_cells(e: Exporter, s: Step) -> str:
    """Each cell as large as a window: enlargement by whole factors."""
    times = s.options["kernel_size"]
    apart = tuple(s.options["stride"]) == tuple(times) and not any(map(any, s.options["padding"]))
    if not apart or s.results[0].shape[2:] != tuple(n * k for n, k in zip(_of(s, 0).shape[2:], times)):
        raise s.error("cannot be exported: sums over windows that overlap")
    scales = e.constant(np.asarray([1, 1, *times], dtype=np.float32))
    options: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return e.add("Resize", e.input(s, 0), "", scales, mode="nearest", **options)


@operator("adaptive_means")
def _adaptive_means(e: Exporter, s: Step) -> str:
    x, cells, windows = e.input(s, 0), _of(s, 0).shape[2:], tuple(s.options["windows"])
    if all(count == 1 for count in windows):
        return e.add("GlobalAveragePool", x)
    if not any(size % count for size, count in zip(cells, windows)):
        kernel = [size // count for size, count in zip(cells, windows)]
        return e.add("AveragePool", x, kernel_shape=kernel, strides=kernel)
    if len(cells) > 2:
        raise s.error(f"cannot be exported: adaptive pooling of {cells} cells to {windows}")
    means = [_adaptive_matrix(size, count, s) for size, count in zip(cells, windows)]
    x = e.add("MatMul", x, e.constant(means[-1].T))
    return x if len(cells) == 1 else e.add("MatMul", e.constant(means[0]), x)


def _adaptive_matrix(cells: int, windows: int, s: Step) -> np.ndarray:
    """The matrix (windows, cells) of the means over adaptive windows."""
    matrix = np.zeros((windows, cells), dtype=s.results[0].dtype)
    for i in range(windows):
        first, last = i * cells // windows, -(-(i + 1) * cells // windows)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


@operator("take_windows")
def _take_windows(e: Exporter, s: Step) -> str:
    cells, windows = _of(s, 0).shape[s.options["axis"]], s.options["windows"]
    width = s.results[0].shape[s.options["axis"]] // windows
    starts = [[i * cells // windows, -(-(i + 1) * cells // windows) - 1] for i in range(windows)]
    taken = [min(first + k, last) for first, last in starts for k in range(width)]
    return e.add("Gather", e.input(s, 0), e.constant(taken), axis=s.options["axis"])


@operator("resample")
def _resample(e: Exporter, s: Step) -> str:
    """Copies of cells are a Gather, weighted sums of them a product with a matrix."""
    taps, axis, rank = s.options["taps"], s.options["axis"], len(_of(s, 0).shape)
    x, axis = e.input(s, 0), axis % rank
    if len(taps.cells) == 1 and {*taps.weights[0]} == {1.0}:
        return e.add("Gather", x, e.constant(list(taps.cells[0])), axis=axis)
    matrix = np.zeros((taps.count, len(taps.cells[0])), dtype=s.results[0].dtype)
    for cells, weights in zip(taps.cells, taps.weights):
        np.add.at(matrix, (list(cells), range(len(cells))), weights)
    if axis == rank - 1:
        return e.add("MatMul", x, e.constant(matrix))
    if axis == rank - 2:
        return e.add("MatMul", e.constant(matrix.T), x)
    order = [i for i in range(rank) if i != axis] + [axis]
    y = e.add("MatMul", e.add("Transpose", x, perm=order), e.constant(matrix))
    return e.add("Transpose", y, perm=np.argsort(order).tolist())


# ---- activations ----


@operator("softmax", "log_softmax")
def _softmax(e: Exporter, s: Step) -> str:
    kind = "Softmax" if s.name == "softmax" else "LogSoftmax"
    return e.add(kind, e.input(s, 0), axis=s.options["axis"])


@operator("gelu_tanh")
def _gelu_tanh(e: Exporter, s: Step) -> str:
    return e.add("Gelu", e.input(s, 0), approximate="tanh")


@operator("silu")
def _silu(e: Exporter, s: Step) -> str:
    return e.add("Mul", e.input(s, 0), e.add("Sigmoid", e.input(s, 0)))


@operator("elu", "selu", "celu")
def _elu(e: Exporter, s: Step) -> str:
    """ONNX's Elu has no scale and no rate; its Selu has both, with a rate of 1."""
    alpha, scale, rate = s.options["alpha"], s.options["scale"], s.options["rate"]
    if s.name == "celu":
        return e.add("Celu", e.input(s, 0), alpha=alpha)
    if rate != 1.0:
        raise s.error(f"cannot be exported: elu with a rate of {rate}")
    if scale == 1.0:
        return e.add("Elu", e.input(s, 0), alpha=alpha)
    return e.add("Selu", e.input(s, 0), alpha=alpha, gamma=scale)


@operator("leaky_relu")
def _leaky_relu(e: Exporter, s: Step) -> str:
    return e.add("LeakyRelu", e.input(s, 0), alpha=float(s.options["slope"]))


@operator("hardsigmoid")
def _hardsigmoid(e: Exporter, s: Step) -> str:
    return e.add("HardSigmoid", e.input(s, 0), alpha=1 / 6, beta=0.5)


@operator("hardtanh")
def _hardtanh(e: Exporter, s: Step) -> str:
    return e.add("Clip", e.input(s, 0), e.number(s.options["low"], s), e.number(s.options["high"], s))


@operator("relu6")
def _relu6(e: Exporter, s: Step) -> str:
    return e.add("Clip", e.input(s, 0), e.number(0, s), e.number(6, s))


@operator("softplus")
def _softplus(e: Exporter, s: Step) -> str:
    if s.options["beta"] != 1.0:
        raise s.error(f"cannot be exported: softplus with beta={s.options['beta']}")
    return e.add("Softplus", e.input(s, 0))


@operator("logsigmoid")
def _logsigmoid(e: Exporter, s: Step) -> str:
    return e.add("Neg", e.add("Softplus", e.add("Neg", e.input(s, 0))))


@operator("threshold")
def _threshold(e: Exporter, s: Step) -> str:
    above = e.add("Greater", e.input(s, 0), e.number(s.options["least"], s))
    return e.add("Where", above, e.input(s, 0), e.number(s.options["value"], s))


@operator("tanhshrink")
def _tanhshrink(e: Exporter, s: Step) -> str:
    return e.add("Sub", e.input(s, 0), e.add("Tanh", e.input(s, 0)))


@operator("prelu")
def _prelu(e: Exporter, s: Step) -> str:
    x, w = _of(s, 0), _of(s, 1)
    slope = e.input(s, 1)
    if len(x.shape) > 2 and len(w.shape) == 1:
        slope = e.add("Reshape", slope, e.constant([-1, *[1] * (len(x.shape) - 2)]))
    return e.add("PRelu", e.input(s, 0), slope)


@operator("square")
def _square(e: Exporter, s: Step) -> str:
    return e.add("Mul", e.input(s, 0), e.input(s, 0))


@operator("rsqrt")
def _rsqrt(e: Exporter, s: Step) -> str:
    return e.add("Reciprocal", e.add("Sqrt", e.input(s, 0)))


@operator("clip")
def _clip(e: Exporter, s: Step) -> str:
    """ONNX's Clip takes numbers; arrays of limits are a Max and a Min."""
    y = e.input(s, 0)
    if e.input(s, 1):
        y = e.add("Max", y, e.input(s, 1))
    return e.add("Min", y, e.input(s, 2)) if e.input(s, 2) else y


@operator("at_least")
def _at_least(e: Exporter, s: Step) -> str:
    return e.add("Max", e.input(s, 0), e.number(s.options["low"], s))


@operator("astype")
def _astype(e: Exporter, s: Step) -> str:
    return e.cast(e.input(s, 0), s.results[0].dtype)


@operator("select")
def _select(e: Exporter, s: Step) -> str:
    return e.add("Where", e.input(s, 0), e.input(s, 1), e.number(0, s))


# ---- comparisons and logic ----

_COMPARISONS = {
    **dict.fromkeys(("eq", "equal"), "Equal"),
    **dict.fromkeys(("lt", "less"), "Less"),
    **dict.fromkeys(("le", "less_equal"), "LessOrEqual"),
    **dict.fromkeys(("gt", "greater"), "Greater"),
    **dict.fromkeys(("ge", "greater_equal"), "GreaterOrEqual"),
    "isinf": "IsInf",
    "isnan": "IsNaN",
}

_LOGIC = {
    **dict.fromkeys(("and_", "bitwise_and", "logical_and"), "And"),
    **dict.fromkeys(("or_", "bitwise_or", "logical_or"), "Or"),
    **dict.fromkeys(("xor", "bitwise_xor", "logical_xor"), "Xor"),
    **dict.fromkeys(("bitwise_invert", "logical_not"), "Not"),
}


@operator(*_COMPARISONS)
def _comparison(e: Exporter, s: Step) -> str:
    return e.add(_COMPARISONS[s.name], *e.inputs(s))


@operator("ne", "not_equal")
def _not_equal(e: Exporter, s: Step) -> str:
    return e.add("Not", e.add("Equal", *e.inputs(s)))


@operator(*_LOGIC)
def _logic(e: Exporter, s: Step) -> str:
    if any(value is None or value.dtype != "bool" for value in s.arguments):
        raise s.error(f"cannot be exported: '{s.name}' of what is not boolean")
    return e.add(_LOGIC[s.name], *e.inputs(s))


# ---- orders ----


@operator("argmax", "argmin")
def _arg_extreme(e: Exporter, s: Step) -> str:
    axis = s.options.get("axis")
    if axis is None:
        raise s.error(f"cannot be exported: '{s.name}' of all elements")
    kind = "ArgMax" if s.name == "argmax" else "ArgMin"
    return e.add(kind, e.input(s, 0), axis=axis, keepdims=int(s.options.get("keepdims", False)))


@operator("argsort")
def _argsort(e: Exporter, s: Step) -> str:
    axis, descending = s.options.get("axis", -1), s.options.get("descending", False)
    count = e.constant([_of(s, 0).shape[axis]])
    return e.add("TopK", e.input(s, 0), count, outputs=2, axis=axis, largest=int(descending))[1]


# ---- reductions ----


@operator("mean", "sum", "max", "min", "prod")
def _reduction(e: Exporter, s: Step) -> str:
    x = e.input(s, 0)
    if _of(s, 0).dtype != s.results[0].dtype:
        x = e.cast(x, s.results[0].dtype)
    return _reduced(e, s, f"Reduce{s.name.capitalize()}", x, s.options["keepdims"])


@operator("cumulative_sum")
def _cumulative_sum(e: Exporter, s: Step) -> str:
    if s.options.get("include_initial"):
        raise s.error("cannot be exported: cumulative_sum with a first 0")
    x = e.input(s, 0)
    if _of(s, 0).dtype != s.results[0].dtype:
        x = e.cast(x, s.results[0].dtype)
    axis = s.options["axis"]
    return e.add("CumSum", x, e.constant(np.int64(0 if axis is None else axis)))


@operator("var", "std")
def _variance(e: Exporter, s: Step) -> str:
    axes, correction = _axes(s), s.options["correction"]
    if any(_of(s, 0).shapes[0][i] != _of(s, 0).shapes[1][i] for i in axes):
        raise s.error(f"cannot be exported: '{s.name}' over the batch")
    count = math.prod(_of(s, 0).shape[i] for i in axes)
    apart = e.add("Sub", e.input(s, 0), _reduced(e, s, "ReduceMean", e.input(s, 0), True))
    y = _reduced(e, s, "ReduceMean", e.add("Mul", apart, apart), s.options["keepdims"])
    if correction:
        y = e.add(
            "Mul", y, e.number(count / max(count - correction, 0) if count > correction else math.inf, s)
        )
    return e.add("Sqrt", y) if s.name == "std" else y


def _reduced(e: Exporter, s: Step, kind: str, x: str, keepdims: bool) -> str:
    return e.add(kind, x, e.constant(_axes(s)), keepdims=int(keepdims))


def _axes(s: Step) -> list[int]:
    axis, rank = s.options["axis"], len(_of(s, 0).shape)
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    return [i % rank for i in axes]


# ---- shapes ----


@operator("reshape", "expand_dims", "squeeze")
def _reshape(e: Exporter, s: Step) -> str:
    shapes, given = s.results[0].shapes, _of(s, 0).shapes
    if shapes == given:
        return e.input(s, 0)
    if s.name == "expand_dims":
        return e.add("Unsqueeze", e.input(s, 0), e.constant([s.options["axis"]]))
    if s.name == "squeeze":
        return e.add("Squeeze", e.input(s, 0), e.constant(_axes(s)))
    rows = len(shapes[0]) == 2 and len(given[0]) > 1 and [a[0] for a in shapes] == [a[0] for a in given]
    if rows:
        return e.add("Flatten", e.input(s, 0), axis=1)
    return e.add("Reshape", e.input(s, 0), e.shape(s.results[0], into=True))


@operator("permute_dims")
def _permute_dims(e: Exporter, s: Step) -> str:
    rank = len(_of(s, 0).shape)
    return e.add("Transpose", e.input(s, 0), perm=[i % rank for i in s.options["axes"]])


@operator("matrix_transpose")
def _matrix_transpose(e: Exporter, s: Step) -> str:
    return _transposed(e, e.input(s, 0), len(_of(s, 0).shape))


@operator("broadcast_to")
def _broadcast_to(e: Exporter, s: Step) -> str:
    return e.add("Expand", e.input(s, 0), e.shape(s.results[0]))


@operator("concat")
def _concat(e: Exporter, s: Step) -> str:
    return e.add("Concat", *e.inputs(s), axis=s.options["axis"])


@operator("stack")
def _stack(e: Exporter, s: Step) -> str:
    axis = e.constant([s.options["axis"]])
    return e.add("Concat", *(e.add("Unsqueeze", x, axis) for x in e.inputs(s)), axis=s.options["axis"])


@operator("unstack")
def _unstack(e: Exporter, s: Step) -> list[str]:
    axis, axes = s.options["axis"], e.constant([s.options["axis"]])
    parts = e.add("Split", e.input(s, 0), outputs=len(s.results), axis=axis, num_outputs=len(s.results))
    return [e.add("Squeeze", part, axes) for part in ([parts] if isinstance(parts, str) else parts)]


@operator("getitem")
def _getitem(e: Exporter, s: Step) -> str:
    """Slices, then the axes of integers, which fall away, then new axes of None."""
    x, shapes = e.input(s, 0), _of(s, 0).shapes
    both = [_spelt(options["index"], len(shapes[0]), s) for options in s.both_options]
    starts, stops, axes, steps, gone, new = [], [], [], [], [], []
    axis = place = 0
    for one, other in zip(*both):
        if one is None:
            new.append(place)
            place += 1
            continue
        sizes = [shape[axis] for shape in shapes]
        if isinstance(one, slice):
            if (spans := [part.indices(size) for part, size in zip((one, other), sizes)]) != [
                (0, size, 1) for size in sizes
            ]:
                if sizes[0] != sizes[1] and (one.start, one.stop, one.step) != (
                    other.start, other.stop, other.step,
                ):  # fmt: skip
                    raise s.error("cannot be exported: a slice of the batch whose ends depend on its size")
                if sizes[0] == sizes[1] and spans[0] != spans[1]:
                    raise s.error("cannot be exported: a slice whose ends depend on the batch")
                step = one.step or 1
                starts.append((0 if step > 0 else 2**31) if one.start is None else one.start)
                stops.append((2**31 if step > 0 else -(2**31)) if one.stop is None else one.stop)
                axes.append(axis)
                steps.append(step)
            place += 1
        else:
            if one != other:
                raise s.error("cannot be exported: an index that depends on the batch or on values")
            starts.append(one)
            stops.append(one + 1 if one != -1 else 2**31)
            axes.append(axis)
            steps.append(1)
            gone.append(axis)
        axis += 1
    if axes:
        x = e.add("Slice", x, *map(e.constant, (starts, stops, axes, steps)))
    if gone:
        x = e.add("Squeeze", x, e.constant(gone))
    return e.add("Unsqueeze", x, e.constant(new)) if new else x


def _spelt(index: Any, rank: int, s: Step) -> list[Any]:
    """An index with an entry for each axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(part is None or part is ... or isinstance(part, int | slice) for part in parts):
        raise s.error("cannot be exported: an index of arrays")
    missing = rank - sum(part is not None and part is not ... for part in parts)
    place = parts.index(...) if ... in parts else len(parts)
    parts[place : place + 1] = [slice(None)] * missing
    return parts


@operator("take")
def _take(e: Exporter, s: Step) -> str:
    return e.add("Gather", e.input(s, 0), e.input(s, 1), axis=s.options["axis"])


@operator("take_along_axis")
def _take_along_axis(e: Exporter, s: Step) -> str:
    return e.add("GatherElements", e.input(s, 0), e.input(s, 1), axis=s.options["axis"])


@operator("flip", "reversed")
def _flip(e: Exporter, s: Step) -> str:
    axes = _axes(s)
    ends = [[value] * len(axes) for value in (-1, -(2**31))]
    return e.add("Slice", e.input(s, 0), *map(e.constant, (*ends, axes, [-1] * len(axes))))


@operator("pad", "pad_with_copies")
def _pad(e: Exporter, s: Step) -> str:
    widths, rank = s.options["widths"], len(_of(s, 0).shape)
    inner = [(0, 0)] * (rank - len(widths))
    pads = e.constant([w for side in (0, 1) for w in [pair[side] for pair in (*inner, *widths)]])
    if s.name == "pad":
        return e.add("Pad", e.input(s, 0), pads, e.number(s.options["value"], s))
    return e.add("Pad", e.input(s, 0), pads, mode=_MODES[s.options["mode"]])


@operator("tril", "triu")
def _triangle(e: Exporter, s: Step) -> str:
    upper = int(s.name == "triu")
    return e.add("Trilu", e.input(s, 0), e.constant(np.asarray(s.options["k"])), upper=upper)


# ---- attention ----


@operator("attention")
def _attention(e: Exporter, s: Step) -> str:
    return _attended(e, s, e.inputs(s)[:3], e.input(s, 3), [_of(s, i).shape for i in (0, 1)])


@operator("self_attention")
def _self_attention(e: Exporter, s: Step) -> str:
    """x (N, T, 3 E), or (T, N, 3 E), to the heads' queries, keys and values."""
    heads, first = s.options["heads"], s.options["batch_first"]
    size = _of(s, 0).shape[2] // 3
    parts = e.add("Split", e.input(s, 0), outputs=3, axis=2, num_outputs=3)
    into = e.constant([0, 0, heads, size // heads])
    order = [0, 2, 1, 3] if first else [1, 2, 0, 3]
    apart = [e.add("Transpose", e.add("Reshape", part, into), perm=order) for part in parts]
    time = _of(s, 0).shape[1 if first else 0]
    y = _attended(e, s, apart, e.input(s, 1), [(0, 0, time, size // heads)] * 2)
    y = e.add("Transpose", y, perm=[0, 2, 1, 3] if first else [2, 0, 1, 3])
    return e.add("Reshape", y, e.constant([0, 0, size]))


@operator("attention_weights")
def _attention_weights(e: Exporter, s: Step) -> str:
    q, k, mask = e.inputs(s)
    return _seen(e, s, q, k, mask, [_of(s, i).shape for i in (0, 1)])


def _attended(e: Exporter, s: Step, qkv: Sequence[str], mask: str, shapes: Any) -> str:
    if s.options["dropout"] and s.arguments[-1] is not None:
        raise s.error("cannot be exported: dropout that is not switched off")
    return e.add("MatMul", _seen(e, s, qkv[0], qkv[1], mask, shapes), qkv[2])


def _seen(e: Exporter, s: Step, q: str, k: str, mask: str, shapes: Any) -> str:
    """How much each query sees of each key: softmax of the scaled products, which a mask is added to."""
    scores = e.add(
        "MatMul", e.add("Mul", q, e.number(s.options["scale"], s)), _transposed(e, k, len(shapes[1]))
    )
    if mask:
        scores = e.add("Add", scores, mask)
    if s.options["causal"]:
        queries, keys = shapes[0][-2], shapes[1][-2]
        hidden = np.triu(np.full((queries, keys), -np.inf, dtype=s.results[0].dtype), 1)
        scores = e.add("Add", scores, e.constant(hidden))
    return e.add("Softmax", scores, axis=-1)


def _transposed(e: Exporter, x: str, rank: int) -> str:
    return e.add("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


# ---- recurrent layers ----


@operator("rnn", "gru", "lstm")
def _recurrent(e: Exporter, s: Step) -> list[str]:
    """One direction of one layer: RNN, GRU or LSTM; the weights are put into ONNX's order of the gates."""
    states = 2 if s.name == "lstm" else 1
    x, *starts = (_of(s, 0), *(_of(s, i) for i in range(1, 1 + states)))
    w_ih, w_hh, b_ih, b_hh, *projection = s.arguments[1 + states :]
    if projection and projection[0] is not None:
        raise s.error("cannot be exported: an LSTM with projections, which ONNX has not")
    assert w_ih is not None
    assert w_hh is not None
    size = w_hh.shape[1]
    gates = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}[s.name]
    weights = [_gates_in_order(e, s, [w], gates) for w in (w_ih, w_hh)]
    bias = _gates_in_order(e, s, [b_ih, b_hh], gates) if b_ih is not None and b_hh is not None else ""
    given = ["" if start.fill == 0 or _is_zero(start) else _row(e, start) for start in starts]
    options: dict[str, Any] = {"hidden_size": size}
    if s.options["reverse"]:
        options["direction"] = "reverse"
    if s.name == "gru":
        options["linear_before_reset"] = 1
    if s.options.get("nonlinearity") == "relu":
        options["activations"] = ["Relu"]
    outputs = e.add(s.name.upper(), e.name(x), *weights, bias, "", *given, outputs=1 + states, **options)
    hidden = e.add("Squeeze", outputs[0], e.constant([1]))
    if states == 2 and s.results[1].users:
        _last_cell(e, s, outputs[2])
    return [hidden, ""][: len(s.results)] if states == 2 else [hidden]


def _last_cell(e: Exporter, s: Step, name: str) -> None:
    """ONNX gives the last cell only; the steps that ask for it get it."""
    last = 0 if s.options["reverse"] else s.results[1].shape[0] - 1
    for user in s.results[1].users:
        index = user.options.get("index")
        first = index[0] if isinstance(index, tuple) else index
        rest = index[1:] if isinstance(index, tuple) else ()
        whole = all(part is ... or part == slice(None) for part in rest)
        if user.name != "getitem" or not whole or first not in (last, last - s.results[1].shape[0]):
            raise s.error("cannot be exported: cells of an LSTM at other times than the last")
        e.done.add(id(user))
        e.names[id(user.results[0])] = e.add("Squeeze", name, e.constant([0]))


def _gates_in_order(e: Exporter, s: Step, parts: list[Value], gates: list[int]) -> str:
    """A weight, or the two biases behind one another, with the gates in another order, (1, ...)."""
    arrays = []
    for part in parts:
        if part.array is None:
            raise s.error("cannot be exported: weights that are computed")
        apart = np.split(part.array, len(gates))
        arrays += [apart[gate] for gate in gates]
    return e.constant(np.concatenate(arrays)[None], f"{parts[0].name or 'weight'}@onnx")


def _is_zero(value: Value) -> bool:
    return value.array is not None and not value.array.any()


def _row(e: Exporter, value: Value) -> str:
    return e.add("Unsqueeze", e.name(value), e.constant([0]))


# ---- helpers ----


def _of(s: Step, index: int) -> Value:
    """An argument that is there."""
    value = s.arguments[index]
    assert value is not None
    return value


def _window(s: Step) -> dict[str, Any]:
    """Strides, padding and dilation as ONNX has them."""
    pairs = s.options["padding"]
    return {
        "strides": list(s.options["stride"]),
        "pads": [pair[side] for side in (0, 1) for pair in pairs],
        "dilations": list(s.options.get("dilation", (1,) * len(pairs))),
    }


def _affine(e: Exporter, shape: Sequence[int], s: Step, w: str, b: str) -> tuple[str, str]:
    """Scale and shift, ones and zeros where there are none."""
    dtype = s.results[0].dtype
    return (
        w or e.constant(np.ones(tuple(shape), dtype=dtype)),
        b or e.constant(np.zeros(tuple(shape), dtype=dtype)),
    )
