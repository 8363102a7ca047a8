"""Initial weights: the schemes of the literature, and PyTorch's default for each layer.

Every function overwrites the array of a Tensor and returns the Tensor. The numbers are drawn on the host,
in float32, from `random.host_generator()`, in the order of the calls, and then moved to where the Tensor
is: after one `manual_seed` the weights are the same bits on every backend.

fan_in is the number of inputs that one output is computed from, fan_out the number of outputs that one input
goes into: of a weight (out, in, *kernel), `in * size of the kernel` and `out * size of the kernel`.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    ShapeError,
    backend_of,
    device_of,
    move,
    namespace,
    refusing,
    size_of,
)
from xpnn.backend.idioms import set_at
from xpnn.backend.random import host_generator, host_generator_of
from xpnn.functional.arguments import check_probability


@refusing
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of a layer's output when `nonlinearity` follows it.

    Args:
        nonlinearity: "linear", "conv1d" to "conv3d", "conv_transpose1d" to "conv_transpose3d", "sigmoid"
            (all 1), "tanh" (5/3), "relu" (sqrt(2)), "leaky_relu" (sqrt(2 / (1 + slope^2))), "selu" (3/4).
        param: the negative slope of "leaky_relu", 0.01 if None.

    Raises: ArgumentError for a name that is not in the list.

    >>> calculate_gain("relu") == math.sqrt(2)
    True
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"expects one of {', '.join(map(repr, [*_GAINS, 'leaky_relu']))}, got {nonlinearity!r}",
            subject="calculate_gain",
        )
    return _GAINS[nonlinearity]


@refusing
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn evenly from [a, b), by `generator` where one is given, as in all others."""
    return _draw(tensor, lambda shape: _source(generator).uniform(a, b, shape))


@refusing
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn from the normal distribution N(mean, std^2)."""
    return _draw(tensor, lambda shape: _source(generator).normal(mean, std, shape))


@refusing
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill with numbers drawn from N(mean, std^2), where those outside of [a, b] are drawn again.

    Raises: ArgumentError if [a, b] holds less than a thousandth of the distribution.
    """
    held = 0.5 * (math.erf((b - mean) / (std * math.sqrt(2))) - math.erf((a - mean) / (std * math.sqrt(2))))
    if held < 1e-3:
        raise ArgumentError(
            f"expects an interval [a, b] near the mean, [{a}, {b}] holds next to nothing of "
            f"N({mean}, {std}^2)",
            subject="trunc_normal_",
        )

    def draw(shape: tuple[int, ...]) -> Array:
        source = _source(generator)
        values = source.normal(mean, std, shape)
        while (outside := (values < a) | (values > b)).any():
            values[outside] = source.normal(mean, std, int(outside.sum()))
        return values

    return _draw(tensor, draw)


@refusing
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number.

    >>> constant_(Tensor([1.0, 2.0]), 3.0)
    tensor([3., 3.])
    """
    array = tensor.array
    tensor.store(namespace(array).full(array.shape, val, dtype=array.dtype, device=device_of(array)))
    return tensor


@refusing
def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


@refusing
def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


@refusing
def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity, or as much of it as fits. Raises: ShapeError if it is no matrix."""
    array = tensor.array
    if array.ndim != 2:
        raise ShapeError(f"expects a matrix, got shape {tensor.shape}", subject="eye_")
    tensor.store(namespace(array).eye(*tensor.shape, dtype=array.dtype, device=device_of(array)))
    return tensor


