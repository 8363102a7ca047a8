"""The operators of ONNX, as functions of Tensors and arrays.

Inputs are positional, None where they are left out; attributes are keyword-only, so that an attribute without
a parameter is one that is not known. What xpnn does not compute raises a NotImplementedError that says so.

See: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn import functional as F
from xpnn.autograd.functions.reduction import logsumexp
from xpnn.autograd.functions.special import erf
from xpnn.backend import device_of, dtype_name, namespace

Ints = Sequence[int]

FUNCTIONS: dict[str, Callable[..., Any]] = {}

_REDUCTIONS = ("Max", "Mean", "Min", "Prod", "Sum", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")

# Inputs that are settings and no operands: they are read on the host.
HOST_INPUTS: dict[str, tuple[int, ...]] = {"ConstantOfShape": (0,)}
HOST_INPUTS |= dict.fromkeys(
    [
        *("CumSum", "Expand", "Reshape", "Split", "Squeeze", "Tile", "Trilu", "Unsqueeze"),
        *(f"Reduce{kind}" for kind in _REDUCTIONS),
    ],
    (1,),
)
HOST_INPUTS |= dict.fromkeys(["Clip", "Dropout", "OneHot"], (1, 2))
HOST_INPUTS |= dict.fromkeys(["Pad", "Resize"], (1, 2, 3))
HOST_INPUTS |= {"Range": (0, 1, 2), "Slice": (1, 2, 3, 4)}

# Inputs that are measured, not trained.
STATISTICS = {"BatchNormalization": (3, 4)}


def operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register the function of the operator of its name: `_Conv` is that of Conv."""
    FUNCTIONS[function.__name__.strip("_")] = function
    return function


def _in_namespace(name: str) -> Callable[..., Any]:
    """An operator that is a function of the standard's namespace, element by element."""

    def compute(*inputs: Any) -> Any:
        return getattr(namespace(*inputs), name)(*inputs)

    return compute


