"""Recurrent networks: layers of recurrences over sequences, in one direction or in both.

The recurrences and their gradients stand in `recurrence.py`. Here they are stacked: each layer
reads what the one below wrote; of two directions the second reads the sequence from its end, and their
results are joined along the last axis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT
from xpnn.functional.arguments import check_flags
from xpnn.functional.recurrent.recurrence import (
    Arrays,
    gru_sequence,
    jordan_sequence,
    lstm_sequence,
    rnn_sequence,
)
from xpnn.functional.recurrent.stacking import run_layers

__all__ = ["gru", "jordan", "lstm", "rnn_relu", "rnn_tanh"]


@half_in_float32
def rnn_tanh(
    input: ArrayT,
    hx: Array | Tensor | None,
    params: Arrays,
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Sequence[int] | Array | Tensor | None = None,
) -> tuple[ArrayT, ArrayT]:
    """Elman's network: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), layer over layer.

    Backward through time, from the last step to the first, with gh_t the gradient from above:

        gz_t = (1 - h_t^2) (gh_t + W_hh^T gz_{t+1})        gx_t = W_ih^T gz_t
        gW_ih = sum_t gz_t x_t^T        gW_hh = sum_t gz_t h_{t-1}^T        gb_ih = gb_hh = sum_t gz_t

    Args:
        input: (T, N, I), floating; (N, T, I) if batch_first.
        hx: (num_layers * directions, N, H), the first states; None is zeros.
        params: for each layer, and for each of its directions, W_ih (H, I), W_hh (H, H), and with
            has_biases b_ih (H,) and b_hh (H,). Above the first layer I is H, twice H if bidirectional.
        dropout: the probability of a zero between layers, while `train`.
        bidirectional: whether there is a second direction, from the end of the sequence.
        lengths: the number of steps of each sequence, where they differ: what lies behind is not read, is
            zero in the output, and the last states are those of the sequence's own end.

    Returns: output (T, N, directions * H), the states of the last layer; h_n, the last states, as hx.

    Raises: ShapeError if sizes do not fit; ArgumentError for another number of params than layers need.

    See: Elman (1990), "Finding structure in time".

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> output, h_n = rnn_tanh(np.zeros((3, 1, 1)), None, [one, one, np.ones(1), np.zeros(1)])
    >>> output.ravel().round(3).tolist(), h_n.ravel().round(3).tolist()
    ([0.762, 0.943, 0.96], [0.96])
    """
    return run_layers(elman("tanh"), "rnn_tanh", 1, input, (hx,), params, has_biases, num_layers,
                      dropout, train, bidirectional, batch_first, lengths)  # fmt: skip


@half_in_float32
def rnn_relu(
    input: ArrayT,
    hx: Array | Tensor | None,
    params: Arrays,
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Sequence[int] | Array | Tensor | None = None,
) -> tuple[ArrayT, ArrayT]:
    """`rnn_tanh` with max(0, z) in place of tanh(z), whose slope is 1 where h_t > 0, else 0.

    See: Le, Jaitly & Hinton (2015), "A simple way to initialize recurrent networks of rectified linear
    units".

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> rnn_relu(np.ones((3, 1, 1)), None, [one, one], has_biases=False)[0].ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    return run_layers(elman("relu"), "rnn_relu", 1, input, (hx,), params, has_biases, num_layers,
                      dropout, train, bidirectional, batch_first, lengths)  # fmt: skip


@half_in_float32
def lstm(
    input: ArrayT,
    hx: Arrays | None,
    params: Arrays,
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Sequence[int] | Array | Tensor | None = None,
    peepholes: bool = False,
) -> tuple[ArrayT, ArrayT, ArrayT]:
    """Long short-term memory, layer over layer.

    With (i, f, g, o) the four parts of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh, and s the sigmoid:

        c_t = s(f) c_{t-1} + s(i) tanh(g)        m_t = s(o) tanh(c_t)        h_t = W_hr m_t, or m_t

    Backward through time, the gates written without their s and tanh:

        gm_t = W_hr^T gh_t        gc_t += gm_t o (1 - tanh(c_t)^2)
        gz_t = (gc_t g i (1 - i), gc_t c_{t-1} f (1 - f), gc_t i (1 - g^2), gm_t tanh(c_t) o (1 - o))
        gh_{t-1} += W_hh^T gz_t        gc_{t-1} += f gc_t

    With peepholes, which PyTorch has not, the gates see the cell: p_i c_{t-1} is added to i, p_f c_{t-1} to
    f, and p_o c_t to o, before their sigmoid, unit by unit.

    Args:
        input: (T, N, I), floating; (N, T, I) if batch_first.
        hx: the pair of first states (num_layers * directions, N, H) and first cells; None is zeros.
        params: for each layer, and for each of its directions, W_ih (4 H, I), W_hh (4 H, H), with
            has_biases b_ih (4 H,) and b_hh (4 H,), and for projected states W_hr (P, H). Then the states,
            and the last axis of W_hh, are of size P. With peepholes (p_i, p_f, p_o) (3 H,) comes last.
        peepholes: whether params hold such weights.
        dropout, train, bidirectional, lengths: as in `rnn_tanh`.

    Returns: output (T, N, directions * H), the states of the last layer; h_n, the last states; c_n, the last
    cells.

    Raises: ShapeError if sizes do not fit; ArgumentError for another number of params than layers need.

    See: Hochreiter & Schmidhuber (1997), "Long short-term memory"; Gers, Schmidhuber & Cummins (2000),
    "Learning to forget"; Sak, Senior & Beaufays (2014), "Long short-term memory recurrent neural network
    architectures for large scale acoustic modeling" for the projection; Gers & Schmidhuber (2000),
    "Recurrent nets that time and count" for peepholes.

    >>> import numpy as np
    >>> output, h_n, c_n = lstm(np.zeros((3, 2, 1)), None, [np.ones((4, 1)), np.ones((4, 1))], False)
    >>> output.shape, h_n.shape, c_n.shape
    ((3, 2, 1), (1, 2, 1), (1, 2, 1))
    """
    states = state_and_cell(hx, "lstm")
    check_flags("lstm", peepholes=peepholes)
    return run_layers(lstm_sequence, "lstm", 4, input, states, params, has_biases, num_layers, dropout,
                      train, bidirectional, batch_first, lengths,
                      ("w_peephole",) if peepholes else ())  # fmt: skip


