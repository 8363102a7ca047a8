"""Recurrent cells: one step of a recurrence."""

from __future__ import annotations

from xpnn.autograd import Tensor
from xpnn.autograd.casting import listed
from xpnn.backend import Array, ArrayT
from xpnn.functional.recurrent.layers import elman, state_and_cell
from xpnn.functional.recurrent.recurrence import Arrays, gru_sequence, lstm_sequence
from xpnn.functional.recurrent.stacking import run_step

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]


def rnn_tanh_cell(
    input: ArrayT,
    hx: Array | Tensor | None,
    w_ih: Array | Tensor,
    w_hh: Array | Tensor,
    b_ih: Array | Tensor | None = None,
    b_hh: Array | Tensor | None = None,
) -> ArrayT:
    """One step of `rnn_tanh`: (N, I) and (N, H) to the new state (N, H); hx None is zeros.

    >>> import numpy as np
    >>> rnn_tanh_cell(np.ones((1, 2)), None, np.ones((3, 2)), np.ones((3, 3))).round(3).tolist()
    [[0.964, 0.964, 0.964]]
    """
    (h,) = run_step(elman("tanh"), "rnn_tanh_cell", 1, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    return h


def rnn_relu_cell(
    input: ArrayT,
    hx: Array | Tensor | None,
    w_ih: Array | Tensor,
    w_hh: Array | Tensor,
    b_ih: Array | Tensor | None = None,
    b_hh: Array | Tensor | None = None,
) -> ArrayT:
    """One step of `rnn_relu`: (N, I) and (N, H) to the new state (N, H); hx None is zeros.

    >>> import numpy as np
    >>> rnn_relu_cell(np.ones((1, 2)), None, np.ones((3, 2)), np.ones((3, 3))).tolist()
    [[2.0, 2.0, 2.0]]
    """
    (h,) = run_step(elman("relu"), "rnn_relu_cell", 1, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    return h


@listed
def lstm_cell(
    input: ArrayT,
    hx: Arrays | None,
    w_ih: Array | Tensor,
    w_hh: Array | Tensor,
    b_ih: Array | Tensor | None = None,
    b_hh: Array | Tensor | None = None,
    w_peephole: Array | Tensor | None = None,
) -> tuple[ArrayT, ArrayT]:
    """One step of `lstm`: (N, I) and the pair of (N, H) to the new state and cell; hx None is zeros.

    w_peephole: (3 H,), of gates that see the cell, see `lstm`; PyTorch's has none.

    >>> import numpy as np
    >>> h, c = lstm_cell(np.ones((1, 2)), None, np.ones((12, 2)), np.ones((12, 3)))
    >>> h.shape, c.shape
    ((1, 3), (1, 3))
    """
    hx = state_and_cell(hx, "lstm_cell")
    h, c = run_step(lstm_sequence, "lstm_cell", 4, input, hx, w_ih, w_hh, b_ih, b_hh,
                    w_peephole=w_peephole)  # fmt: skip
    return h, c


def gru_cell(
    input: ArrayT,
    hx: Array | Tensor | None,
    w_ih: Array | Tensor,
    w_hh: Array | Tensor,
    b_ih: Array | Tensor | None = None,
    b_hh: Array | Tensor | None = None,
) -> ArrayT:
    """One step of `gru`: (N, I) and (N, H) to the new state (N, H); hx None is zeros.

    >>> import numpy as np
    >>> gru_cell(np.ones((1, 2)), None, np.ones((9, 2)), np.ones((9, 3))).shape
    (1, 3)
    """
    (h,) = run_step(gru_sequence, "gru_cell", 3, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    return h
