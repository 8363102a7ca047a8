"""Recurrent cells: one step at a time."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import check_flags, check_rank, whole
from xpnn.functional.recurrent.layers import check_nonlinearity
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full
from xpnn.nn.recurrent.layers import draw

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What the single steps share.

    Args:
        input_size, hidden_size: features and units.
        bias: whether there are bias_ih and bias_hh.
        num_chunks: how many times the units the weights have in rows, a part for each gate.
        device, dtype: as in `Linear`.

    >>> RNNCellBase(3, 4, True, 2).weight_hh.shape
    (8, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        check_flags(name, bias=bias)
        for key, size in {"input_size": input_size, "hidden_size": hidden_size}.items():
            if whole(size, key, name) < 0:
                raise ArgumentError(f"expects {key} of at least 0, got {size}", subject=name)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(full((rows, input_size), 0.0, device, dtype))
        self.weight_hh = Parameter(full((rows, hidden_size), 0.0, device, dtype))
        self.bias_ih = Parameter(full((rows,), 0.0, device, dtype)) if bias else None
        self.bias_hh = Parameter(full((rows,), 0.0, device, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        draw(self, self.hidden_size)

    def _step(self, function: Any, input: Any, hx: tuple[Any, ...] | None, *more: Any) -> tuple[Any, ...]:
        """The new states; a single sample (features,) gives (hidden_size,)."""
        check_rank(input, (1, 2), function.__name__, "N, features, or features")
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        single = input.ndim == 1
        if single:
            input = input[None, :]
            hx = None if hx is None else tuple(h[None, :] for h in hx)
        state = hx if hx is None or len(hx) > 1 else hx[0]
        new = function(input, state, *weights, *more)
        new = new if isinstance(new, tuple) else (new,)
        return tuple(h[0, :] for h in new) if single else new

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


class RNNCell(RNNCellBase):
    """One step of an `RNN`; see `functional.rnn_tanh_cell`.

    Args:
        input_size, hidden_size: features and units.
        bias: whether there are bias_ih and bias_hh.
        nonlinearity: "tanh" or "relu".
        device, dtype: as in `Linear`.

    Shapes: input (N, input_size) and state (N, hidden_size), zeros if left out, to the new state; or all
    without N.

    >>> from xpnn.autograd import xp
    >>> RNNCell(3, 4)(xp.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity(nonlinearity, "RNNCell")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        """The new state, see the class."""
        function = F.rnn_tanh_cell if self.nonlinearity == "tanh" else F.rnn_relu_cell
        return self._step(function, input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        """The arguments."""
        tail = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + tail


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`; see `functional.lstm_cell`.

    Args:
        input_size, hidden_size, bias, device, dtype: as in `RNNCell`.
        peepholes: whether the gates see the cell, by weight_peephole (3 hidden_size,); PyTorch's do not.

    Shapes: as `RNNCell`, with a pair (h, c) of states.

    >>> from xpnn.autograd import xp
    >>> h, c = LSTMCell(3, 4)(xp.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        peepholes: bool = False,
    ) -> None:
        check_flags("LSTMCell", peepholes=peepholes)
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)
        self.weight_peephole = Parameter(full((3 * hidden_size,), 0.0, device, dtype)) if peepholes else None
        if peepholes:
            self.reset_parameters()

    def forward(self, input: Any, hx: Any = None) -> tuple[Tensor, Tensor]:
        """The new state and cell, see the class."""
        h, c = self._step(F.lstm_cell, input, hx, self.weight_peephole)
        return h, c


class GRUCell(RNNCellBase):
    """One step of a `GRU`; see `functional.gru_cell`.

    Args and shapes: as `RNNCell`, but for the nonlinearity.

    >>> from xpnn.autograd import xp
    >>> GRUCell(3, 4)(xp.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        """The new state, see the class."""
        return self._step(F.gru_cell, input, None if hx is None else (hx,))[0]
