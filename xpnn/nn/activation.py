"""Activations: elementwise nonlinearities and softmax; the gradients stand in `functional.activation`.

`inplace` is taken where PyTorch takes it, and changes nothing: values are never overwritten here.
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ReLU(Module):
    """max(0, x), elementwise.

    >>> from xpnn.autograd import tensor
    >>> ReLU()(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.relu(input)

    def extra_repr(self) -> str:
        """The arguments."""
        return "inplace=True" if self.inplace else ""


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
        return F.leaky_relu(input, self.negative_slope)

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
        return F.elu(input, self.alpha)

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
        return F.celu(input, self.alpha)


class SELU(ReLU):
    """The ELU scaled so that mean 0 and variance 1 are kept from layer to layer.

    >>> from xpnn.autograd import tensor
    >>> SELU()(tensor([1.0])).tolist()[0] > 1.05
    True
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.selu(input)


class SiLU(ReLU):
    """x sigmoid(x), elementwise; also called Swish.

    >>> from xpnn.autograd import tensor
    >>> SiLU()(tensor([0.0, 1e4])).tolist()
    [0.0, 10000.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.silu(input)


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
        return F.hardtanh(input, self.min_val, self.max_val)

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


class Hardsigmoid(ReLU):
    """x / 6 + 1/2 cut off at 0 and 1, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardsigmoid()(tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardsigmoid(input)


class Hardswish(ReLU):
    """x times its hard sigmoid, elementwise.

    >>> from xpnn.autograd import tensor
    >>> Hardswish()(tensor([0.0, 3.0])).tolist()
    [0.0, 3.0]
    """

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.hardswish(input)


class Softmax(Module):
    """e^x_i / sum_j e^x_j along the axis `dim`, without overflow.

    >>> from xpnn.autograd import tensor
    >>> Softmax(dim=1)(tensor([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.softmax(input, self.dim)

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
        return F.log_softmax(input, self.dim)
