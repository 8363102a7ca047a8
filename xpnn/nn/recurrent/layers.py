"""Recurrent networks. Formulas and gradients stand with the functions in `functional.recurrent`."""

from __future__ import annotations

import math
import warnings
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, namespace
from xpnn.functional.arguments import check_flags, check_probability, check_rank, whole
from xpnn.functional.recurrent.layers import check_nonlinearity
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full
from xpnn.nn.recurrent.packed import PackedSequence, padded, repacked

__all__ = ["GRU", "LSTM", "RNN", "JordanRNN", "RNNBase"]


# By PyTorch's names of them: the function that is called, and its gates.
_MODES = {"RNN_TANH": ("rnn_tanh", 1), "RNN_RELU": ("rnn_relu", 1), "LSTM": ("lstm", 4), "GRU": ("gru", 3),
          "JORDAN": ("jordan", 1)}  # fmt: skip


class RNNBase(Module):
    """What the recurrent networks share; they differ in the function that they call.

    Args:
        mode: "RNN_TANH", "RNN_RELU", "LSTM", "GRU" or "JORDAN".
        input_size, ...: as in `LSTM`; proj_size is of an LSTM and of Jordan's network alone.

    >>> RNNBase("GRU", 3, 4).weight_ih_l0.shape
    (12, 3)
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        if mode not in _MODES:
            raise ArgumentError(f"expects mode to be one of {', '.join(_MODES)}, got {mode!r}", subject=name)
        check_probability(dropout, name, "dropout")
        check_flags(name, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for key, size in sizes.items():
            if whole(size, key, name) < (key != "input_size"):
                raise ArgumentError(f"expects {key} of at least 1, got {size}", subject=name)
        self._check_projection(mode, whole(proj_size, "proj_size", name), hidden_size)
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is one layer: num_layers=1",
                UserWarning,
                stacklevel=3,
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        out_size = proj_size or hidden_size
        self._names: list[list[str]] = []  # of the parameters of each layer and direction
        for layer in range(num_layers):
            features = input_size if layer == 0 else out_size * (1 + bidirectional)
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                shapes = self._shapes(features, out_size)
                self._names.append([f"{key}_l{layer}{suffix}" for key in shapes])
                for key, shape in zip(self._names[-1], shapes.values()):
                    setattr(self, key, Parameter(full(shape, 0.0, device, dtype)))
        self.reset_parameters()

    @property
    def subject(self) -> str:
        """The function that it calls."""
        return _MODES[self.mode][0]

    def _check_projection(self, mode: str, proj_size: int, hidden_size: int) -> None:
        if proj_size and mode != "LSTM":
            raise ArgumentError("expects proj_size of an LSTM alone", subject=type(self).__name__)
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError(
                f"expects proj_size below hidden_size={hidden_size}, got {proj_size}",
                subject=type(self).__name__,
            )

    def _shapes(self, features: int, out_size: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters of one layer in one direction, in the order of the function."""
        rows = _MODES[self.mode][1] * self.hidden_size
        shapes: dict[str, tuple[int, ...]]
        shapes = {"weight_ih": (rows, features), "weight_hh": (rows, out_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        draw(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Does nothing; PyTorch arranges the weights for its GPU library here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._names]

    def _call(self, input: Any, hx: tuple[Any, ...] | None, lengths: Any) -> tuple[Any, tuple[Any, ...]]:
        """The output and the last states, as the input came: packed, a batch, or one sequence."""
        if lengths is not None:
            if isinstance(input, PackedSequence):
                raise ArgumentError(
                    "expects no lengths of a PackedSequence, which has its own", subject=self.subject
                )
            check_rank(input, 3, self.subject, "N, T, features" if self.batch_first else "T, N, features")
            return self._run(input, hx, self.batch_first, lengths)
        if isinstance(input, PackedSequence):
            x = padded(input, len(input.sizes))
            states = None if hx is None else tuple(_take(h, input.sorted_indices) for h in hx)
            output, last = self._run(x, states, False, input.lengths)
            return repacked(output, input), tuple(_take(h, input.unsorted_indices) for h in last)
        layout = "N, T, features, or T, features" if self.batch_first else "T, N, features, or T, features"
        check_rank(input, (2, 3), self.subject, layout)
        if input.ndim == 3:
            return self._run(input, hx, self.batch_first, None)
        for h in hx or ():
            check_rank(h, 2, self.subject, "layers * directions, hidden", "hx")
        states = None if hx is None else tuple(h[:, None, :] for h in hx)
        output, last = self._run(input[:, None, :], states, False, None)
        return output[:, 0, :], tuple(h[:, 0, :] for h in last)

    def _run(
        self, x: Any, hx: tuple[Any, ...] | None, batch_first: bool, lengths: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        output, *last = getattr(F, self.subject)(
            x,
            self._states(hx),
            [getattr(self, name) for names in self._names for name in names],
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            batch_first,
            lengths,
            **self._more_options(),
        )
        return output, tuple(last)

    def _more_options(self) -> dict[str, Any]:
        """What the function is told besides."""
        return {}

    def _states(self, hx: tuple[Any, ...] | None) -> Any:
        return None if hx is None else hx[0]

    def extra_repr(self) -> str:
        """The arguments."""
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        changed = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


class RNN(RNNBase):
    """Elman's recurrent network, in layers; see `functional.rnn_tanh`.

    Args:
        input_size: features of each step.
        hidden_size: units of the state.
        num_layers: recurrences on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: whether there are b_ih and b_hh.
        batch_first: whether the input and output are (N, T, features) in place of (T, N, features).
        dropout: the probability of a zero between layers, in training.
        bidirectional: whether a second direction reads each sequence from its end.
        device, dtype: as in `Linear`.

    Attributes:
        weight_ih_l0: (hidden_size, input_size), of layer 0; above it, of features of the layer below.
        weight_hh_l0: (hidden_size, hidden_size).
        bias_ih_l0, bias_hh_l0: (hidden_size,).
        weight_ih_l0_reverse, ...: of the second direction.

    At the start all of them are from U(-k, k) with k = hidden_size^-1/2.

    Shapes: input (T, N, input_size), (T, input_size) or a PackedSequence, and the first state
    (layers * directions, N, hidden_size), zeros if left out, to the output (T, N, directions * hidden_size)
    in the input's form, and the last state. With `lengths` (N,), which PyTorch's have not, a padded batch is
    read as if it were packed: what lies behind the end of a sequence is zero in the output.

    Raises: ArgumentError for another nonlinearity; errors of `functional.rnn_tanh`.

    >>> from xpnn.autograd import xp
    >>> output, h_n = RNN(3, 4, num_layers=2)(xp.ones((5, 1, 3)))
    >>> output.shape, h_n.shape
    ((5, 1, 4), (2, 1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity(nonlinearity, "RNN")
        self.nonlinearity = nonlinearity
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, device=device, dtype=dtype)  # fmt: skip

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Tensor]:
        """(output, h_n), see the class."""
        output, (h_n,) = self._call(input, None if hx is None else (hx,), lengths)
        return output, h_n


class LSTM(RNNBase):
    """Long short-term memory, in layers; see `functional.lstm`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as in `RNN`.
        proj_size: if not 0, the state is projected to that size; the cell keeps hidden_size.
        device, dtype: as in `Linear`.
        peepholes: whether the gates see the cell, which PyTorch's do not.

    Attributes: as those of `RNN`, with four times the rows, of the gates i, f, g and o; with proj_size
    weight_hr_l0: (proj_size, hidden_size); with peepholes weight_peephole_l0: (3 hidden_size,), of i, f, o.

    Shapes: as `RNN`; the states come and go as a pair (h, c), and with proj_size all but c are of that size.

    >>> from xpnn.autograd import xp
    >>> output, (h_n, c_n) = LSTM(3, 4, bidirectional=True)(xp.ones((5, 1, 3)))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 1, 8), (2, 1, 4), (2, 1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        peepholes: bool = False,
    ) -> None:
        check_flags("LSTM", peepholes=peepholes)
        self.peepholes = peepholes
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, proj_size, device, dtype)  # fmt: skip

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """(output, (h_n, c_n)), see the class."""
        if hx is not None and (not isinstance(hx, list | tuple) or len(hx) != 2):
            raise ArgumentError(f"expects hx as a pair (h_0, c_0), got {type(hx).__name__}", subject="lstm")
        output, (h_n, c_n) = self._call(input, None if hx is None else tuple(hx), lengths)
        return output, (h_n, c_n)

    def _states(self, hx: tuple[Any, ...] | None) -> Any:
        return hx

    def _shapes(self, features: int, out_size: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(features, out_size)
        return shapes | ({"weight_peephole": (3 * self.hidden_size,)} if self.peepholes else {})

    def _more_options(self) -> dict[str, Any]:
        return {"peepholes": self.peepholes}

    def extra_repr(self) -> str:
        """The arguments."""
        return super().extra_repr() + (", peepholes=True" if self.peepholes else "")


class GRU(RNNBase):
    """Gated recurrent units, in layers; see `functional.gru`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as in `RNN`.
        device, dtype: as in `Linear`.

    Attributes: as those of `RNN`, with three times the rows: reset, update, new.

    Shapes: as `RNN`.

    >>> from xpnn.autograd import xp
    >>> output, h_n = GRU(3, 4, batch_first=True)(xp.ones((1, 5, 3)))
    >>> output.shape, h_n.shape
    ((1, 5, 4), (1, 1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, device=device, dtype=dtype)  # fmt: skip

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Tensor]:
        """(output, h_n), see the class."""
        output, (h_n,) = self._call(input, None if hx is None else (hx,), lengths)
        return output, h_n


class JordanRNN(RNNBase):
    """Jordan's recurrent network, in layers: the output is fed back; see `functional.jordan`.

    PyTorch has no such network.

    Args:
        input_size: features of each step.
        hidden_size: units between the input and the output.
        output_size: features of the output, and of what is fed back.
        num_layers, nonlinearity, bias, batch_first, dropout, bidirectional: as in `RNN`.
        device, dtype: as in `Linear`.

    Attributes:
        weight_ih_l0: (hidden_size, input_size).
        weight_hh_l0: (hidden_size, output_size), of what is fed back.
        bias_ih_l0, bias_hh_l0: (hidden_size,).
        weight_hr_l0: (output_size, hidden_size). bias_hr_l0: (output_size,).

    Shapes: as `RNN`, with output_size in place of hidden_size.

    >>> from xpnn.autograd import xp
    >>> output, last = JordanRNN(3, 4, 2)(xp.ones((5, 1, 3)))
    >>> output.shape, last.shape
    ((5, 1, 2), (1, 1, 2))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity(nonlinearity, "JordanRNN")
        self.nonlinearity = nonlinearity
        super().__init__("JORDAN", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, output_size, device, dtype)  # fmt: skip

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Tensor]:
        """(output, the last outputs of each layer), see the class."""
        output, (last,) = self._call(input, None if hx is None else (hx,), lengths)
        return output, last

    def _check_projection(self, mode: str, proj_size: int, hidden_size: int) -> None:
        if proj_size < 1:
            raise ArgumentError(f"expects output_size of at least 1, got {proj_size}", subject="JordanRNN")

    def _shapes(self, features: int, out_size: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(features, out_size)
        return shapes | ({"bias_hr": (out_size,)} if self.bias else {})

    def _more_options(self) -> dict[str, Any]:
        return {"nonlinearity": self.nonlinearity}

    def extra_repr(self) -> str:
        """The arguments."""
        sizes, *rest = super().extra_repr().split(f", proj_size={self.proj_size}")
        tail = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return f"{sizes}, {self.proj_size}{''.join(rest)}{tail}"


def draw(module: Module, hidden_size: int) -> None:
    """PyTorch's default: U(-k, k) with k = hidden_size^-1/2."""
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size else 0.0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def _take(h: Tensor, order: Any) -> Any:
    """The sequences of a state (layers, N, H) in another order."""
    return h if order is None else namespace(h).take(h, order, axis=1)