def _activation(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that is a function of one array, without attributes."""

    def compute(x: Any) -> Any:
        return function(x)

    return compute


_SAME = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Equal", "Exp"),
    *("Floor", "Greater", "IsNaN", "Less", "Log", "MatMul", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan"),
    *("Tanh", "Where"),
)
FUNCTIONS |= {kind: _in_namespace(kind.lower()) for kind in _SAME}
FUNCTIONS["Add"], FUNCTIONS["Sub"] = _in_namespace("add"), _in_namespace("subtract")
FUNCTIONS["Mul"], FUNCTIONS["Neg"] = _in_namespace("multiply"), _in_namespace("negative")
FUNCTIONS["GreaterOrEqual"] = _in_namespace("greater_equal")
FUNCTIONS["LessOrEqual"] = _in_namespace("less_equal")
FUNCTIONS |= {kind: _in_namespace(f"logical_{kind.lower()}") for kind in ("And", "Or", "Xor", "Not")}
for _function in (F.relu, F.sigmoid, F.softsign, F.softplus, F.mish):
    FUNCTIONS[_function.__name__.capitalize()] = _activation(_function)
FUNCTIONS["HardSwish"], FUNCTIONS["Erf"] = _activation(F.hardswish), _activation(erf)


# ---- element by element ----


@operator
def _Identity(x):
    return x


@operator
def _Reciprocal(x):
    return 1 / x


@operator
def _Div(x, y):
    """Integers are divided towards zero."""
    xp = namespace(x, y)
    if not _is_whole(x):
        return xp.divide(x, y)
    signs = xp.sign(x) * xp.sign(y)
    return signs * xp.floor_divide(xp.abs(x), xp.abs(y))


@operator
def _Mod(x, y, *, fmod=0):
    xp = namespace(x, y)
    rest = xp.remainder(x, y)
    if not fmod:
        return rest
    return xp.where((rest != 0) & ((rest < 0) != (x < 0)), rest - y, rest)


@operator
def _Pow(x, y):
    return namespace(x).pow(x, namespace(y).astype(y, x.dtype) if y.dtype != x.dtype else y)


@operator
def _Max(*inputs):
    return functools.reduce(lambda x, y: namespace(x, y).maximum(x, y), inputs)


@operator
def _Min(*inputs):
    return functools.reduce(lambda x, y: namespace(x, y).minimum(x, y), inputs)


@operator
def _Sum(*inputs):
    return functools.reduce(lambda x, y: x + y, inputs)


@operator
def _Mean(*inputs):
    return _Sum(*inputs) / len(inputs)


@operator
def _IsInf(x, *, detect_negative=1, detect_positive=1):
    infinite = namespace(x).isinf(x)
    return infinite & (((x > 0) & bool(detect_positive)) | ((x < 0) & bool(detect_negative)))


@operator
def _Cast(x, *, to, saturate=1, round_mode="up"):
    xp = namespace(x)
    if not hasattr(xp, to) or "complex" in to:
        raise NotImplementedError(f"casts to {to}, which is not known")
    if to == "bool":
        return x != 0
    return xp.astype(x, getattr(xp, to))


@operator
def _Clip(x, low=None, high=None):
    return namespace(x).clip(x, None if low is None else low.item(), None if high is None else high.item())


# ---- activations ----


@operator
def _LeakyRelu(x, *, alpha=0.01):
    return F.leaky_relu(x, alpha)


@operator
def _PRelu(x, slope):
    return F.relu(x) - slope * F.relu(-x)


@operator
def _ThresholdedRelu(x, *, alpha=1.0):
    return F.threshold(x, alpha, 0.0)


@operator
def _Elu(x, *, alpha=1.0):
    return F.elu(x, alpha)


@operator
def _Celu(x, *, alpha=1.0):
    return F.celu(x, alpha)


@operator
def _Selu(x, *, alpha=1.6732632423543772, gamma=1.0507009873554805):
    return gamma * F.elu(x, alpha)


@operator
def _Gelu(x, *, approximate="none"):
    return F.gelu(x, approximate=approximate)


@operator
def _HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return namespace(x).clip(alpha * x + beta, 0.0, 1.0)


@operator
def _Shrink(x, *, bias=0.0, lambd=0.5):
    xp = namespace(x)
    beyond = xp.abs(x) > lambd
    return xp.where(beyond, x - xp.sign(x) * bias, xp.zeros_like(x))


@operator
def _Swish(x, *, alpha=1.0):
    return x * F.sigmoid(alpha * x)


@operator
def _Softmax(x, *, axis=-1, opset):
    _expect_opset(opset, 13)
    return F.softmax(x, axis)


@operator
def _LogSoftmax(x, *, axis=-1, opset):
    _expect_opset(opset, 13)
    return F.log_softmax(x, axis)


@operator
def _Hardmax(x, *, axis=-1, opset):
    _expect_opset(opset, 13)
    xp = namespace(x)
    best = xp.expand_dims(xp.argmax(x, axis=axis), axis=axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    places = xp.reshape(xp.arange(x.shape[axis], device=device_of(x)), tuple(shape))
    return xp.astype(places == best, x.dtype)


@operator
def _Dropout(x, ratio=None, training=None, *, seed=None):
    if training is not None and training.item():
        raise NotImplementedError("drops out in training mode, which is not known")
    return x, namespace(x).ones_like(x, dtype=namespace(x).bool)


# ---- layers ----


@operator
def _Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    if alpha == 1.0 and beta == 1.0 and transB and not transA and (c is None or c.ndim == 1):
        return F.linear(a, b, c)
    xp = namespace(a)
    y = xp.matmul(xp.matrix_transpose(a) if transA else a, xp.matrix_transpose(b) if transB else b)
    y = y if alpha == 1.0 else alpha * y
    return y if c is None else y + (c if beta == 1.0 else beta * c)


@operator
def _Conv(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
):
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:])]
    pads = _pads(auto_pad, pads, x.shape[2:], spans, strides)
    x = _padded(x, pads, 0.0)
    return _of_rank("conv{}d", axes)(x, w, b, tuple(strides), 0, tuple(dilations), group)


@operator
def _ConvTranspose(
    x,
    w,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
):
    """The whole adjoint, of which the pads are cut off."""
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    beyond = output_padding or [0] * axes
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:])]
    whole = [s * (n - 1) + o + k for s, n, o, k in zip(strides, x.shape[2:], beyond, spans)]
    if output_shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = list(output_shape or [n * s for n, s in zip(x.shape[2:], strides)])[-axes:]
        totals = [n - m for n, m in zip(whole, wanted)]
        small = [t // 2 for t in totals]
        large = [t - h for t, h in zip(totals, small)]
        pads = [*small, *large] if auto_pad == "SAME_UPPER" else [*large, *small]
        if auto_pad == "NOTSET":
            pads = [*large, *small]
    pads = pads or [0] * (2 * axes)
    y = _of_rank("conv_transpose{}d", axes)(x, w, None, tuple(strides), 0, 0, group, tuple(dilations))
    y = _padded(y, [*(-p for p in pads[:axes]), *(o - p for o, p in zip(beyond, pads[axes:]))], 0.0)
    return y if b is None else y + namespace(b).reshape(b, (-1, *[1] * axes))


@operator
def _BatchNormalization(x, scale, shift, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if training_mode:
        raise NotImplementedError("normalises by the batch (training_mode), which is not known")
    return F.batch_norm(x, mean, variance, scale, shift, eps=epsilon)


@operator
def _InstanceNormalization(x, scale, shift, *, epsilon=1e-5):
    return F.instance_norm(x, weight=scale, bias=shift, eps=epsilon)


@operator
def _LayerNormalization(x, scale, shift=None, *, axis=-1, epsilon=1e-5, stash_type=1, count=1):
    """The result, the mean, and 1 over the standard deviation."""
    xp, axes = namespace(x), tuple(range(axis % x.ndim, x.ndim))
    shape = tuple(x.shape[axis % x.ndim :])
    scale = namespace(scale).broadcast_to(scale, shape)
    shift = None if shift is None else namespace(shift).broadcast_to(shift, shape)
    y = F.layer_norm(x, shape, scale, shift, epsilon)
    if count == 1:
        return y
    mean = xp.mean(x, axis=axes, keepdims=True)
    deviation = xp.sqrt(xp.var(x, axis=axes, keepdims=True) + epsilon)
    return y, mean, 1 / deviation


@operator
def _RMSNormalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    xp = namespace(x)
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x / xp.sqrt(xp.mean(x * x, axis=axes, keepdims=True) + epsilon) * scale


@operator
def _GroupNormalization(x, scale, shift, *, num_groups, epsilon=1e-5, stash_type=1, opset):
    _expect_opset(opset, 21)
    return F.group_norm(x, num_groups, scale, shift, epsilon)


@operator
def _LRN(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    xp = namespace(x)
    before = (size - 1) // 2
    square = _padded_axis(x * x, 1, before, size - 1 - before)
    total = sum(square[:, i : i + x.shape[1], ...] for i in range(size))
    return x / xp.pow(bias + alpha / size * total, beta)


# ---- pooling ----


@operator
def _MaxPool(
    x,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    pads=None,
    storage_order=0,
    strides=None,
):
    axes = len(kernel_shape)
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel_shape)]
    pads = _pads(auto_pad, pads, x.shape[2:], spans, strides)
    inside = _symmetric(pads, kernel_shape)
    if inside is None:
        if ceil_mode:
            raise NotImplementedError("rounds up with pads that differ from side to side, which is not known")
        x, inside = _padded(x, pads, -math.inf), (0,) * axes
    return _of_rank("max_pool{}d", axes)(
        x, tuple(kernel_shape), tuple(strides), inside, tuple(dilations), bool(ceil_mode)
    )


@operator
def _AveragePool(
    x,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    pads=None,
    strides=None,
):
    axes = len(kernel_shape)
    if dilations is not None and any(d != 1 for d in dilations):
        raise NotImplementedError("has dilations, which are not known")
    strides = strides or [1] * axes
    pads = _pads(auto_pad, pads, x.shape[2:], kernel_shape, strides)
    pool = _of_rank("avg_pool{}d", axes)
    inside = _symmetric(pads, kernel_shape)
    if inside is not None:
        return pool(x, tuple(kernel_shape), tuple(strides), inside, bool(ceil_mode), bool(count_include_pad))
    if ceil_mode:
        raise NotImplementedError("rounds up with pads that differ from side to side, which is not known")
    y = pool(_padded(x, pads, 0.0), tuple(kernel_shape), tuple(strides))
    if count_include_pad:
        return y
    return y / pool(_padded(namespace(x).ones_like(x), pads, 0.0), tuple(kernel_shape), tuple(strides))


@operator
def _GlobalAveragePool(x):
    return namespace(x).mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@operator
def _GlobalMaxPool(x):
    return namespace(x).max(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@operator
def _Resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    antialias=0,
    axes=None,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    keep_aspect_ratio_policy="stretch",
    mode="nearest",
    nearest_mode="round_prefer_floor",
    opset,
):
    """Along one axis after the other, a product with a matrix of weights."""
    _expect_opset(opset, 11)
    coordinates = coordinate_transformation_mode
    if (
        antialias
        or exclude_outside
        or keep_aspect_ratio_policy != "stretch"
        or coordinates == "tf_crop_and_resize"
    ):
        raise NotImplementedError(
            "has antialias, exclude_outside, an aspect ratio or a crop, which is not known"
        )
    axes = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    xp = namespace(x)
    for i, axis in enumerate(axes):
        cells = x.shape[axis]
        if sizes is not None and sizes.size:
            count, scale = int(sizes[i]), int(sizes[i]) / cells
        else:
            scale = float(scales[i])
            count = math.floor(cells * scale)
        if count == cells and scale == 1:
            continue
        matrix = _resizing(cells, count, scale, coordinates, mode, nearest_mode, cubic_coeff_a)
        weights = xp.asarray(matrix.astype(dtype_name(x.dtype)), device=device_of(x))
        x = xp.moveaxis(xp.matmul(xp.moveaxis(x, axis, -1), weights), -1, axis)
    return x


def _resizing(
    cells: int, count: int, scale: float, coordinates: str, mode: str, rounding: str, a: float
) -> np.ndarray:
    """The matrix (cells, count) that makes an axis of `cells` one of `count`."""
    out = np.arange(count, dtype=np.float64)
    if coordinates == "align_corners":
        x = out * (cells - 1) / (scale * cells - 1) if count > 1 else out * 0
    elif coordinates == "asymmetric":
        x = out / scale
    elif coordinates == "pytorch_half_pixel" and count == 1:
        x = out * 0
    elif coordinates == "half_pixel_symmetric":
        x = cells / 2 * (1 - count / (scale * cells)) + (out + 0.5) / scale - 0.5
    elif coordinates in ("half_pixel", "pytorch_half_pixel"):
        x = (out + 0.5) / scale - 0.5
    else:
        raise NotImplementedError(f"has coordinates by '{coordinates}', which are not known")
    if mode == "nearest":
        ways = {
            "round_prefer_floor": np.ceil(x - 0.5),
            "round_prefer_ceil": np.floor(x + 0.5),
            "floor": np.floor(x),
            "ceil": np.ceil(x),
        }
        taps = [(ways[rounding], np.ones(count))]
    elif mode == "linear":
        t = x - np.floor(x)
        taps = [(np.floor(x), 1 - t), (np.floor(x) + 1, t)]
    elif mode == "cubic":
        t = x - np.floor(x)
        near = [(a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)]
        far = [a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a for d in (1 + t, 2 - t)]
        taps = [(np.floor(x) + k, w) for k, w in zip((-1, 0, 1, 2), (far[0], *near, far[1]))]
    else:
        raise NotImplementedError(f"has the mode '{mode}', which is not known")
    matrix = np.zeros((cells, count))
    for place, weight in taps:
        np.add.at(matrix, (np.clip(place, 0, cells - 1).astype(int), np.arange(count)), weight)
    return matrix


# ---- reductions ----


def _reduction(kind: str, compute: Callable[[Any, Any, bool], Any]) -> None:
    def reduce(x, given=None, *, axes=None, keepdims=1, noop_with_empty_axes=0):
        chosen = tuple(np.asarray([] if given is axes else axes if given is None else given, int).tolist())
        if not chosen and not noop_with_empty_axes:
            chosen = tuple(range(x.ndim))
        return compute(x, chosen, bool(keepdims))

    FUNCTIONS[kind] = reduce


def _extreme(name: str, empty: float) -> Callable[[Any, Any, bool], Any]:
    """The largest or smallest elements, and `empty` where there are none."""

    def compute(x: Any, axes: Any, keep: bool) -> Any:
        xp = namespace(x)
        if all(x.shape[axis] for axis in axes):
            return getattr(xp, name)(x, axis=axes, keepdims=keep)
        like = xp.sum(x, axis=axes, keepdims=keep)
        return xp.full_like(xp.astype(like, x.dtype), empty > 0 if "bool" in dtype_name(x.dtype) else empty)

    return compute


def _total(name: str) -> Callable[[Any, Any, bool], Any]:
    """A reduction that has a value for no elements."""

    def compute(x: Any, axes: Any, keep: bool) -> Any:
        return _same_type(getattr(namespace(x), name)(x, axis=axes, keepdims=keep), x)

    return compute


_reduction("ReduceMax", _extreme("max", -math.inf))
_reduction("ReduceMin", _extreme("min", math.inf))
_reduction("ReduceProd", _total("prod"))
_reduction("ReduceSum", _total("sum"))
_reduction("ReduceMean", _total("mean"))
_reduction("ReduceL1", lambda x, axes, keep: _sum(namespace(x).abs(x), axes, keep))
_reduction("ReduceL2", lambda x, axes, keep: namespace(x).sqrt(_sum(x * x, axes, keep)))
_reduction("ReduceSumSquare", lambda x, axes, keep: _sum(x * x, axes, keep))
_reduction("ReduceLogSum", lambda x, axes, keep: namespace(x).log(_sum(x, axes, keep)))
_reduction("ReduceLogSumExp", lambda x, axes, keep: logsumexp(x, axes, keep))


@operator
def _ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _best(namespace(x).argmax, x, axis, keepdims, select_last_index)


@operator
def _ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _best(namespace(x).argmin, x, axis, keepdims, select_last_index)


@operator
def _CumSum(x, axis, *, exclusive=0, reverse=0):
    xp, axis = namespace(x), int(axis.item())
    x = xp.flip(x, axis=axis) if reverse else x
    y = xp.cumulative_sum(x, axis=axis, dtype=x.dtype)
    y = y - x if exclusive else y
    return xp.flip(y, axis=axis) if reverse else y


# ---- shapes ----


@operator
def _Shape(x, *, start=0, end=None):
    return np.asarray(tuple(x.shape)[start:end], dtype=np.int64)


@operator
def _Size(x):
    return np.asarray(math.prod(x.shape), dtype=np.int64)


@operator
def _Constant(*, value=None, value_float=None, value_floats=None, value_int=None, value_ints=None):
    for given, dtype in ((value, None), (value_float, "float32"), (value_floats, "float32")):
        if given is not None:
            return np.asarray(given, dtype=dtype)
    return np.asarray(value_ints if value_int is None else value_int, dtype=np.int64)


@operator
def _ConstantOfShape(shape, *, value=None):
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(tuple(shape.tolist()), fill.reshape(()), dtype=fill.dtype)


@operator
def _Range(start, limit, delta):
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@operator
def _Reshape(x, shape, *, allowzero=0):
    sizes = [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(shape.tolist())]
    return namespace(x).reshape(x, tuple(sizes))


@operator
def _Flatten(x, *, axis=1):
    axis = axis if axis >= 0 else axis + x.ndim
    return namespace(x).reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator
def _Squeeze(x, axes=None):
    gone = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else axes.tolist()
    return namespace(x).squeeze(x, tuple(axis % x.ndim for axis in gone)) if gone else x


@operator
def _Unsqueeze(x, axes):
    rank = x.ndim + axes.size
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = namespace(x).expand_dims(x, axis=axis)
    return x


@operator
def _Transpose(x, *, perm=None):
    return namespace(x).permute_dims(x, tuple(perm or reversed(range(x.ndim))))


@operator
def _Concat(*inputs, axis):
    return namespace(*inputs).concat(list(inputs), axis=axis)


@operator
def _Split(x, sizes=None, *, axis=0, num_outputs=None, count=1):
    length = x.shape[axis]
    if sizes is None:
        part = -(-length // (num_outputs or count))
        sizes = [max(min(part, length - i * part), 0) for i in range(num_outputs or count)]
    ends = np.cumsum([0, *sizes]).tolist()
    return tuple(x[_along(x, axis, slice(a, b))] for a, b in itertools.pairwise(ends))


@operator
def _Slice(x, starts, ends, axes=None, steps=None):
    axes = range(starts.size) if axes is None else axes.tolist()
    steps = [1] * starts.size if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps):
        size = x.shape[axis]
        start = start + size if start < 0 else start
        end = end + size if end < 0 else end
        if step > 0:
            first, last = min(max(start, 0), size), min(max(end, 0), size)
            x = x[_along(x, axis, slice(first, last, step))]
        else:
            first, last = min(max(start, -1), size - 1), min(max(end, -1), size - 1)
            x = (
                x[_along(x, axis, slice(first, None if last < 0 else last, step))]
                if first > last
                else (x[_along(x, axis, slice(0, 0))])
            )
    return x


@operator
def _Gather(x, indices, *, axis=0):
    xp = namespace(x, indices)
    axis %= x.ndim
    flat = xp.reshape(_wrapped(xp, indices, x.shape[axis]), (-1,))
    return xp.reshape(xp.take(x, flat, axis=axis), (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operator
def _GatherElements(x, indices, *, axis=0):
    xp = namespace(x, indices)
    axis %= x.ndim
    x = x[tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(indices.shape))]
    return xp.take_along_axis(x, _wrapped(xp, indices, x.shape[axis]), axis=axis)


@operator
def _Expand(x, shape):
    xp = namespace(x)
    return xp.broadcast_to(x, np.broadcast_shapes(tuple(x.shape), tuple(shape.tolist())))


@operator
def _Tile(x, repeats):
    return namespace(x).tile(x, tuple(repeats.tolist()))


@operator
def _Pad(x, pads, value=None, axes=None, *, mode="constant"):
    axes = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    both = dict(zip(axes, zip(pads[: len(axes)].tolist(), pads[len(axes) :].tolist())))
    if mode == "constant":
        fill = 0 if value is None else value.item()
        widths = [w for i in reversed(range(x.ndim)) for w in both.get(i, (0, 0))]
        return F.pad(x, widths, value=fill)
    if mode not in ("reflect", "edge", "wrap"):
        raise NotImplementedError(f"has the mode '{mode}', which is not known")
    for axis, (before, after) in both.items():
        places = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)  # type: ignore[call-overload]
        x = _Gather(x, _beside(places, x), axis=axis)
    return x


@operator
def _Trilu(x, k=None, *, upper=1):
    xp = namespace(x)
    return (xp.triu if upper else xp.tril)(x, k=0 if k is None else int(k.item()))


@operator
def _OneHot(indices, depth, values, *, axis=-1):
    xp, count = namespace(indices), int(depth.item())
    places = xp.arange(count, device=device_of(indices))
    indices = xp.astype(indices, places.dtype)
    hot = xp.expand_dims(xp.where(indices < 0, indices + count, indices), axis=axis)
    shape = [1] * hot.ndim
    shape[axis] = -1
    off, on = (xp.asarray(v, device=device_of(indices)) for v in values)
    return xp.where(hot == xp.reshape(places, tuple(shape)), on, off)


@operator
def _DepthToSpace(x, *, blocksize, mode="DCR"):
    xp = namespace(x)
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = xp.permute_dims(xp.reshape(x, (n, b, b, c // b**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = xp.permute_dims(xp.reshape(x, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return xp.reshape(y, (n, c // b**2, h * b, w * b))


@operator
def _SpaceToDepth(x, *, blocksize, mode="DCR"):
    if mode != "DCR":
        raise NotImplementedError(f"has the mode '{mode}', which is not known")
    xp = namespace(x)
    n, c, h, w = x.shape
    b = blocksize
    y = xp.permute_dims(xp.reshape(x, (n, c, h // b, b, w // b, b)), (0, 3, 5, 1, 2, 4))
    return xp.reshape(y, (n, c * b * b, h // b, w // b))


# ---- recurrent layers ----


@operator
def _LSTM(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h0=None,
    c0=None,
    peepholes=None,
    *,
    hidden_size=None,
    direction="forward",
    layout=0,
    activations=None,
    input_forget=0,
):
    _only(lengths, peepholes, input_forget or None)
    _expect_activations(activations, ["Sigmoid", "Tanh", "Tanh"])
    return _recurrent(F.lstm, [0, 2, 3, 1], x, w, r, b, [h0, c0], direction, layout)


@operator
def _GRU(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h0=None,
    *,
    hidden_size=None,
    direction="forward",
    layout=0,
    activations=None,
    linear_before_reset=0,
):
    _only(lengths)
    _expect_activations(activations, ["Sigmoid", "Tanh"])
    function = F.gru if linear_before_reset else _gru_that_resets_first
    return _recurrent(function, [1, 0, 2], x, w, r, b, [h0], direction, layout)


@operator
def _RNN(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h0=None,
    *,
    hidden_size=None,
    direction="forward",
    layout=0,
    activations=None,
):
    _only(lengths)
    kind = {*(activations or ["Tanh"])}
    if kind not in ({"Tanh"}, {"Relu"}):
        raise NotImplementedError(f"has the activations {activations}, which are not known")
    function = F.rnn_tanh if kind == {"Tanh"} else F.rnn_relu
    return _recurrent(function, [0], x, w, r, b, [h0], direction, layout)


def _recurrent(
    function: Callable[..., Any],
    gates: list[int],
    x: Any,
    w: Any,
    r: Any,
    b: Any,
    starts: list[Any],
    direction: str,
    layout: int,
) -> tuple[Any, ...]:
    """A layer of PyTorch's form; the weights of the gates are put into its order."""
    xp = namespace(x)
    directions, size = w.shape[0], r.shape[2]

    def ordered(array: Any) -> Any:
        return xp.concat([array[g * size : (g + 1) * size, ...] for g in gates], axis=0)

    params: list[Any] = []
    for d in range(directions):
        params += [ordered(w[d, ...]), ordered(r[d, ...])]
        if b is not None:
            half = len(gates) * size
            params += [ordered(b[d, :half]), ordered(b[d, half:])]
    if layout:
        x, starts = _swapped(x), [None if s is None else _swapped(s) for s in starts]
    steps, batch = x.shape[:2]
    zeros = xp.zeros((directions, batch, size), dtype=x.dtype, device=device_of(x))
    starts = [zeros if s is None else s for s in starts]
    x = xp.flip(x, axis=0) if direction == "reverse" else x
    hx = tuple(starts) if len(starts) > 1 else starts[0]
    y, *last = function(x, hx, params, b is not None, bidirectional=direction == "bidirectional")
    y = xp.permute_dims(xp.reshape(y, (steps, batch, directions, size)), (0, 2, 1, 3))
    y = xp.flip(y, axis=0) if direction == "reverse" else y
    if layout:
        return (xp.permute_dims(y, (2, 0, 1, 3)), *map(_swapped, last))
    return (y, *last)


def _gru_that_resets_first(
    x: Any, h0: Any, params: list[Any], has_biases: bool, bidirectional: bool
) -> tuple[Any, Any]:
    """`gru` of PyTorch's form, whose reset gate acts on the state before the product with its weight."""
    xp, each, size = namespace(x), 4 if has_biases else 2, h0.shape[2]
    outputs, last = [], []
    for d in range(1 + bidirectional):
        w, r, *biases = params[d * each : (d + 1) * each]
        gates, h, states = F.linear(x, w, sum(biases) if biases else None), h0[d, ...], []
        for t in range(x.shape[0]) if d == 0 else reversed(range(x.shape[0])):
            z = gates[t, ...]
            both = F.sigmoid(z[:, : 2 * size] + F.linear(h, r[: 2 * size, ...]))
            reset, update = both[:, :size], both[:, size:]
            new = xp.tanh(z[:, 2 * size :] + F.linear(reset * h, r[2 * size :, ...]))
            h = (1 - update) * new + update * h
            states.append(h)
        outputs.append(xp.stack(states if d == 0 else states[::-1], axis=0))
        last.append(h)
    return xp.concat(outputs, axis=-1), xp.stack(last, axis=0)


def _swapped(x: Any) -> Any:
    return namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim)))


