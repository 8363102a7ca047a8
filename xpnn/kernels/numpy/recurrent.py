"""Recurrences in NumPy: one thread walks through time, another does what need not wait for it.

What the inputs bring to the gates is found ahead of the steps that need it, and the gradients of the weights
behind them: products as large as all others together, a block of steps at a time. Walking halves of the batch
on two threads instead is slower: a step is a dozen calls of a microsecond or two, which wait for each other's
turn in Python. An LSTM of 64 steps, 32 sequences and 128 units, forward and backward, in float32, takes 9.5
ms on one thread, on two 7.6 with halves of the batch and 6.2 so; products alone are 6.5 ms of one thread.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import get_num_threads, kernel, tuning
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy.activation.pointwise import write_selected
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, caller_has_left, parallel
from xpnn.kernels.numpy.products import SMALL_PRODUCT, column_sums, product, size_class

Result = tuple[np.ndarray, ...]
State = Any

# Steps times sequences in a block, at least, and elements of its states: its gates stay in the cache, its
# products are large enough, and the threads seldom wait for each other's turn.
_ROWS = 256
_ELEMENTS = 32 * 1024

# With four threads or more the batch is split, in parts of no less than this many sequences.
_SEQUENCES = 16

# Multiplications in each thread's product of a step from which threads share out the batch and nothing else,
# and the least number of sequences for each.
_WIDE = 4_000_000
_WIDE_SEQUENCES = 8

# Columns of the blocks that the product of a step is cut into.
_BLOCK_COLUMNS = range(128, 15, -1)

# Seconds after which who waits for a block asks whether anybody still works on it.
_PATIENCE = 0.1

# How often a step passes over its gates, products aside.
_PASSES = 6

# Sigmoid gates first, and those that the cell's gradient reaches last: o, i, f, g, out of i, f, g, o.
_LSTM_ORDER = [3, 0, 1, 2]


class Block(NamedTuple):
    """Some steps of some sequences, and a lock that is held until what it waits for is done.

    (An Event, whose waiting is written in Python, would be out of order after a Ctrl-C in the midst of it.)
    """

    times: slice
    part: slice
    unready: threading.Lock


def _has_elements(x: np.ndarray, h0: np.ndarray, *rest: Any, **options: Any) -> bool:
    """Guard: products and blocks of nothing have no sizes to be found from."""
    return bool(x.size and h0.size)


@kernel("numpy", "rnn", when=_has_elements)
def rnn(
    x: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    *,
    nonlinearity: str,
    reverse: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_rnn`."""
    v, b = _step_weights(w_hh.T[None], x.shape[1]), _bias(1, w_ih, b_ih, b_hh)
    states = np.empty((*x.shape[:2], w_hh.shape[1]), dtype=x.dtype)
    zero = np.zeros((), dtype=x.dtype)

    def advance(block: Block, h: np.ndarray) -> np.ndarray:
        of_h = _zeros(h)
        product = _as_blocks(of_h[None], v)
        for z in _in_order(reverse, states[block.times, block.part]):
            np.matmul(h, v, out=product)
            z += of_h
            h = np.tanh(z, out=z) if nonlinearity == "tanh" else np.maximum(z, zero, out=z)
        return h

    _forward(x, w_ih, b, states[:, None], lambda part: h0[part], advance, reverse)
    return states, (x, h0, w_ih, w_hh, states)


@rnn.backward
def _rnn_backward(
    ghs: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, nonlinearity: str, reverse: bool
) -> tuple:
    x, h0, w_ih, w_hh, states = saved
    w = _step_weights(w_hh[None], x.shape[1])
    tanh = nonlinearity == "tanh"
    gz = 1 - states * states if tanh else states.copy()  # what the gradients are made of, as yet

    def retreat(block: Block, gh: np.ndarray) -> np.ndarray:
        product = _as_blocks(gh[None], w)
        for above, step in _in_order(not reverse, ghs[block.times, block.part], gz[block.times, block.part]):
            gh += above
            if tanh:
                step *= gh
            else:
                write_selected(step, step != 0, gh)
            np.matmul(step, w, out=product)
        return gh

    def before(block: Block) -> np.ndarray:
        return _before(states, h0, block, reverse)

    ends, gx, sums = _backward(
        x,
        w_ih,
        gz[:, :, None],
        0,
        needs[0],
        lambda part: _zeros(h0[part]),
        retreat,
        before,
        reverse,
    )
    gw_ih, gw_hh, gb = sums
    return gx, np.concatenate(ends), gw_ih, gw_hh, gb, gb


