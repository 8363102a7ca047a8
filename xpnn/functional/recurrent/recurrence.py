"""Recurrences: a state carried through a sequence, one layer in one direction, as one primitive each.

With x_t the input at time t and h_t the state, every one of the three is of the form h_t = f(x_t, h_{t-1}),
and its gradient runs back through time: what arrives at h_t is the gradient from above at t, plus what
h_{t+1} sends back. The forward keeps its inputs and the states at all times, which are its outputs. The
backward finds the gates again from those, all times in one product, and all local derivatives at once; only
the recursion itself is a loop. As it saves nothing else, the same lines give the second derivative.

All arrays are time first: x (T, N, I), states (N, H), results (T, N, H). With `reverse` time runs from the
last step to the first, and results stand at the time of the input they were made from.

See: Werbos (1990), "Backpropagation through time: what it does and how to do it".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn.autograd import primitive
from xpnn.autograd.ops.activation import through_relu
from xpnn.backend import namespace
from xpnn.functional.activation.rectified import relu
from xpnn.functional.activation.sigmoid import sigmoid, tanh
from xpnn.functional.arguments import alike
from xpnn.functional.linear import linear

Arrays = Sequence[Any]


class Weights(NamedTuple):
    """Of one layer in one direction; None for what is left out."""

    w_ih: Any
    w_hh: Any
    b_ih: Any | None = None
    b_hh: Any | None = None
    w_hr: Any | None = None  # projects what is put out
    b_hr: Any | None = None
    w_peephole: Any | None = None  # lets gates see the cell


# (x, first states, weights, reverse) -> each state at all times; the first of them is the output.
Recurrence = Callable[[Any, Arrays, Weights, bool], tuple[Any, ...]]


@primitive
def _rnn(x, h0, w_ih, w_hh, b_ih, b_hh, *, nonlinearity, reverse):
    """h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), with f = tanh or relu.

    Backward, with f' = 1 - h^2 for tanh, and 1 where h > 0 for relu:

        gz_t = f'_t (gh_t + W_hh^T gz_{t+1})        gx_t = W_ih^T gz_t
        gW_ih = sum_t gz_t x_t^T        gW_hh = sum_t gz_t h_{t-1}^T        gb_ih = gb_hh = sum_t gz_t
    """
    xp = namespace(x)
    z = linear(x, w_ih, b_ih)
    h, states = h0, []
    for t in _times(x, reverse):
        h = z[t, ...] + linear(h, w_hh, b_hh)
        h = xp.tanh(h) if nonlinearity == "tanh" else xp.maximum(h, xp.zeros_like(h))
        states.append(h)
    hs = _stack(states, reverse)
    return hs, (x, h0, w_ih, w_hh, b_ih, b_hh, hs)


@_rnn.backward
def _rnn_backward(ghs, saved, needs, *, nonlinearity, reverse):
    x, h0, w_ih, w_hh, b_ih, b_hh, hs = saved
    xp = namespace(x, h0, w_ih, w_hh, hs, ghs)
    slope = 1 - hs * hs if nonlinearity == "tanh" else None
    gh, steps = None, []
    for t in _times(x, not reverse):
        gz = _sum(ghs[t, ...], gh)
        gz = through_relu(gz, hs[t, ...]) if slope is None else slope[t, ...] * gz
        gh = xp.matmul(gz, w_hh)
        steps.append(gz)
    gz = _stack(steps, not reverse)
    gx, gw_ih, gb_ih = _linear_gradients(gz, x, w_ih, b_ih, needs[0])
    _, gw_hh, gb_hh = _linear_gradients(gz, _before(hs, h0, reverse), w_hh, b_hh, False)
    return gx, gh, gw_ih, gw_hh, gb_ih, gb_hh


@primitive
def _lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, reverse):
    """Long short-term memory: a cell c that gates let in, keep and show.

    With (i, f, g, o) the four parts of z_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh, s the sigmoid:

        c_t = s(f) c_{t-1} + s(i) tanh(g)        m_t = s(o) tanh(c_t)        h_t = W_hr m_t, or m_t

    Backward, with the gates written without their s and tanh:

        gm_t = W_hr^T gh_t        gc_t += gm_t o (1 - tanh(c_t)^2)
        gz_t = (gc_t g i (1 - i), gc_t c_{t-1} f (1 - f), gc_t i (1 - g^2), gm_t tanh(c_t) o (1 - o))
        gh_{t-1} += W_hh^T gz_t        gc_{t-1} += f gc_t

    and the weights as in `_rnn`; gW_hr = sum_t gh_t m_t^T.

    Returns: h and c at all times.
    """
    xp = namespace(x)
    z = linear(x, w_ih, b_ih)
    h, c, states, cells = h0, c0, [], []
    for t in _times(x, reverse):
        i, f, g, o = _lstm_gates(z[t, ...] + linear(h, w_hh, b_hh))
        c = f * c + i * g
        h = o * xp.tanh(c)
        if w_hr is not None:
            h = linear(h, w_hr)
        states.append(h)
        cells.append(c)
    hs, cs = _stack(states, reverse), _stack(cells, reverse)
    return (hs, cs), (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, hs, cs)


@_lstm.backward
def _lstm_backward(gradients, saved, needs, *, reverse):
    x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, hs, cs = saved
    ghs, gcs = gradients
    xp = namespace(x, h0, c0, w_ih, w_hh, w_hr, hs, ghs, gcs)
    if ghs is None:
        ghs = xp.zeros_like(hs)
    h_before, c_before = _before(hs, h0, reverse), _before(cs, c0, reverse)
    i, f, g, o = _lstm_gates(linear(x, w_ih, b_ih) + linear(h_before, w_hh, b_hh))
    shown = xp.tanh(cs)
    from_c = xp.concat([g * i * (1 - i), c_before * f * (1 - f), i * (1 - g * g)], axis=-1)
    from_m = shown * o * (1 - o)
    c_from_m = o * (1 - shown * shown)

    gh = gc = None
    steps, arrived = [], []
    for t in _times(x, not reverse):
        gh = _sum(ghs[t, ...], gh)
        arrived.append(gh)
        gm = gh if w_hr is None else xp.matmul(gh, w_hr)
        gc = _sum(gm * c_from_m[t, ...], gc)
        if gcs is not None:
            gc = gc + gcs[t, ...]
        gz = xp.concat([from_c[t, ...] * xp.concat([gc, gc, gc], axis=-1), gm * from_m[t, ...]], axis=-1)
        gh, gc = xp.matmul(gz, w_hh), gc * f[t, ...]
        steps.append(gz)
    gz = _stack(steps, not reverse)
    gx, gw_ih, gb_ih = _linear_gradients(gz, x, w_ih, b_ih, needs[0])
    _, gw_hh, gb_hh = _linear_gradients(gz, h_before, w_hh, b_hh, False)
    gw_hr = None
    if w_hr is not None:
        _, gw_hr, _ = _linear_gradients(_stack(arrived, not reverse), o * shown, w_hr, None, False)
    return gx, gh, gc, gw_ih, gw_hh, gb_ih, gb_hh, gw_hr


def _lstm_gates(z: Any) -> tuple[Any, ...]:
    """The values of the gates: input, forget, cell, output."""
    i, f, g, o = _split(z, 4)
    return sigmoid(i), sigmoid(f), namespace(z).tanh(g), sigmoid(o)


@primitive
def _gru(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse):
    """Gated recurrent unit: a new state n, mixed with the old one.

    With the three parts of W_ih x_t + b_ih and of W_hh h_{t-1} + b_hh, s the sigmoid:

        r = s(x_r + h_r)        u = s(x_u + h_u)        n = tanh(x_n + r h_n)
        h_t = (1 - u) n + u h_{t-1}

    Backward, by the parts of x and of h:

        gx_n = gh_t (1 - u) (1 - n^2)        gx_u = gh_t (h_{t-1} - n) u (1 - u)
        gx_r = gx_n h_n r (1 - r)        gh_{t-1} += u gh_t + W_hh^T (gx_r, gx_u, gx_n r)

    and the weights as in `_rnn`, with (gx_r, gx_u, gx_n) for W_ih and (gx_r, gx_u, gx_n r) for W_hh.
    """
    z = linear(x, w_ih, b_ih)
    h, states = h0, []
    for t in _times(x, reverse):
        _, u, n, _ = _gru_gates(z[t, ...], linear(h, w_hh, b_hh))
        h = n + u * (h - n)
        states.append(h)
    hs = _stack(states, reverse)
    return hs, (x, h0, w_ih, w_hh, b_ih, b_hh, hs)


@_gru.backward
def _gru_backward(ghs, saved, needs, *, reverse):
    x, h0, w_ih, w_hh, b_ih, b_hh, hs = saved
    xp = namespace(x, h0, w_ih, w_hh, hs, ghs)
    h_before = _before(hs, h0, reverse)
    r, u, n, h_n = _gru_gates(linear(x, w_ih, b_ih), linear(h_before, w_hh, b_hh))
    to_n = (1 - u) * (1 - n * n)
    to_ru = xp.concat([to_n * h_n * r * (1 - r), (h_before - n) * u * (1 - u)], axis=-1)
    to_hn = to_n * r

    gh, steps_x, steps_h = None, [], []
    for t in _times(x, not reverse):
        gh = _sum(ghs[t, ...], gh)
        g_ru = to_ru[t, ...] * xp.concat([gh, gh], axis=-1)
        steps_x.append(xp.concat([g_ru, gh * to_n[t, ...]], axis=-1))
        steps_h.append(xp.concat([g_ru, gh * to_hn[t, ...]], axis=-1))
        gh = gh * u[t, ...] + xp.matmul(steps_h[-1], w_hh)
    gx, gw_ih, gb_ih = _linear_gradients(_stack(steps_x, not reverse), x, w_ih, b_ih, needs[0])
    _, gw_hh, gb_hh = _linear_gradients(_stack(steps_h, not reverse), h_before, w_hh, b_hh, False)
    return gx, gh, gw_ih, gw_hh, gb_ih, gb_hh


def _gru_gates(of_x: Any, of_h: Any) -> tuple[Any, ...]:
    """Reset, update and new state, and the part of the old state that goes into the new one."""
    x_r, x_u, x_n = _split(of_x, 3)
    h_r, h_u, h_n = _split(of_h, 3)
    r, u = sigmoid(x_r + h_r), sigmoid(x_u + h_u)
    return r, u, namespace(of_x, of_h).tanh(x_n + r * h_n), h_n


def rnn_sequence(
    x: Any, states: Sequence[Any], weights: Weights, reverse: bool, *, nonlinearity: str
) -> tuple[Any]:
    """`_rnn` as a layer runs it: (x, first states, weights, reverse) to each state at all times."""
    w_ih, w_hh, b_ih, b_hh, *_ = weights
    return (_rnn(x, *states, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity, reverse=reverse),)


def lstm_sequence(x: Any, states: Sequence[Any], weights: Weights, reverse: bool) -> tuple[Any, Any]:
    """`_lstm` as a layer runs it: (x, first states, weights, reverse) to each state at all times."""
    if weights.w_peephole is not None:
        return _lstm_with_peepholes(x, states, weights, reverse)
    return _lstm(x, *states, *weights[:5], reverse=reverse)


def _lstm_with_peepholes(x: Any, states: Sequence[Any], weights: Weights, reverse: bool) -> tuple[Any, Any]:
    """`_lstm` whose gates see the cell: i and f the one before, o the new one; of differentiable steps."""
    x, (h, c), weights = _all_alike(x, states, weights)
    z = linear(x, weights.w_ih, weights.b_ih)
    to_i, to_f, to_o = _split(weights.w_peephole, 3)
    hs, cs = [], []
    for t in _times(x, reverse):
        i, f, g, o = _split(z[t, ...] + linear(h, weights.w_hh, weights.b_hh), 4)
        old = c
        c = sigmoid(f + to_f * old) * old + sigmoid(i + to_i * old) * tanh(g)
        h = sigmoid(o + to_o * c) * tanh(c)
        h = h if weights.w_hr is None else linear(h, weights.w_hr)
        hs.append(h)
        cs.append(c)
    return _stack(hs, reverse), _stack(cs, reverse)


def jordan_sequence(
    x: Any, states: Sequence[Any], weights: Weights, reverse: bool, *, nonlinearity: str
) -> tuple[Any]:
    """Jordan's recurrence, of differentiable steps: each starts from the output of the one before."""
    x, (y,), weights = _all_alike(x, states, weights)
    z = linear(x, weights.w_ih, weights.b_ih)
    f = tanh if nonlinearity == "tanh" else relu
    ys = []
    for t in _times(x, reverse):
        h = f(z[t, ...] + linear(y, weights.w_hh, weights.b_hh))
        y = linear(h, weights.w_hr, weights.b_hr)
        ys.append(y)
    return (_stack(ys, reverse),)