def _expect_opset(given: int, oldest: int) -> None:
    """Operators that meant something else before."""
    if given < oldest:
        raise NotImplementedError(f"is of opset {given}; known is that of {oldest} and newer")


def _only(*left_out: Any) -> None:
    if any(value is not None for value in left_out):
        raise NotImplementedError("has sequence lengths, peepholes or coupled gates, which are not known")


def _expect_activations(given: Sequence[str] | None, usual: list[str]) -> None:
    if given is not None and list(given) not in (usual, usual * 2):
        raise NotImplementedError(f"has the activations {list(given)}, which are not known")


# ---- helpers ----


def _of_rank(name: str, axes: int) -> Callable[..., Any]:
    """The function for so many axes of space."""
    if not 1 <= axes <= 3:
        raise NotImplementedError(f"has {axes} axes of space, which are not known")
    return getattr(F, name.format(axes))


def _pads(
    auto_pad: str, pads: Ints | None, sizes: Sequence[int], spans: Sequence[int], strides: Ints
) -> list[int]:
    """The cells in front of all axes, then those behind them."""
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(sizes, strides, spans)]
        less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
        return [*less, *more] if auto_pad == "SAME_UPPER" else [*more, *less]
    return list(pads or [0] * (2 * len(strides)))


def _symmetric(pads: list[int], kernel: Ints) -> tuple[int, ...] | None:
    """The cells on each side, if they are the same on both and xpnn's pooling takes them."""
    half = len(pads) // 2
    fits = pads[:half] == pads[half:] and all(2 * p <= k for p, k in zip(pads, kernel))
    return tuple(pads[:half]) if fits else None