def _without_projection(x: np.ndarray, h0: np.ndarray, *rest: np.ndarray | None, reverse: bool) -> bool:
    return rest[-1] is None and _has_elements(x, h0)


@kernel("numpy", "lstm", when=_without_projection)
def lstm(
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    w_hr: None,
    *,
    reverse: bool,
) -> tuple[Result, tuple]:
    """The reference's `_lstm`; of a step its gates are kept, and the cells that it started from, (5, N, H).

    s(z) = (1 + tanh(z / 2)) / 2: with the half folded into the weights, one tanh does for all four gates. As
    g and the cells lie side by side, so do i and f, one product makes both terms of the new cells.
    """
    half = np.asarray([0.5, 0.5, 0.5, 1.0], dtype=x.dtype)[:, None, None]
    w, v = (_by_gate(m, 4)[_LSTM_ORDER] * half for m in (w_ih, w_hh))
    v, b = _step_weights(v.mT, x.shape[1]), _bias(4, w_ih, b_ih, b_hh)[_LSTM_ORDER] * half
    states, cells = (np.empty((*x.shape[:2], h0.shape[1]), dtype=x.dtype) for _ in range(2))
    run = np.empty((x.shape[0] + 1, 5, *h0.shape), dtype=x.dtype)
    kept, following = (run[1:], run[:-1]) if reverse else (run[:-1], run[1:])

    def start(part: slice) -> np.ndarray:
        run[-1 if reverse else 0, 4, part] = c0[part]
        return h0[part]

    def advance(block: Block, h: np.ndarray) -> np.ndarray:
        of_h, terms, shown = (np.empty((*some, *h.shape), dtype=h.dtype) for some in ((4,), (2,), ()))
        product, (term_f, term_i), a_half = _as_blocks(of_h, v), terms[::-1], np.asarray(0.5, dtype=h.dtype)
        at, of_block = (block.times, block.part), kept[block.times, :, block.part]
        new_cells = following[block.times, 4, block.part]
        steps = of_block[:, :4], of_block[:, :3], of_block[:, 0], of_block[:, 1:3], of_block[:, 3:]
        for z, sigmoids, o, i_and_f, g_and_c, new_c, new_h in _in_order(
            reverse, *steps, new_cells, states[at]
        ):
            np.matmul(h, v, out=product)
            z += of_h
            np.tanh(z, out=z)
            sigmoids *= a_half
            sigmoids += a_half
            np.multiply(i_and_f, g_and_c, out=terms)
            np.add(term_f, term_i, out=new_c)
            h = np.multiply(o, np.tanh(new_c, out=shown), out=new_h)
        cells[at] = new_cells
        return h

    _forward(x, w.reshape(w_ih.shape), b, kept[:, :4], start, advance, reverse)
    return (states, cells), (x, h0, c0, w_ih, w_hh, states, cells, [kept])


