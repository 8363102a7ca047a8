"""Automatic casts: which operations `xpnn.autocast` runs in half precision, and which in float32.

The lists are PyTorch's, one for each kind of device. Products and convolutions get their arguments in the
low type. Losses, and on GPUs norms, softmax and what is steep, get theirs in float32. Everything else takes
what it is given; half precision beside float32 becomes float32, as everywhere. float64 is left alone.

What runs inside of an operation, and the whole backward sweep, is not cast again: gradients have the types
that their forward had.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from xpnn.autograd.core import TensorBase
from xpnn.autograd.mode import switches
from xpnn.backend import backend_of, concrete, dtype_name, get_default_device, is_array, namespace
from xpnn.backend.devices import device_named

_Function = TypeVar("_Function", bound=Callable[..., Any])

# One entry for each `autocast` block that some thread is in: empty, nothing else is asked.
entered: list[None] = []

# Names of primitives and of functions that are made of several.
_LOW = {
    "_added",
    "_conv_tbc",
    "_linear_of_other_shapes",
    "attention",
    "attention_weights",
    "conv",
    "conv_input_gradient",  # the transposed convolution
    "gru",
    "linear",
    "lstm",
    "matmul",
    "prelu",
    "rnn",
    "self_attention",
    "vecdot",
}
_LOSSES = {
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "cross_entropy_of_probabilities",
    "cross_entropy_per_cell",
    "ctc_loss",
    "dice_loss",
    "entropy",
    "gaussian_nll_loss",
    "half_squared_error",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "js_div",
    "kl_div",
    "l1_loss",
    "linear_cross_entropy",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
}
_FLOAT32 = {
    "cpu": _LOSSES
    | {
        *("adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d", "fractional_max_pool2d"),
        *("fractional_max_pool3d", "local_response_norm", "lp_pool3d", "max_pool3d"),
        *("cdist", "grid_sample", "nanquantile", "prod", "quantile"),
        *("inv", "solve", "svd", "svdvals", "trace"),
    },
    "cuda": _LOSSES
    | {
        *("acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2", "pow"),
        *("reciprocal", "rsqrt", "sinh", "softplus", "square", "tan"),
        *("cumulative_prod", "cumulative_sum", "logsumexp", "prod", "sum"),
        *("log_softmax", "softmax", "softmin"),
        *("group_norm", "layer_norm", "matrix_norm", "normalize", "renorm", "rms_norm", "vector_norm"),
        *("cdist", "cosine_similarity", "dist", "pairwise_distance", "pdist"),
        "interpolate",
    },
}


# Their states have the type of the input, and so the result; the products inside of them are those of it.
_LIKE_INPUT = {"cpu": {"gru", "lstm_cell"}}
# What PyTorch's lists leave out, though it is made of products.
_AS_GIVEN = {"cpu": {"addmv", "addr", "bilinear", "dot", "matrix_exp", "mv", "vdot"}}
_AT_ALL = _LOW.union(*_FLOAT32.values(), *_LIKE_INPUT.values(), *_AS_GIVEN.values())


def listed(function: _Function) -> _Function:
    """Decorate a function that the lists name as a whole."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if entered and switches.casts:
            dtype = way_of(function.__name__, args, options)
            if dtype is not None:
                return in_type(function, dtype, args, options)
        return function(*args, **options)

    return call  # type: ignore[return-value]


def way_of(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """The name of the element type that an operation's arguments are cast to.

    "" leaves them alone, and what is called inside; None leaves that to what is called inside.
    """
    if name not in _AT_ALL:
        return None
    for x in (*args, *options.values()):
        if is_array(x):
            break
    else:
        return None
    kind = _kind_of_device(x)
    dtype = switches.casts.get(kind)
    if dtype is None:
        return None
    if name in _AS_GIVEN.get(kind, ()):
        return ""
    low = name in _LOW
    if name in _LIKE_INPUT.get(kind, ()):
        low = dtype_name(x.dtype) != "float32"
    elif not low and name not in _FLOAT32.get(kind, _LOSSES):
        return None
    if not low:
        return "float32"
    if not hasattr(namespace(x), dtype):
        warnings.warn(
            f"autocast: {backend_of(x).name} has no {dtype}, so that its arrays are left as they are; "
            "give a dtype that it has, such as autocast('cpu', dtype='float16') for NumPy",
            stacklevel=4,
        )
        return None
    return dtype


def in_type(function: Callable, dtype: str | None, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a function with arguments cast to `dtype`, if that is one, and without casts inside of it."""
    before, switches.casts = switches.casts, {}
    try:
        if dtype:
            args = tuple([cast(x, dtype) for x in args])
            options = {name: cast(x, dtype) for name, x in options.items()}
        return function(*args, **options)
    finally:
        switches.casts = before


def cast(value: Any, dtype: str) -> Any:
    """float32 and half precision as `dtype`, also in tuples and lists; anything else as it is."""
    if type(value) in (tuple, list):
        return type(value)([cast(x, dtype) for x in value])
    if not is_array(value) or dtype_name(value.dtype) not in ("float32", "float16", "bfloat16"):
        return value
    if dtype_name(value.dtype) == dtype:
        return value
    xp = namespace(value)
    return xp.astype(value, getattr(xp, dtype))


@contextmanager
def casting(casts: dict[str, str | None]) -> Iterator[None]:
    """Cast as `casts` says, a low type by kind of device, in this thread; an empty one casts nothing."""
    before, switches.casts = switches.casts, casts
    entered.append(None)
    try:
        yield
    finally:
        entered.pop()
        switches.casts = before


def is_mixed(x: Any, other: Any) -> bool:
    """Whether casts are made here, and two arrays are of element types that they bring together."""
    names = {"float32", *filter(None, switches.casts.values())}
    return bool(switches.casts) and dtype_name(x.dtype) in names and dtype_name(other.dtype) in names


def _kind_of_device(x: Any) -> str:
    raw = x.array if isinstance(x, TensorBase) else x
    if not concrete(raw):  # a placeholder under jit is on no device yet
        return get_default_device().type
    backend = backend_of(raw)
    native = backend.device_of(raw)
    return "cpu" if native is None else device_named(native, backend).type