def _padded(x: Any, pads: list[int], value: float) -> Any:
    """The array with cells around its axes of space, or without some."""
    if not any(pads):
        return x
    half = len(pads) // 2
    return F.pad(x, [w for i in reversed(range(half)) for w in (pads[i], pads[half + i])], value=value)


def _padded_axis(x: Any, axis: int, before: int, after: int) -> Any:
    return F.pad(x, [0, 0] * (x.ndim - 1 - axis) + [before, after])


def _along(x: Any, axis: int, index: Any) -> tuple[Any, ...]:
    axis %= x.ndim
    return (*[slice(None)] * axis, index, *[slice(None)] * (x.ndim - axis - 1))


def _wrapped(xp: Any, indices: Any, size: int) -> Any:
    """Indices from the end as ones from the beginning."""
    indices = xp.astype(indices, xp.int64)
    return xp.where(indices < 0, indices + size, indices)


def _best(choose: Callable[..., Any], x: Any, axis: int, keepdims: int, last: int) -> Any:
    if not last:
        return choose(x, axis=axis, keepdims=bool(keepdims))
    xp = namespace(x)
    backwards = xp.flip(x, axis=axis)
    where = (xp.argmax if choose.__name__ == "argmax" else xp.argmin)(
        backwards, axis=axis, keepdims=bool(keepdims)
    )
    return x.shape[axis] - 1 - where


def _sum(x: Any, axes: Any, keep: bool) -> Any:
    return _same_type(namespace(x).sum(x, axis=axes, keepdims=keep), x)


def _same_type(y: Any, x: Any) -> Any:
    return y if y.dtype == x.dtype else namespace(y).astype(y, x.dtype)


def _is_whole(x: Any) -> bool:
    return "int" in dtype_name(x.dtype)


def _beside(array: np.ndarray, x: Any) -> Any:
    return namespace(x).asarray(array, device=device_of(x))