@lstm.backward
def _lstm_backward(gradients: Result, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, c0, w_ih, w_hh, states, cells, (kept,) = saved
    ghs, gcs = gradients
    ghs = np.zeros_like(states) if ghs is None else ghs
    gz = np.empty((*x.shape[:2], 4, h0.shape[1]), dtype=x.dtype)
    w = _step_weights(w_hh[None], x.shape[1])

    def retreat(block: Block, state: Result) -> Result:
        gh, gc = state
        product = _as_blocks(gh[None], w)
        some, at = np.empty_like(gh), (block.times, block.part)
        of_block = kept[block.times, :, block.part]
        factors, slope = _lstm_factors(of_block, cells[at])
        rows = gz[at]
        from_c, from_h = rows[:, :, :3].swapaxes(1, 2), rows[:, :, 3]
        steps = (
            ghs[at], (ghs if gcs is None else gcs)[at], slope, factors[:, 1:], from_c, factors[:, 0], from_h,
            of_block[:, 2], rows.reshape(*rows.shape[:2], -1),
        )  # fmt: skip
        for above_h, above_c, to_c, of_c, g_from_c, of_h, g_from_h, f, step in _in_order(not reverse, *steps):
            gh += above_h
            if gcs is not None:
                gc += above_c
            gc += np.multiply(gh, to_c, out=some)
            np.multiply(of_c, gc, out=g_from_c)
            np.multiply(of_h, gh, out=g_from_h)
            gc *= f
            np.matmul(step, w, out=product)
        return gh, gc

    ends, gx, sums = _backward(
        x, w_ih, gz, 0, needs[0], lambda part: (_zeros(h0[part]), _zeros(c0[part])),
        retreat, lambda block: _before(states, h0, block, reverse), reverse,
    )  # fmt: skip
    gh, gc = (np.concatenate(parts) for parts in zip(*ends))
    gw_ih, gw_hh, gb = sums
    return gx, gh, gc, gw_ih, gw_hh, gb, gb, None


def _lstm_factors(kept: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a block: what the gradient of h, or c, is multiplied by for each gate; and that of h for c."""
    o, i, _, g, before = kept.swapaxes(0, 1)
    factors = scratch("recurrence factors", (len(kept), 4, *cells.shape[1:]), kept.dtype)
    shown = np.tanh(cells, out=scratch("recurrence shown", cells.shape, cells.dtype))
    np.subtract(1, kept[:, :3], out=factors[:, :3])
    factors[:, :3] *= kept[:, :3]
    to_o, to_i, to_f, to_g = factors.swapaxes(0, 1)
    to_o *= shown
    to_i *= g
    to_f *= before
    np.multiply(g, g, out=to_g)
    np.subtract(1, to_g, out=to_g)
    to_g *= i
    shown *= shown
    np.subtract(1, shown, out=shown)
    shown *= o
    return factors, shown


@kernel("numpy", "gru", when=_has_elements)
def gru(
    x: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    *,
    reverse: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_gru`; the gates are kept, (T, 3, N, H), and what the reset gate weighs."""
    half = np.asarray([0.5, 0.5, 1.0], dtype=x.dtype)[:, None, None]
    w, v = (_by_gate(m, 3) * half for m in (w_ih, w_hh))
    v, b, b_h = _step_weights(v.mT, x.shape[1]), _bias(3, w_ih, b_ih), _bias(3, w_ih, b_hh)
    b[:2] += b_h[:2]
    b *= half
    states, olds = (np.empty((*x.shape[:2], h0.shape[1]), dtype=x.dtype) for _ in range(2))
    gates = np.empty((x.shape[0], 3, *h0.shape), dtype=x.dtype)

    def advance(block: Block, h: np.ndarray) -> np.ndarray:
        of_h, at = np.empty((3, *h.shape), dtype=h.dtype), (block.times, block.part)
        product = _as_blocks(of_h, v)
        for z, old, new in _in_order(reverse, gates[block.times, :, block.part], olds[at], states[at]):
            np.matmul(h, v, out=product)
            sigmoids = z[:2]
            sigmoids += of_h[:2]
            np.tanh(sigmoids, out=sigmoids)
            _tanh_to_sigmoid(sigmoids)
            r, u, n = z
            np.add(of_h[2], b_h[2], out=old)
            n += np.multiply(r, old, out=new)
            np.tanh(n, out=n)
            h = np.subtract(h, n, out=new)
            h *= u
            h += n
        return h

    _forward(x, w.reshape(w_ih.shape), b, gates, lambda part: h0[part], advance, reverse)
    return states, (x, h0, w_ih, w_hh, states, [gates, olds])


@gru.backward
def _gru_backward(ghs: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    """The gates' gradients stand in the order n, r, u, n r: those of x are the first three, of h the last."""
    x, h0, w_ih, w_hh, states, (gates, olds) = saved
    size = h0.shape[1]
    gz = np.empty((*x.shape[:2], 4, size), dtype=x.dtype)
    w = _step_weights(w_hh[None], x.shape[1])

    def before(block: Block) -> np.ndarray:
        return _before(states, h0, block, reverse)

    def retreat(block: Block, gh: np.ndarray) -> np.ndarray:
        of_gates, at = np.empty_like(gh), (block.times, block.part)
        product = _as_blocks(of_gates[None], w)
        of_block = gates[block.times, :, block.part]
        steps = ghs[at], _gru_factors(of_block, olds[at], before(block)), of_block[:, 1], gz[at]
        for above, factor, u, step in _in_order(not reverse, *steps):
            gh += above
            np.multiply(factor, gh, out=step.swapaxes(0, 1))
            gh *= u
            np.matmul(step.reshape(len(step), -1)[:, size:], w, out=product)
            gh += of_gates
        return gh

    ends, gx, sums = _backward(
        x, np.roll(w_ih, size, axis=0), gz, size, needs[0], lambda part: _zeros(h0[part]),
        retreat, before, reverse,
    )  # fmt: skip
    gw_ih, gw_hh, gb = sums
    gb_ih = np.roll(gb[: 3 * size], -size)
    return gx, np.concatenate(ends), np.roll(gw_ih, -size, axis=0), gw_hh, gb_ih, gb[size:]


def _gru_factors(gates: np.ndarray, olds: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Of a block: what the gradient of h is multiplied by for n, r, u, and n r, (S, 4, N, H)."""
    r, u, n = gates.swapaxes(0, 1)
    factors = scratch("recurrence factors", (len(gates), 4, *olds.shape[1:]), gates.dtype)
    to_n, to_r, to_u, to_old = factors.swapaxes(0, 1)
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    np.subtract(1, u, out=to_u)
    to_n *= to_u
    to_u *= u
    to_u *= before - n
    np.multiply(to_n, r, out=to_old)
    np.subtract(1, r, out=to_r)
    to_r *= to_old
    to_r *= olds
    return factors


def _is_one_step(x: np.ndarray, h0: np.ndarray, *rest: Any, **options: Any) -> bool:
    return len(x) == 1 and _has_elements(x, h0)


@kernel("numpy", "gru", when=_is_one_step, priority=1)
def gru_step(
    x: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    *,
    reverse: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_gru` for one step, as decoders take them: with the weights as they lie in memory."""
    size = h0.shape[1]
    gates, of_h = product(x[0], w_ih.T, bias=b_ih), product(h0, w_hh.T, bias=b_hh)
    old = of_h[:, 2 * size :]
    sigmoids, n = gates[:, : 2 * size], gates[:, 2 * size :]
    sigmoids += of_h[:, : 2 * size]
    sigmoids *= 0.5
    np.tanh(sigmoids, out=sigmoids)
    _tanh_to_sigmoid(sigmoids)
    r, u = sigmoids[:, :size], sigmoids[:, size:]
    state = np.multiply(r, old)
    n += state
    np.tanh(n, out=n)
    np.subtract(h0, n, out=state)
    state *= u
    state += n
    return state[None], (x, h0, w_ih, w_hh, gates, old)


@gru_step.backward
def _gru_step_backward(ghs: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, w_ih, w_hh, gates, old = saved
    (gh,), size = ghs, h0.shape[1]
    r, u, n = (gates[:, k * size : (k + 1) * size] for k in range(3))
    gz = np.empty_like(gates)  # of the gates; where they come from h, that of n is multiplied by r besides
    to_r, to_u, to_n = (gz[:, k * size : (k + 1) * size] for k in range(3))
    kept = gh * u
    np.subtract(gh, kept, out=to_n)  # what the new gate gets
    np.subtract(h0, n, out=to_u)
    to_u *= to_n
    to_u *= u
    part = n * n
    np.subtract(1, part, out=part)
    to_n *= part
    np.subtract(1, r, out=to_r)
    to_r *= r
    to_r *= old
    to_r *= to_n
    gx = product(gz, w_ih)[None] if needs[0] else None
    gw_ih, gb_ih = product(gz.T, x[0]), column_sums(gz)
    to_n *= r
    kept += product(gz, w_hh)
    return gx, kept, gw_ih, product(gz.T, h0), gb_ih, column_sums(gz)


def _by_gate(w: np.ndarray, gates: int) -> np.ndarray:
    """(gates * H, K) as (gates, H, K)."""
    return w.reshape(gates, -1, w.shape[1])


def _step_weights(w: np.ndarray, batch: int) -> np.ndarray:
    """Weights (gates, K, H) by which each step multiplies, in blocks of columns: (gates, blocks, K, columns).

    OpenBLAS has code for small products, which leaves out the copies of the large ones.
    """
    gates, inner, size = w.shape
    rows = -(-batch // _parts(batch, w.size)[0])
    if rows * inner * size <= SMALL_PRODUCT or rows < 2:
        return _in_blocks(w, size)
    columns = [c for c in _BLOCK_COLUMNS if size % c == 0 and rows * inner * c <= SMALL_PRODUCT]
    if not columns:
        return _in_blocks(w, size)
    question = size_class("step", (rows, inner, gates * size), "nn", w.dtype)
    way = tuning.chosen(question) or _choose(question, w, {"whole": size, "blocks": columns[0]}, rows)
    return _in_blocks(w, size if way == "whole" else columns[0])


def _choose(question: str, w: np.ndarray, columns: dict[str, int], rows: int) -> str:
    """Which blocks of so many columns are multiplied fastest, measured with them."""
    gates, inner, size = w.shape
    h, out = (np.zeros(shape, dtype=w.dtype) for shape in ((rows, inner), (gates, rows, size)))

    def multiply(blocks: np.ndarray) -> np.ndarray:
        return single_threaded_blas(np.matmul, h, blocks, out=_as_blocks(out, blocks))

    ways = {name: functools.partial(multiply, _in_blocks(w, some)) for name, some in columns.items()}
    return tuning.choose(question, ways)


def _in_blocks(w: np.ndarray, columns: int) -> np.ndarray:
    return np.ascontiguousarray(w.reshape(*w.shape[:2], -1, columns).swapaxes(1, 2))


def _as_blocks(products: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The view of products (gates, N, H) into which `np.matmul` multiplies by `_step_weights`."""
    return products.reshape(*products.shape[:2], w.shape[1], w.shape[3]).swapaxes(1, 2)


def _zeros(like: np.ndarray) -> np.ndarray:
    return np.zeros(like.shape, dtype=like.dtype)


def _bias(gates: int, w: np.ndarray, *biases: np.ndarray | None) -> np.ndarray:
    """The sum of biases as (gates, 1, H), of those that there are."""
    total = np.zeros(len(w), dtype=w.dtype)
    for b in biases:
        if b is not None:
            total += b
    return total.reshape(gates, 1, -1)


def _tanh_to_sigmoid(z: np.ndarray) -> None:
    z *= 0.5
    z += 0.5


def _forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    gates: np.ndarray,
    start: Callable[[slice], State],
    advance: Callable[[Block, State], State],
    reverse: bool,
) -> None:
    """Fill `gates`, (T, gates, N, H), with W x + b, and `advance` the state of each part block by block.

    The bias is a last row of the weights, for a last input of ones: all that a block needs is one call of
    NumPy's, that writes the products of each step and gate to where they belong. The more calls, the longer
    the two threads wait for each other's turn in Python.
    """
    _, count, batch, size = gates.shape
    features = x.shape[2]
    parts, helped = _parts(batch, count * size * size)
    helped = helped and _several_blocks(x, size)
    bulk, walk = w.size * MULTIPLICATION, count * size * (size * MULTIPLICATION + _PASSES)
    weights = np.empty((count, features + 1, size), dtype=w.dtype)
    weights[:, :features] = w.reshape(count, size, features).mT
    weights[:, features:] = b

    def project(blocks: list[Block]) -> None:
        for block in blocks:
            inputs = x[block.times, block.part]
            rows = scratch("recurrence inputs", (*inputs.shape[:2], features + 1), x.dtype)
            rows[..., :features] = inputs
            rows[..., features:] = 1
            products = gates[block.times, :, block.part]
            if batch == 1:  # all steps are one product
                rows, products = rows.swapaxes(0, 1), products.swapaxes(0, 2)
            np.matmul(rows[:, None], weights, out=products)
            _make_ready(block)

    def own(blocks: list[Block]) -> int:
        return len(blocks) - (_helped(blocks, bulk, walk) if helped else 0)

    def help_out(blocks: list[Block]) -> None:
        project(blocks[own(blocks) :])

    def run(blocks: list[Block]) -> None:
        project(blocks[: own(blocks)])
        state = start(blocks[0].part)
        for block in blocks:
            _wait_for(block)
            state = advance(block, state)

    work = len(x) * batch * (bulk + walk)
    _side_by_side([help_out, run] if helped else [run], _blocks(x, size, parts, helped, reverse), work)


def _backward(
    x: np.ndarray,
    w: np.ndarray,
    gz: np.ndarray,
    skipped: int,
    needs_x: bool,
    start: Callable[[slice], State],
    retreat: Callable[[Block, State], State],
    before: Callable[[Block], np.ndarray],
    reverse: bool,
) -> tuple[list[State], np.ndarray | None, list[np.ndarray]]:
    """Let `retreat` fill `gz`, (T, N, gates, H), block by block, and find from it the other gradients.

    Args:
        skipped: of the columns of gz the last so many do not belong to x, the first to h.
        before: gives the states from which the steps of a block started.

    Returns: the gradients of the first states, part by part; of x; and of W_ih, W_hh, and the biases.
    """
    columns = gz.shape[2] * gz.shape[3]
    size = gz.shape[3]
    parts, helped = _parts(x.shape[1], (columns - skipped) * size)
    helped = helped and _several_blocks(x, size)
    gx = np.empty(x.shape, dtype=x.dtype) if needs_x else None
    bulk = columns * (x.shape[2] * (1 + needs_x) + size) * MULTIPLICATION
    walk = columns * (size * MULTIPLICATION + _PASSES)

    def pull_back(blocks: list[Block]) -> list[np.ndarray]:
        sums: list[np.ndarray] = []
        for block in blocks:
            _wait_for(block)
            rows = gz[block.times, block.part].reshape(-1, columns)
            of_x, of_h = rows[:, : columns - skipped], rows[:, skipped:]
            inputs = x[block.times, block.part]
            products = of_x.T @ inputs.reshape(len(rows), -1), of_h.T @ before(block).reshape(len(rows), -1)
            ones = np.ones(len(rows), dtype=rows.dtype)  # a product with it: the sum, four times as fast
            _add_to(sums, *products, ones @ rows)
            if gx is not None:
                target = gx[block.times, block.part]
                if target.flags.c_contiguous:
                    np.matmul(of_x, w, out=target.reshape(len(rows), -1))
                else:
                    target[...] = np.matmul(of_x, w).reshape(inputs.shape)
        return sums

    def run(blocks: list[Block]) -> tuple[State, list[np.ndarray]]:
        state = start(blocks[0].part)
        for block in blocks:
            state = retreat(block, state)
            _make_ready(block)
        return state, pull_back(blocks[others(blocks) :])

    def help_out(blocks: list[Block]) -> list[np.ndarray]:
        return pull_back(blocks[: others(blocks)])

    def others(blocks: list[Block]) -> int:
        return _helped(blocks, bulk, walk) if helped else 0

    work = x.shape[0] * x.shape[1] * (bulk + walk)
    results = _side_by_side(
        [run, help_out] if helped else [run], _blocks(x, size, parts, helped, reverse, backward=True), work
    )
    walked = results[:parts]
    sums = [several for several in [s for _, s in walked] + results[parts:] if several]
    return [state for state, _ in walked], gx, [functools.reduce(np.add, arrays) for arrays in zip(*sums)]


def _parts(batch: int, multiplications: int) -> tuple[int, bool]:
    """Into how many parts the batch is split, and whether each has a thread besides the one that walks.

    It has not where the product of a step alone, of so many multiplications for a sequence, keeps a thread
    busy for long: then the walk is most of the work, and threads hardly wait for each other's turn.
    """
    threads = min(get_num_threads(), batch // _WIDE_SEQUENCES)
    if threads > 1 and batch // threads * multiplications >= _WIDE:
        return threads, False
    return max(min(get_num_threads() // 2, batch // _SEQUENCES), 1), True


def _rows_of_a_block(size: int) -> int:
    """Steps times sequences, of H units each."""
    return max(_ROWS, _ELEMENTS // max(size, 1))


def _several_blocks(x: np.ndarray, size: int) -> bool:
    """Whether there is enough for a second thread to do while the first one walks."""
    return x.shape[0] * x.shape[1] >= 2 * _rows_of_a_block(size)


def _blocks(
    x: np.ndarray, size: int, parts: int, helped: bool, reverse: bool, backward: bool = False
) -> list[list[Block]]:
    """For each part of the batch its blocks of steps, in the order of the forward or of the backward.

    With a helper the steps that are first in the forward are a small block of their own: that thread waits
    for its products, and in the backward the helper is left with them at the end. It gains a twentieth.
    """
    steps, batch, _ = x.shape
    length = max(_rows_of_a_block(size) * parts // max(batch, 1), 1)
    first = {min(max(length // 4, 1), steps)} if helped else set()
    bounds = sorted({0, *first, *range(length, steps, length), steps})
    times = [slice(first, last) for first, last in itertools.pairwise(bounds)]
    if reverse:
        times = [slice(steps - at.stop, steps - at.start) for at in times]
    bounds = [k * batch // parts for k in range(parts + 1)]
    return [
        [Block(at, slice(first, last), _held_lock()) for at in (times[::-1] if backward else times)]
        for first, last in itertools.pairwise(bounds)
    ]


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _helped(blocks: list[Block], bulk: float, walk: float) -> int:
    """How many blocks' products the helper makes, so that both threads are done at the same time."""
    return max(1, min(len(blocks), round(len(blocks) * (bulk + walk) / (2 * max(bulk, 1)))))


def _side_by_side(
    functions: Sequence[Callable[[list[Block]], Any]], parts: list[list[Block]], work: float
) -> list[Any]:
    """The functions with the blocks of each part, at the same time or one after the other; the results.

    One may wait for a block that the other sets ready. If one fails, nobody waits any more.
    """
    calls = [(function, blocks) for function in functions for blocks in parts]

    def run(which: slice) -> list[Any]:
        results = []
        for function, blocks in calls[which]:
            try:
                results.append(function(blocks))
            except BaseException:
                for block in blocks:
                    _make_ready(block)
                raise
        return results

    return [result for several in parallel(run, len(calls), work) for result in several]


def _wait_for(block: Block) -> None:
    """Until the other thread has made the block ready; unless that was interrupted, and never will."""
    while not block.unready.acquire(timeout=_PATIENCE):
        if caller_has_left() and not block.unready.acquire(blocking=False):
            raise RuntimeError("the calling thread was interrupted")


def _make_ready(block: Block) -> None:
    with contextlib.suppress(RuntimeError):  # it is ready already
        block.unready.release()


def _in_order(reverse: bool, *arrays: np.ndarray) -> Iterator[Any]:
    """What the arrays of a block hold for each of its steps, views, in the order in which time runs."""
    turned = [a[::-1] if reverse else a for a in arrays]
    return zip(*turned) if len(turned) > 1 else iter(turned[0])


def _before(states: np.ndarray, first: np.ndarray, block: Block, reverse: bool) -> np.ndarray:
    """For each step of a block the state that it started from."""
    start, stop, part = block.times.start, block.times.stop, block.part
    if reverse:
        last = first[None, part] if stop == len(states) else states[stop : stop + 1, part]
        return np.concatenate([states[start + 1 : stop, part], last])
    last = first[None, part] if start == 0 else states[start - 1 : start, part]
    return np.concatenate([last, states[start : stop - 1, part]])


def _add_to(sums: list[np.ndarray], *parts: np.ndarray) -> None:
    if not sums:
        sums.extend(parts)
        return
    for total, part in zip(sums, parts):
        total += part