@half_in_float32
def gru(
    input: ArrayT,
    hx: Array | Tensor | None,
    params: Arrays,
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Sequence[int] | Array | Tensor | None = None,
) -> tuple[ArrayT, ArrayT]:
    """Gated recurrent units, layer over layer.

    With the three parts of W_ih x_t + b_ih and of W_hh h_{t-1} + b_hh, and s the sigmoid:

        r = s(x_r + h_r)        u = s(x_u + h_u)        n = tanh(x_n + r h_n)
        h_t = (1 - u) n + u h_{t-1}

    Backward through time:

        gx_n = gh_t (1 - u) (1 - n^2)        gx_u = gh_t (h_{t-1} - n) u (1 - u)
        gx_r = gx_n h_n r (1 - r)        gh_{t-1} += u gh_t + W_hh^T (gx_r, gx_u, gx_n r)

    Args:
        input: (T, N, I), floating; (N, T, I) if batch_first.
        hx: (num_layers * directions, N, H), the first states; None is zeros.
        params: for each layer, and for each of its directions, W_ih (3 H, I), W_hh (3 H, H), and with
            has_biases b_ih (3 H,) and b_hh (3 H,).
        dropout, train, bidirectional, lengths: as in `rnn_tanh`.

    Returns: output and h_n, as `rnn_tanh`.

    Raises: ShapeError if sizes do not fit; ArgumentError for another number of params than layers need.

    See: Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk & Bengio (2014), "Learning phrase
    representations using RNN encoder-decoder for statistical machine translation".

    >>> import numpy as np
    >>> output, h_n = gru(np.zeros((3, 2, 1)), None, [np.ones((3, 1)), np.ones((3, 1))], has_biases=False)
    >>> output.shape, h_n.shape
    ((3, 2, 1), (1, 2, 1))
    """
    return run_layers(gru_sequence, "gru", 3, input, (hx,), params, has_biases, num_layers,
                      dropout, train, bidirectional, batch_first, lengths)  # fmt: skip


@half_in_float32
def jordan(
    input: ArrayT,
    hx: Array | Tensor | None,
    params: Arrays,
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Sequence[int] | Array | Tensor | None = None,
    nonlinearity: str = "tanh",
) -> tuple[ArrayT, ArrayT]:
    """Jordan's network, layer over layer: what is fed back is the output, not the hidden units.

        h_t = f(W_ih x_t + b_ih + W_hh y_{t-1} + b_hh)        y_t = W_hr h_t + b_hr

    Backward through time, with gy_t the gradient from above:

        gz_t = f'_t W_hr^T gy_t        gy_{t-1} += W_hh^T gz_t        gW_hr = sum_t gy_t h_t^T

    and the other weights as in `rnn_tanh`. PyTorch has no such network.

    Args:
        input: (T, N, I), floating; (N, T, I) if batch_first.
        hx: (num_layers * directions, N, O), the outputs before the first step; None is zeros.
        params: for each layer, and for each of its directions, W_ih (H, I), W_hh (H, O), with has_biases
            b_ih (H,) and b_hh (H,), then W_hr (O, H), and with has_biases b_hr (O,). Above the first layer
            I is O, twice O if bidirectional.
        dropout, train, bidirectional, lengths: as in `rnn_tanh`.
        nonlinearity: f, "tanh" or "relu".

    Returns: output (T, N, directions * O), of the last layer; the last outputs of each layer, as hx.

    Raises: ShapeError if sizes do not fit; ArgumentError for another number of params than layers need, or
    another nonlinearity.

    See: Jordan (1986), "Serial order: a parallel distributed processing approach".

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> jordan(one[None], None, [one, one, 3 * one], has_biases=False)[0].round(3).tolist()
    [[[2.285]]]
    """
    check_nonlinearity(nonlinearity, "jordan")
    check_flags("jordan", has_biases=has_biases)
    recurrence = functools.partial(jordan_sequence, nonlinearity=nonlinearity)
    return run_layers(recurrence, "jordan", 1, input, (hx,), params, has_biases, num_layers, dropout,
                      train, bidirectional, batch_first, lengths,
                      ("w_hr", "b_hr") if has_biases else ("w_hr",))  # fmt: skip


def check_nonlinearity(nonlinearity: str, subject: str) -> None:
    """Raise an ArgumentError unless it is "tanh" or "relu"."""
    if not isinstance(nonlinearity, str) or nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"expects nonlinearity='tanh' or 'relu', got {nonlinearity!r}", subject=subject)


def elman(nonlinearity: str) -> Callable[..., tuple[Any, ...]]:
    """Elman's recurrence with tanh or relu."""
    return functools.partial(rnn_sequence, nonlinearity=nonlinearity)


def state_and_cell(hx: Arrays | None, subject: str) -> Arrays:
    """The pair that an LSTM starts from; None is zeros."""
    if hx is None:
        return None, None
    if not isinstance(hx, Sequence) or len(hx) != 2:
        raise ArgumentError(
            f"expects hx as a pair (states, cells), got {type(hx).__name__}",
            subject=subject,
            hint="Pass (h_0, c_0)",
        )
    return hx
