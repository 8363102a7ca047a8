"""Functions that PyTorch has at its top level beside those of `autograd.functions`: networks', and in place.

The former are `nn.functional`'s. Where PyTorch's top level has other arguments than its `nn.functional`
(weights before statistics, reductions as numbers, of which none is the default), so has it here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.elementwise import sub
from xpnn.backend import (
    ArgumentError,
    DType,
    DTypeError,
    asarray,
    is_array,
    set_default_dtype,
)
from xpnn.functional import (
    adaptive_avg_pool1d,
    avg_pool1d,
    bilinear,
    celu_,
    channel_shuffle,
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_similarity,
    gru,
    gru_cell,
    hardshrink,
    lstm,
    lstm_cell,
    max_pool1d_with_indices,
    pairwise_distance,
    pdist,
    pixel_shuffle,
    pixel_unshuffle,
    prelu,
    relu_,
    rms_norm,
    rnn_relu,
    rnn_relu_cell,
    rnn_tanh,
    rnn_tanh_cell,
    rrelu_,
    selu_,
    threshold_,
)

__all__ = [
    "abs_",
    "acos_",
    "acosh_",
    "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
    "affine_grid_generator",
    "alpha_dropout",
    "arccos_",
    "arccosh_",
    "arcsin_",
    "arcsinh_",
    "arctan_",
    "arctanh_",
    "asin_",
    "asinh_",
    "atan_",
    "atanh_",
    "avg_pool1d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy_with_logits",
    "ceil_",
    "celu",
    "celu_",
    "channel_shuffle",
    "clamp_",
    "clamp_max_",
    "clamp_min_",
    "clip_",
    "clone",
    "constant_pad_nd",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cos_",
    "cosh_",
    "cosine_embedding_loss",
    "cosine_similarity",
    "ctc_loss",
    "deg2rad_",
    "detach",
    "detach_",
    "dropout",
    "dtype",
    "e",
    "embedding",
    "erf_",
    "erfc_",
    "exp2_",
    "exp_",
    "expm1_",
    "feature_alpha_dropout",
    "fill",
    "fill_",
    "fix_",
    "floor_",
    "frac_",
    "from_dlpack",
    "gcd_",
    "group_norm",
    "gru",
    "gru_cell",
    "hardshrink",
    "hinge_embedding_loss",
    "i0_",
    "index_put_",
    "inf",
    "instance_norm",
    "is_same_size",
    "is_signed",
    "kl_div",
    "layer_norm",
    "lcm_",
    "ldexp_",
    "log1p_",
    "log2_",
    "log10_",
    "log_",
    "logit_",
    "lstm",
    "lstm_cell",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool3d",
    "nan",
    "nan_to_num_",
    "neg_",
    "negative_",
    "newaxis",
    "numel",
    "pairwise_distance",
    "pdist",
    "pi",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "rad2deg_",
    "reciprocal_",
    "relu_",
    "resize_as_",
    "rms_norm",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
    "round_",
    "rrelu",
    "rrelu_",
    "rsqrt_",
    "rsub",
    "scalar_tensor",
    "selu",
    "selu_",
    "set_default_tensor_type",
    "sigmoid_",
    "sin_",
    "sinc_",
    "sinh_",
    "sqrt_",
    "square_",
    "tan_",
    "tanh_",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "trunc_",
    "typename",
    "xlogy_",
    "zero_",
]

inf, nan, pi, e, newaxis = math.inf, math.nan, math.pi, math.e, None
dtype = DType

_REDUCTIONS = ("none", "mean", "sum")  # PyTorch's numbers 0, 1 and 2
_SYNONYMS = {"indices": "input", "train": "training", "self": "input"}
_UNUSED = frozenset(("cudnn_enable", "cudnn_enabled"))  # settings of a library of PyTorch's


def _ordered(function: Callable[..., Any], order: str, **defaults: Any) -> Callable[..., Any]:
    """A function of `nn.functional` with its arguments in another order, and reductions as numbers too."""
    names = order.split()
    name = function.__name__

    def call(*args: Any, **options: Any) -> Any:
        if len(args) > len(names):
            raise ArgumentError(f"takes {len(names)} arguments, got {len(args)}", subject=name)
        given = dict(zip(names, args))
        for key, value in options.items():
            word = _SYNONYMS.get(key, key)
            if word in given:
                raise ArgumentError(f"got several values for {key}", subject=name)
            given[word] = value
        if type(given.get("reduction")) is int and 0 <= given["reduction"] < len(_REDUCTIONS):
            given["reduction"] = _REDUCTIONS[given["reduction"]]
        kept = {key: value for key, value in given.items() if key not in _UNUSED}
        return function(**{**defaults, **kept})

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`nn.functional.{name}` with PyTorch's arguments at the top level: {', '.join(names)}."
    return call


batch_norm = _ordered(
    F.batch_norm, "input weight bias running_mean running_var training momentum eps cudnn_enabled"
)
instance_norm = _ordered(
    F.instance_norm, "input weight bias running_mean running_var use_input_stats momentum eps cudnn_enabled"
)
layer_norm = _ordered(F.layer_norm, "input normalized_shape weight bias eps cudnn_enable")
group_norm = _ordered(F.group_norm, "input num_groups weight bias eps cudnn_enabled")
dropout = _ordered(F.dropout, "input p training")
alpha_dropout = _ordered(F.alpha_dropout, "input p training")
feature_alpha_dropout = _ordered(F.feature_alpha_dropout, "input p training")
selu = _ordered(F.selu, "input")
celu = _ordered(F.celu, "input alpha")
rrelu = _ordered(F.rrelu, "input lower upper training")
threshold = _ordered(F.threshold, "input threshold value")
max_pool1d = _ordered(F.max_pool1d, "input kernel_size stride padding dilation ceil_mode")
max_pool2d = _ordered(F.max_pool2d, "input kernel_size stride padding dilation ceil_mode")
max_pool3d = _ordered(F.max_pool3d, "input kernel_size stride padding dilation ceil_mode")
adaptive_max_pool1d = _ordered(F.adaptive_max_pool1d_with_indices, "input output_size")
binary_cross_entropy_with_logits = _ordered(
    F.binary_cross_entropy_with_logits, "input target weight pos_weight reduction", reduction="none"
)
cosine_embedding_loss = _ordered(
    F.cosine_embedding_loss, "input1 input2 target margin reduction", reduction="none"
)
ctc_loss = _ordered(
    F.ctc_loss,
    "log_probs targets input_lengths target_lengths blank reduction zero_infinity",
    reduction="none",
)
hinge_embedding_loss = _ordered(F.hinge_embedding_loss, "input target margin reduction", reduction="none")
kl_div = _ordered(F.kl_div, "input target reduction", reduction="none")
margin_ranking_loss = _ordered(
    F.margin_ranking_loss, "input1 input2 target margin reduction", reduction="none"
)
poisson_nll_loss = _ordered(F.poisson_nll_loss, "input target log_input full eps reduction")
triplet_margin_loss = _ordered(
    F.triplet_margin_loss, "anchor positive negative margin p eps swap reduction", reduction="none"
)
affine_grid_generator = _ordered(F.affine_grid, "theta size align_corners")


def embedding(
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` at `indices`: `nn.functional.embedding` with its first arguments swapped.

    >>> embedding(asarray([[1.0], [2.0]]), asarray([1, 1])).tolist()
    [[2.0], [2.0]]
    """
    kept = None if padding_idx == -1 else padding_idx
    return F.embedding(indices, weight, kept, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def constant_pad_nd(input: Any, pad: Any, value: float = 0) -> Any:
    """The input with cells of `value` around it (see `nn.functional.pad`)."""
    return F.pad(input, pad, "constant", value)


# -- Tensors


def _expect_tensor(value: Any, subject: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise DTypeError(
            f"expects a Tensor, got {type(value).__name__}", subject=subject, hint="Use xpnn.tensor(...)"
        )
    return value


def numel(input: Any) -> int:
    """The number of elements.

    >>> numel(asarray([[1.0, 2.0]]))
    2
    """
    if not is_array(input):
        _expect_tensor(input, "numel")
    return math.prod(input.shape)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, on the tape."""
    return _expect_tensor(input, "clone").clone(memory_format=memory_format)


def detach(input: Tensor) -> Tensor:
    """The same elements, off the tape (see `Tensor.detach`)."""
    return _expect_tensor(input, "detach").detach()


def detach_(input: Tensor) -> Tensor:
    """Take a Tensor itself off the tape."""
    return _expect_tensor(input, "detach_").detach_()


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor of the current backend of another library's array, without a copy where that can be.

    >>> import numpy as np
    >>> from_dlpack(np.ones(2))
    tensor([1., 1.], dtype=xpnn.float64)
    """
    if isinstance(ext_tensor, Tensor):
        ext_tensor = ext_tensor.off_tape("from_dlpack")
    if not is_array(ext_tensor) and not hasattr(ext_tensor, "__dlpack__"):
        raise DTypeError(f"expects an array, got {type(ext_tensor).__name__}", subject="from_dlpack")
    return new_tensor(asarray(ext_tensor))


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor without axes; of the default floating-point type unless asked otherwise.

    >>> scalar_tensor(2)
    tensor(2.)
    """
    value = float(s) if dtype is None and not isinstance(s, complex) else s
    return Tensor(asarray(value, dtype, device, copy=True), requires_grad=requires_grad)


def fill(input: Tensor, value: Any) -> Tensor:
    """As many elements of `value`, a number or a Tensor without axes.

    >>> fill(Tensor([1.0, 2.0]), 3).tolist()
    [3.0, 3.0]
    """
    return clone(_expect_tensor(input, "fill")).fill_(value)


def is_signed(input: Any) -> bool:
    """Whether the elements may be negative."""
    return DType(input.dtype).is_signed


def typename(obj: Any) -> str:
    """The name of a type of Tensors, such as "xpnn.FloatTensor", or of the type of anything else.

    >>> typename(scalar_tensor(2)), typename([])
    ('xpnn.FloatTensor', 'list')
    """
    if isinstance(obj, Tensor):
        return str(obj.type())
    kind = obj if isinstance(obj, type) else type(obj)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def set_default_tensor_type(t: Any) -> None:
    """The older way to write `set_default_dtype`: takes a type of Tensors, such as `xpnn.DoubleTensor`.

    >>> set_default_tensor_type("xpnn.FloatTensor")
    """
    kinds = {"xpnn.FloatTensor": "float32", "xpnn.DoubleTensor": "float64", "xpnn.HalfTensor": "float16"}
    kind = kinds.get(t) if type(t) is str else t
    if kind is None:
        raise DTypeError(
            f"expects the type of floating-point Tensors of the host, got {t!r:.60}",
            subject="set_default_tensor_type",
            hint="See set_default_dtype and set_default_device",
        )
    set_default_dtype(kind)


def is_same_size(input: Any, other: Any) -> bool:
    """Whether two Tensors have the same shape."""
    return tuple(input.shape) == tuple(other.shape)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha * input: `sub` with its operands swapped."""
    return sub(other, input, alpha=alpha)


# -- in place


def _method(name: str) -> Callable[..., Tensor]:
    """The method that writes into its Tensor, as a function."""
    method = getattr(Tensor, name)

    def write(input: Tensor, *args: Any, **options: Any) -> Tensor:
        return method(_expect_tensor(input, name), *args, **options)

    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"`Tensor.{name}` as a function: writes into `input`, and returns it."
    return write


abs_ = _method("abs_")
acos_ = _method("acos_")
acosh_ = _method("acosh_")
arccos_ = _method("arccos_")
arccosh_ = _method("arccosh_")
arcsin_ = _method("arcsin_")
arcsinh_ = _method("arcsinh_")
arctan_ = _method("arctan_")
arctanh_ = _method("arctanh_")
asin_ = _method("asin_")
asinh_ = _method("asinh_")
atan_ = _method("atan_")
atanh_ = _method("atanh_")
ceil_ = _method("ceil_")
clamp_ = _method("clamp_")
clamp_max_ = _method("clamp_max_")
clamp_min_ = _method("clamp_min_")
clip_ = _method("clip_")
cos_ = _method("cos_")
cosh_ = _method("cosh_")
deg2rad_ = _method("deg2rad_")
erf_ = _method("erf_")
erfc_ = _method("erfc_")
exp_ = _method("exp_")
exp2_ = _method("exp2_")
expm1_ = _method("expm1_")
fill_ = _method("fill_")
fix_ = _method("fix_")
floor_ = _method("floor_")
frac_ = _method("frac_")
gcd_ = _method("gcd_")
i0_ = _method("i0_")
lcm_ = _method("lcm_")
ldexp_ = _method("ldexp_")
log_ = _method("log_")
log10_ = _method("log10_")
log1p_ = _method("log1p_")
log2_ = _method("log2_")
logit_ = _method("logit_")
nan_to_num_ = _method("nan_to_num_")
neg_ = _method("neg_")
negative_ = _method("negative_")
rad2deg_ = _method("rad2deg_")
reciprocal_ = _method("reciprocal_")
round_ = _method("round_")
rsqrt_ = _method("rsqrt_")
sigmoid_ = _method("sigmoid_")
sin_ = _method("sin_")
sinc_ = _method("sinc_")
sinh_ = _method("sinh_")
sqrt_ = _method("sqrt_")
square_ = _method("square_")
tan_ = _method("tan_")
tanh_ = _method("tanh_")
trunc_ = _method("trunc_")
xlogy_ = _method("xlogy_")
zero_ = _method("zero_")
resize_as_ = _method("resize_as_")
index_put_ = _method("index_put_")