@refusing
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a kernel of a convolution keep its input: channel i of each group becomes output i of the group.

    Args:
        tensor: (out, in / groups, *kernel) of one to three spatial axes; its middle cells become ones, all
            others zeros.
        groups: of the convolution.

    Raises: ShapeError if it is no such kernel; ArgumentError if the groups do not divide its outputs.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(f"expects a kernel of 3, 4 or 5 axes, got shape {tensor.shape}", subject="dirac_")
    outputs, inputs, *kernel = tensor.shape
    if groups < 1 or outputs % groups:
        raise ArgumentError(
            f"expects groups that divide the {outputs} outputs, got groups={groups}", subject="dirac_"
        )
    array = tensor.array
    xp, place = namespace(array), {"dtype": array.dtype, "device": device_of(array)}
    kept = xp.concat([xp.eye(outputs // groups, inputs, **place)] * groups, axis=0)
    middle = (slice(None), slice(None), *(size // 2 for size in kernel))
    tensor.store(set_at(xp.zeros(tensor.shape, **place), middle, kept))
    return tensor


@refusing
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix from N(0, std^2), then make that part of each column zeros, rounded up.

    Raises: ShapeError if it is no matrix; ArgumentError unless `sparsity` is between 0 and 1.

    See: Martens (2010), "Deep learning via Hessian-free optimization".
    """
    if tensor.ndim != 2:
        raise ShapeError(f"expects a matrix, got shape {tensor.shape}", subject="sparse_")
    check_probability(sparsity, "sparse_", "sparsity")
    zeros = math.ceil(sparsity * tensor.shape[0])

    def draw(shape: tuple[int, ...]) -> Array:
        source = _source(generator)
        values = source.normal(0.0, std, shape)
        for column in range(shape[1]):
            values[source.permutation(shape[0])[:zeros], column] = 0.0
        return values

    return _draw(tensor, draw)


@refusing
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)).

    See: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks".
    """
    bound = gain * math.sqrt(6.0 / max(sum(_fans(tensor, "xavier_uniform_")), 1))
    return uniform_(tensor, -bound, bound, generator)


@refusing
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(0, std^2) with std = gain sqrt(2 / (fan_in + fan_out)); see `xavier_uniform_`."""
    std = gain * math.sqrt(2.0 / max(sum(_fans(tensor, "xavier_normal_")), 1))
    return normal_(tensor, 0.0, std, generator)


@refusing
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill from U(-bound, bound) with bound = gain sqrt(3 / fan).

    Args:
        a: the negative slope of the leaky ReLU behind the layer.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: what follows the layer, see `calculate_gain`.

    See: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers".
    """
    fan = _fan(tensor, mode, "kaiming_uniform_")
    if _is_empty(tensor):
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)


@refusing
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill from N(0, std^2) with std = gain / sqrt(fan); see `kaiming_uniform_`."""
    fan = _fan(tensor, mode, "kaiming_normal_")
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


@refusing
def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill so that the rows (or the columns, if they are fewer) are orthogonal and of length `gain`.

    A tensor of more than two axes counts as a matrix of its first axis by the others. Raises: ShapeError for
    fewer than two axes.

    See: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks".

    >>> w = orthogonal_(Tensor([[0.0, 0.0], [0.0, 0.0]]))
    >>> bool(abs(w @ w.T - eye_(w.clone())).max() < 1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"expects two axes or more, got shape {tensor.shape}", subject="orthogonal_")

    def draw(shape: tuple[int, ...]) -> Array:
        rows, columns = shape[0], size_of(shape[1:])
        values = _source(generator).normal(0.0, 1.0, (max(rows, columns), min(rows, columns)))
        xp = namespace(values)
        q, r = xp.linalg.qr(values)
        q = q * xp.sign(xp.linalg.diagonal(r))  # makes the distribution uniform over all such matrices
        return gain * xp.reshape(q.T if rows < columns else q, shape)

    return _draw(tensor, draw)


@refusing
def fan_in_bias_(bias: Tensor | None, weight: Tensor) -> None:
    """PyTorch's default for the bias of a layer with that weight: U(-bound, bound), bound = fan_in^-1/2."""
    if bias is not None:
        fan_in, _ = _fans(weight, "fan_in_bias_")
        bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)


_Init = TypeVar("_Init", bound=Callable[..., Tensor])


def _old_name(init: _Init) -> _Init:
    """The name that PyTorch has left: without the underscore, with its FutureWarning."""
    new, old = init.__name__, init.__name__.removesuffix("_")

    @functools.wraps(init)
    def renamed(*args: Any, **options: Any) -> Tensor:
        warnings.warn(f"nn.init.{old} is deprecated in favour of nn.init.{new}", FutureWarning, stacklevel=2)
        return init(*args, **options)

    renamed.__name__ = renamed.__qualname__ = old
    renamed.__doc__ = f"The old name of `{new}`."
    return renamed  # type: ignore[return-value]


uniform = _old_name(uniform_)
normal = _old_name(normal_)
constant = _old_name(constant_)
eye = _old_name(eye_)
dirac = _old_name(dirac_)
xavier_uniform = _old_name(xavier_uniform_)
xavier_normal = _old_name(xavier_normal_)
kaiming_uniform = _old_name(kaiming_uniform_)
kaiming_normal = _old_name(kaiming_normal_)
orthogonal = _old_name(orthogonal_)
sparse = _old_name(sparse_)

_GAINS = {
    "linear": 1.0,
    **{f"conv{n}d": 1.0 for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)},
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def _draw(tensor: Tensor, draw: Callable[[tuple[int, ...]], Any]) -> Tensor:
    """Put `draw(shape)`, rounded to float32 on the host, into the Tensor."""
    array = tensor.array
    values = draw(tensor.shape).astype("float32")
    tensor.store(move(values, backend_of(array), device_of(array), array.dtype))
    return tensor


def _source(generator: Any) -> Any:
    """The generator on the host that values are drawn from."""
    return host_generator() if generator is None else host_generator_of(generator)


def _is_empty(tensor: Tensor) -> bool:
    """Whether there is nothing to draw, of which PyTorch warns."""
    if size_of(tensor.shape):
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", UserWarning, stacklevel=3)
    return True


def _fans(tensor: Tensor, subject: str) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"expects a weight of two axes or more, got shape {tensor.shape}",
            subject=subject,
            hint="Use uniform_, normal_ or constant_ for vectors",
        )
    outputs, inputs, *kernel = tensor.shape
    return inputs * math.prod(kernel), outputs * math.prod(kernel)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """PyTorch's name of `_fans`, which programs that draw weights of their own call."""
    return _fans(tensor, "_calculate_fan_in_and_fan_out")


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """PyTorch's name of `_fan`."""
    return _fan(tensor, mode.lower(), "_calculate_correct_fan")


def _fan(tensor: Tensor, mode: str, subject: str) -> int:
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor, subject)))
    if mode not in fans:
        raise ArgumentError(f"expects mode 'fan_in' or 'fan_out', got {mode!r}", subject=subject)
    return fans[mode]
