"""Activations: elementwise nonlinearities and softmax; the gradients stand in `functional.activation`.

With `inplace=True` the result replaces the values of the Tensor that the module is called with.
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import check_rank
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "GradientReversal",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Maxout",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Step",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

_STACKLEVEL = 5  # a warning names the line that calls the module


class _Elementwise(Module):
    """What the modules share whose one argument is `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments."""
        return "inplace=True" if self.inplace else ""


class ReLU(_Elementwise):
    """max(0, x), elementwise.

    >>> from xpnn.autograd import tensor
    >>> ReLU()(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.relu(input, self.inplace)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope x, elementwise.

    >>> from xpnn.autograd import tensor
    >>> LeakyReLU(0.5)(tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class PReLU(Module):
    """x where x > 0, else a x, with a trained a.

    Args:
        num_parameters: 1, or the number of channels (axis 1), each with a slope of its own.
        init: the slope at the start.
        device, dtype: as in `Linear`.

    >>> from xpnn.autograd import tensor
    >>> PReLU()(tensor([[-1.0, 2.0]])).tolist()
    [[-0.25, 2.0]]
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, device, dtype))

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x where x > 0, else alpha (e^x - 1), elementwise.

    >>> from xpnn.autograd import tensor
    >>> ELU()(tensor([-1e4, 2.0]))
    tensor([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}{', inplace=True' if self.inplace else ''}"


class CELU(ELU):
    """x where x > 0, else alpha (e^(x / alpha) - 1), elementwise.

    >>> from xpnn.autograd import tensor
    >>> CELU(2.0)(tensor([-1e4, 2.0]))
    tensor([-2.,  2.])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.celu(input, self.alpha, self.inplace)


class SELU(_Elementwise):
    """The ELU scaled so that mean 0 and variance 1 are kept from layer to layer.

    >>> from xpnn.autograd import tensor
    >>> SELU()(tensor([1.0])).tolist()[0] > 1.05
    True
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.selu(input, self.inplace)


class SiLU(_Elementwise):
    """x sigmoid(x), elementwise; also called Swish.

    >>> from xpnn.autograd import tensor
    >>> SiLU()(tensor([0.0, 1e4])).tolist()
    [0.0, 10000.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.silu(input, self.inplace)


class GELU(Module):
    """x Phi(x) with the normal distribution function Phi, elementwise.

    Args:
        approximate: "none", or "tanh" for the formula with tanh in place of Phi.

    >>> from xpnn.autograd import tensor
    >>> GELU()(tensor([0.0, 1e4])).tolist()
    [0.0, 10000.0]
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, elementwise; x itself where beta x > threshold.

    >>> from xpnn.autograd import tensor
    >>> Softplus()(tensor([100.0])).tolist()
    [100.0]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Module):
    """1 / (1 + e^-x), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Sigmoid()(tensor([0.0])).tolist()
    [0.5]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.sigmoid(input)


class LogSigmoid(Module):
    """log(1 / (1 + e^-x)), elementwise, without overflow.

    >>> from xpnn.autograd import tensor
    >>> LogSigmoid()(tensor([-1e4])).tolist()
    [-10000.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.logsigmoid(input)


class Tanh(Module):
    """tanh(x), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Tanh()(tensor([0.0, 1e4])).tolist()
    [0.0, 1.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.tanh(input)


class Hardtanh(Module):
    """x cut off at min_val and max_val, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardtanh()(tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        tail = ", inplace=True" if self.inplace else ""
        return f"min_val={self.min_val}, max_val={self.max_val}{tail}"


class ReLU6(Hardtanh):
    """x cut off at 0 and 6, elementwise.

    >>> from xpnn.autograd import tensor
    >>> ReLU6()(tensor([-2.0, 8.0]))
    tensor([0., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_Elementwise):
    """x / 6 + 1/2 cut off at 0 and 1, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardsigmoid()(tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(_Elementwise):
    """x times its hard sigmoid, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardswish()(tensor([0.0, 3.0])).tolist()
    [0.0, 3.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardswish(input, self.inplace)


class Softmax(Module):
    """e^x_i / sum_j e^x_j along the axis `dim`, without overflow.

    >>> from xpnn.autograd import tensor
    >>> Softmax(dim=1)(tensor([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softmax(input, self.dim, _STACKLEVEL)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """x_i - log(sum_j e^x_j) along the axis `dim`, without overflow.

    >>> from xpnn.autograd import tensor
    >>> LogSoftmax(dim=1)(tensor([[0.0, -1e4]])).tolist()
    [[0.0, -10000.0]]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.log_softmax(input, self.dim, _STACKLEVEL)


class Softmin(Softmax):
    """The softmax of -x along the axis `dim`.

    >>> from xpnn.autograd import tensor
    >>> Softmin(dim=1)(tensor([[0.0, 1e4]])).tolist()
    [[1.0, 0.0]]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softmin(input, self.dim, _STACKLEVEL)


class Softmax2d(Module):
    """The softmax over the channels at each place of images (N, C, H, W) or (C, H, W).

    >>> from xpnn.autograd import xp
    >>> Softmax2d()(xp.zeros((4, 1, 2)))[:, 0, 0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) or (C, H, W) to the same."""
        check_rank(input, (3, 4), type(self).__name__, "an optional batch, channels, then space")
        return F.softmax(input, -3)


class Mish(_Elementwise):
    """x tanh(ln(1 + e^x)), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Mish()(tensor([0.0, 1e4])).tolist()
    [0.0, 10000.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.mish(input, self.inplace)


class RReLU(Module):
    """x where x > 0, else a x, elementwise; in training every a is drawn anew from [lower, upper).

    In evaluation a is in the middle between them.

    >>> from xpnn.autograd import tensor
    >>> RReLU(0.25, 0.75).eval()(tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"lower={self.lower}, upper={self.upper}{', inplace=True' if self.inplace else ''}"


class Threshold(Module):
    """x where x > threshold, else value, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Threshold(0.5, 9.0)(tensor([0.25, 2.0]))
    tensor([9., 2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"threshold={self.threshold}, value={self.value}{', inplace=True' if self.inplace else ''}"


class Hardshrink(Module):
    """x where |x| > lambd, else 0, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardshrink()(tensor([0.25, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.lambd}"


class Softshrink(Hardshrink):
    """sign(x) max(|x| - lambd, 0), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Softshrink()(tensor([0.25, 2.0]))
    tensor([0.0000, 1.5000])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softshrink(input, self.lambd)


class Tanhshrink(Module):
    """x - tanh(x), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Tanhshrink()(tensor([0.0, 10.0])).tolist()
    [0.0, 9.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.tanhshrink(input)


class Softsign(Module):
    """x / (1 + |x|), elementwise.

    >>> from xpnn.autograd import tensor
    >>> Softsign()(tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softsign(input)


class Step(Module):
    """1 where x > 0, 0 where x < 0, and `at_zero` at 0; the gradient is 0. PyTorch has no such module.

    >>> from xpnn.autograd import tensor
    >>> Step()(tensor([-2.0, 3.0])).tolist()
    [0.0, 1.0]
    """

    def __init__(self, at_zero: float = 0.0) -> None:
        self.at_zero = at_zero

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.step(input, self.at_zero)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"at_zero={self.at_zero}"


class GradientReversal(Module):
    """The identity, whose gradient comes back as -alpha times what it was. PyTorch has no such module.

    Between features and a net that tells two sources apart it makes the features such that it cannot.

    Args:
        alpha: how much of the gradient goes back; an attribute that a schedule may change.

    See: Ganin et al. (2016), "Domain-adversarial training of neural networks".

    >>> from xpnn.autograd import tensor
    >>> GradientReversal()(tensor([-2.0, 3.0])).tolist()
    [-2.0, 3.0]
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.gradient_reversal(input, self.alpha)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}"


class GLU(Module):
    """a sigmoid(b), where a and b are the halves of the input along the axis `dim`.

    >>> from xpnn.autograd import tensor
    >>> GLU()(tensor([2.0, 4.0, 0.0, 1e4])).tolist()
    [1.0, 4.0]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """(..., 2 n, ...) to (..., n, ...)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"


class Maxout(Module):
    """The largest of each `pieces` neighbours along the axis `dim`. PyTorch has no such module.

    >>> from xpnn.autograd import tensor
    >>> Maxout(2)(tensor([[1.0, 5.0, 3.0, 2.0]])).tolist()
    [[5.0, 3.0]]
    """

    def __init__(self, pieces: int, dim: int = 1) -> None:
        self.pieces = pieces
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """(N, C pieces, ...) to (N, C, ...)."""
        return F.maxout(input, self.pieces, self.dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"pieces={self.pieces}, dim={self.dim}"