def gru_sequence(x: Any, states: Sequence[Any], weights: Weights, reverse: bool) -> tuple[Any]:
    """`_gru` as a layer runs it: (x, first states, weights, reverse) to each state at all times."""
    w_ih, w_hh, b_ih, b_hh, *_ = weights
    return (_gru(x, *states, w_ih, w_hh, b_ih, b_hh, reverse=reverse),)


def _all_alike(x: Any, states: Sequence[Any], weights: Weights) -> tuple[Any, list[Any], Weights]:
    """The arrays, all of them Tensors if one is."""
    names = [name for name, w in weights._asdict().items() if w is not None]
    x, *rest = alike(x, *states, *(getattr(weights, name) for name in names))
    count = len(states)
    return x, rest[:count], weights._replace(**dict(zip(names, rest[count:])))


def _times(x: Any, reverse: bool) -> range:
    """The steps in the order in which they are taken."""
    steps = range(x.shape[0])
    return steps[::-1] if reverse else steps


def _stack(steps: Sequence[Any], reverse: bool) -> Any:
    """The results of all steps along axis 0, in the order of time."""
    return namespace(*steps).stack(list(reversed(steps)) if reverse else list(steps), axis=0)


def _before(states: Any, first: Any, reverse: bool) -> Any:
    """For each time the state that its step started from."""
    first = first[None, ...]
    parts = [states[1:, ...], first] if reverse else [first, states[:-1, ...]]
    return namespace(states, first).concat(parts, axis=0)


def _split(z: Any, count: int) -> list[Any]:
    """The equal parts of the last axis."""
    size = z.shape[-1] // count
    return [z[..., k * size : (k + 1) * size] for k in range(count)]


def _sum(a: Any, b: Any | None) -> Any:
    return a if b is None else a + b


def _linear_gradients(gz: Any, x: Any, w: Any, b: Any | None, needs_x: bool) -> tuple[Any, Any, Any]:
    """The gradients of x, w and b in z = W x + b, of a sequence."""
    xp = namespace(gz, x, w)
    rows = xp.reshape(gz, (-1, gz.shape[-1]))
    gx = xp.reshape(xp.matmul(rows, w), x.shape) if needs_x else None
    gw = xp.matmul(rows.T, xp.reshape(x, (-1, x.shape[-1])))
    return gx, gw, None if b is None else xp.sum(rows, axis=0)
