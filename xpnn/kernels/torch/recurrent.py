"""Recurrences by PyTorch's own routines (oneDNN's for an LSTM in single precision), with their gradients.

PyTorch gives the LSTM's states at all times, but its cells at the end alone: all others are computed of the
states, in two products and one pass. A layer asks for no more than the last ones, and PyTorch's own backward
serves where the gradients of the others are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from xpnn.backend import kernel
from xpnn.kernels.torch.graph import Array, gradients, leaves, no_user_graph


def _on_cpu(x: Array, h0: Array, *arrays: Array | None, **options: Any) -> bool:
    """Guard: PyTorch knows no bias without the other one, and no empty batches.

    On a GPU it warns of weights that don't lie one behind the other; there the reference does the work.
    """
    *_, b_ih, b_hh = arrays
    usual = (b_ih is None) == (b_hh is None) and x.device.type == "cpu"
    return usual and x.numel() > 0 and h0.numel() > 0 and no_user_graph(x, h0, *arrays)


def _without_projection(*arrays: Any, reverse: bool) -> bool:
    return arrays[-1] is None and _on_cpu(*arrays[:-1])


@kernel("torch", "rnn", when=_on_cpu)
def rnn(x: Array, h0: Array, *weights: Array | None, nonlinearity: str, reverse: bool) -> tuple[Array, tuple]:
    """The reference's `_rnn`."""
    function = torch.rnn_tanh if nonlinearity == "tanh" else torch.rnn_relu
    return _with_graph(function, (x, h0, *weights), reverse)


@kernel("torch", "gru", when=_on_cpu)
def gru(x: Array, h0: Array, *weights: Array | None, reverse: bool) -> tuple[Array, tuple]:
    """The reference's `_gru`."""
    return _with_graph(torch.gru, (x, h0, *weights), reverse)


@rnn.backward
@gru.backward
def _backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> list[Array | None]:
    arrays, states = saved
    return gradients((states,), (gy,), arrays)


@kernel("torch", "lstm", when=_without_projection)
def lstm(*arrays: Array | None, reverse: bool) -> tuple[tuple[Array, Array], tuple]:
    """The reference's `_lstm`."""
    graph = leaves(*arrays)
    x, h0, c0, *weights, _ = graph
    with torch.enable_grad():
        first = h0.unsqueeze(0), c0.unsqueeze(0)
        states, _, last = torch.lstm(_turned(x, reverse), first, *_settings(weights))
        states, last = _turned(states, reverse), last.squeeze(0)
    with torch.no_grad():
        cells = _cells(graph, states, reverse)
    return (states.detach(), cells), (graph, states, last)


@lstm.backward
def _lstm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, reverse: bool
) -> list[Array | None]:
    arrays, states, last = saved
    gy, gcells = above
    if gcells is None:
        return gradients((states,), (gy,), arrays)
    at_end, others = (gcells[0], gcells[1:]) if reverse else (gcells[-1], gcells[:-1])
    if not others.any():
        return gradients((states, last), (gy, at_end), arrays)
    with torch.enable_grad():
        cells = _cells(arrays, states, reverse)
    return gradients((states, cells), (gy, gcells), arrays)


def _with_graph(function: Callable, arrays: tuple, reverse: bool) -> tuple[Array, tuple]:
    """The states at all times, and the leaves and the results of PyTorch's graph."""
    graph = leaves(*arrays)
    x, h0, *weights = graph
    with torch.enable_grad():
        states = _turned(function(_turned(x, reverse), h0.unsqueeze(0), *_settings(weights))[0], reverse)
    return states.detach(), (graph, states)


def _settings(weights: list[Array | None]) -> tuple:
    """PyTorch's arguments behind the first states: one layer in one direction, time first, with gradients."""
    given = [w for w in weights if w is not None]
    return given, len(given) > 2, 1, 0.0, True, False, False


def _turned(x: Array, reverse: bool) -> Array:
    return x.flip(0) if reverse else x


def _cells(arrays: list[Any], states: Array, reverse: bool) -> Array:
    """c_t = s(f) c_{t-1} + s(i) tanh(g), with the gates found again from the states at all times."""
    x, h0, c, w_ih, w_hh, b_ih, b_hh, _ = arrays
    first = h0.unsqueeze(0)
    before = torch.cat([states[1:], first] if reverse else [first, states[:-1]])
    i, f, g, _ = (F.linear(x, w_ih, b_ih) + F.linear(before, w_hh, b_hh)).chunk(4, dim=-1)
    added, kept = i.sigmoid() * g.tanh(), f.sigmoid()
    times, cells = range(len(x)), {}
    for t in reversed(times) if reverse else times:
        c = cells[t] = torch.addcmul(added[t], kept[t], c)
    return torch.stack([cells[t] for t in times])
