"""Recurrences in NumPy: what the inputs bring to the gates is found before the first step, for all of them,
and the gradients of the weights after the last.

These products are large, and threads share them out. The steps between are a dozen calls of a microsecond or
two each, which one thread makes: two would wait for each other's turn in Python, and wake up later than the
call takes. Only where the product of a step keeps threads busy for long has each its part of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xpnn.backend import get_num_threads, kernel, tuning
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy.constants import ones
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, WORTHWHILE, parallel
from xpnn.kernels.numpy.products import SMALL_PRODUCT, column_sums, product, size_class
from xpnn.kernels.numpy.programs import write_selected

Result = tuple[np.ndarray, ...]

# Steps times sequences whose inputs are projected at a time, and elements of the states whose local
# derivatives are found at a time: both stay in the cache.
_ROWS = 256
_ELEMENTS = 16 * 1024

# Multiplications in each thread's product of a step from which threads share out the batch, and the least
# number of sequences for each.
_WIDE = 4_000_000
_WIDE_SEQUENCES = 8

# Work on the products of all inputs, or on the gradients of the weights, from which half of it is done while
# the steps go on.
_OVERLAPPED = 2 * WORTHWHILE

# Columns of the blocks that the product of a step is cut into.
_BLOCK_COLUMNS = range(128, 15, -1)

# Which gates of the weights come in which order, and what they are multiplied by: with the half in the
# weights of a sigmoid, s(z) = (1 + tanh(z / 2)) / 2, one tanh does for all gates.
Gates = dict[int, float]

# Of i, f, g, o the sigmoids first, and those that the cell's gradient reaches last: o, i, f, g.
_LSTM_GATES = {3: 0.5, 0: 0.5, 1: 0.5, 2: 1.0}
_GRU_GATES = {0: 0.5, 1: 0.5, 2: 1.0}


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

    def advance(part: slice, times: slice) -> None:
        h = _start(states, h0, reverse, times)[part]
        of_h = np.empty_like(h)
        product = _as_blocks(of_h[None], v)
        for z in _in_order(reverse, states[times, part]):
            np.matmul(h, v, out=product)
            z += of_h
            h = np.tanh(z, out=z) if nonlinearity == "tanh" else np.maximum(z, zero, out=z)

    _forward(x, w_ih, b, states[:, None], advance, reverse)
    return states, (x, h0, w_ih, w_hh, states)


@rnn.backward
def _rnn_backward(
    ghs: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, nonlinearity: str, reverse: bool
) -> tuple:
    x, h0, w_ih, w_hh, states = saved
    w = _step_weights(w_hh[None], x.shape[1])
    tanh = nonlinearity == "tanh"
    gz = 1 - states * states if tanh else states.copy()  # what the gradients are made of, as yet

    gh0 = _zeros(h0)

    def retreat(part: slice, times: slice) -> None:
        gh = gh0[part]
        product = _as_blocks(gh[None], w)
        for above, step in _in_order(not reverse, ghs[times, part], gz[times, part]):
            gh += above
            if tanh:
                step *= gh
            else:
                write_selected(step, step != 0, gh)
            np.matmul(step, w, out=product)

    gx, *of_weights = _backward(
        x,
        w_ih,
        gz[:, :, None],
        0,
        functools.partial(_before, states, h0, reverse),
        retreat,
        reverse,
        needs[0],
    )
    return gx, gh0, *of_weights


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

    As g and the cells lie side by side, and so do i and f, one product makes both terms of the new cells.
    """
    v = _step_weights(_by_gate(w_hh, 4).mT, x.shape[1], _LSTM_GATES)
    b = _bias(4, w_ih, b_ih, b_hh)
    states, cells = (np.empty((*x.shape[:2], h0.shape[1]), dtype=x.dtype) for _ in range(2))
    run = np.empty((x.shape[0] + 1, 5, *h0.shape), dtype=x.dtype)
    kept, following = (run[1:], run[:-1]) if reverse else (run[:-1], run[1:])

    run[-1 if reverse else 0, 4] = c0

    def advance(part: slice, times: slice) -> None:
        h = _start(states, h0, reverse, times)[part]
        of_h, terms, shown = (np.empty((*some, *h.shape), dtype=h.dtype) for some in ((4,), (2,), ()))
        product, (term_f, term_i), a_half = _as_blocks(of_h, v), terms[::-1], np.asarray(0.5, dtype=h.dtype)
        gates, new_cells = kept[times, :, part], following[times, 4, part]
        steps = gates[:, :4], gates[:, :3], gates[:, 0], gates[:, 1:3], gates[:, 3:]
        for z, sigmoids, o, i_and_f, g_and_c, new_c, new_h in _in_order(
            reverse, *steps, new_cells, states[times, part]
        ):
            np.matmul(h, v, out=product)
            z += of_h
            np.tanh(z, out=z)
            sigmoids *= a_half
            sigmoids += a_half
            np.multiply(i_and_f, g_and_c, out=terms)
            np.add(term_f, term_i, out=new_c)
            h = np.multiply(o, np.tanh(new_c, out=shown), out=new_h)
        cells[times, part] = new_cells

    _forward(x, w_ih, b, kept[:, :4], advance, reverse, _LSTM_GATES)
    return (states, cells), (x, h0, c0, w_ih, w_hh, states, cells, [kept])


@lstm.backward
def _lstm_backward(gradients: Result, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, c0, w_ih, w_hh, states, cells, (kept,) = saved
    ghs, gcs = gradients
    ghs = np.zeros_like(states) if ghs is None else ghs
    gz = np.empty((*x.shape[:2], 4, h0.shape[1]), dtype=x.dtype)
    w = _step_weights(w_hh[None], x.shape[1])

    gh0, gc0 = _zeros(h0), _zeros(c0)

    def retreat(part: slice, times: slice) -> None:
        gh, gc = gh0[part], gc0[part]
        product, some = _as_blocks(gh[None], w), np.empty_like(gh)
        for block in _backwards(times, gh.size, reverse):
            at = block, part
            gates, rows = kept[block, :, part], gz[at]
            factors, slope = _lstm_factors(gates, cells[at])
            from_c, from_h = rows[:, :, :3].swapaxes(1, 2), rows[:, :, 3]
            steps = (
                ghs[at], (ghs if gcs is None else gcs)[at], slope, factors[:, 1:], from_c, factors[:, 0],
                from_h, gates[:, 2], rows.reshape(*rows.shape[:2], -1),
            )  # fmt: skip
            for above_h, above_c, to_c, of_c, g_from_c, of_h, g_from_h, f, step in _in_order(
                not reverse, *steps
            ):
                gh += above_h
                if gcs is not None:
                    gc += above_c
                gc += np.multiply(gh, to_c, out=some)
                np.multiply(of_c, gc, out=g_from_c)
                np.multiply(of_h, gh, out=g_from_h)
                gc *= f
                np.matmul(step, w, out=product)

    gx, *of_weights = _backward(
        x, w_ih, gz, 0, functools.partial(_before, states, h0, reverse), retreat, reverse, needs[0]
    )
    return gx, gh0, gc0, *of_weights, None


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
    v = _step_weights(_by_gate(w_hh, 3).mT, x.shape[1], _GRU_GATES)
    b, b_h = _bias(3, w_ih, b_ih), _bias(3, w_ih, b_hh)
    b[:2] += b_h[:2]
    states, olds = (np.empty((*x.shape[:2], h0.shape[1]), dtype=x.dtype) for _ in range(2))
    gates = np.empty((x.shape[0], 3, *h0.shape), dtype=x.dtype)

    def advance(part: slice, times: slice) -> None:
        h = _start(states, h0, reverse, times)[part]
        of_h = np.empty((3, *h.shape), dtype=h.dtype)
        product = _as_blocks(of_h, v)
        for z, old, new in _in_order(reverse, gates[times, :, part], olds[times, part], states[times, part]):
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

    _forward(x, w_ih, b, gates, advance, reverse, _GRU_GATES)
    return states, (x, h0, w_ih, w_hh, states, [gates, olds])


@gru.backward
def _gru_backward(ghs: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    """The gates' gradients stand in the order n, r, u, n r: those of x are the first three, of h the last."""
    x, h0, w_ih, w_hh, states, (gates, olds) = saved
    size = h0.shape[1]
    gz = np.empty((*x.shape[:2], 4, size), dtype=x.dtype)
    w = _step_weights(w_hh[None], x.shape[1])

    before, gh0 = functools.partial(_before, states, h0, reverse), _zeros(h0)

    def retreat(part: slice, times: slice) -> None:
        gh = gh0[part]
        of_gates = np.empty_like(gh)
        product = _as_blocks(of_gates[None], w)
        for block in _backwards(times, gh.size, reverse):
            at = block, part
            of_block = gates[block, :, part]
            steps = ghs[at], _gru_factors(of_block, olds[at], before(block)[:, part]), of_block[:, 1], gz[at]
            for above, factor, u, step in _in_order(not reverse, *steps):
                gh += above
                np.multiply(factor, gh, out=step.swapaxes(0, 1))
                gh *= u
                np.matmul(step.reshape(len(step), -1)[:, size:], w, out=product)
                gh += of_gates

    gx, gw_ih, gw_hh, gb_ih, gb_hh = _backward(
        x, np.roll(w_ih, size, axis=0), gz, size, before, retreat, reverse, needs[0]
    )
    gw_ih, gb_ih = (np.roll(g, -size, axis=0) for g in (gw_ih, gb_ih))
    return gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh


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


def _step_weights(w: np.ndarray, batch: int, gates: Gates | None = None) -> np.ndarray:
    """Weights (gates, K, H) by which each step multiplies, in blocks of columns: (gates, blocks, K, columns).

    OpenBLAS has code for small products, which leaves out the copies of the large ones.
    """
    columns = _step_columns(w, batch)
    blocks = w.reshape(*w.shape[:2], -1, columns).swapaxes(1, 2)
    return _in_order_of(gates or _as_they_are(w), blocks, np.empty(blocks.shape, dtype=w.dtype))


def _step_columns(w: np.ndarray, batch: int) -> int:
    """How many columns a block has for which the product of a step is fastest."""
    _, inner, size = w.shape
    rows = -(-batch // _walking(batch, w.size))
    if rows * inner * size <= SMALL_PRODUCT or rows < 2:
        return size
    columns = [c for c in _BLOCK_COLUMNS if size % c == 0 and rows * inner * c <= SMALL_PRODUCT]
    if not columns:
        return size
    question = size_class("step", (rows, inner, w.shape[0] * size), "nn", w.dtype)
    way = tuning.chosen(question) or _choose(question, w, {"whole": size, "blocks": columns[0]}, rows)
    return size if way == "whole" else columns[0]


def _choose(question: str, w: np.ndarray, columns: dict[str, int], rows: int) -> str:
    """Which blocks of so many columns are multiplied fastest, measured with them."""
    gates, inner, size = w.shape
    h, out = (np.zeros(shape, dtype=w.dtype) for shape in ((rows, inner), (gates, rows, size)))

    def multiply(blocks: np.ndarray) -> np.ndarray:
        return single_threaded_blas(np.matmul, h, blocks, out=_as_blocks(out, blocks))

    ways = {
        name: functools.partial(multiply, np.zeros((gates, size // some, inner, some), dtype=w.dtype))
        for name, some in columns.items()
    }
    return tuning.choose(question, ways)


def _as_they_are(w: np.ndarray) -> Gates:
    return dict.fromkeys(range(len(w)), 1.0)


def _in_order_of(gates: Gates, w: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The gates' weights (gates, ...) in their order, multiplied by their factors, in `out`."""
    for place, (gate, factor) in enumerate(gates.items()):
        if factor == 1:
            out[place] = w[gate]
        else:
            np.multiply(w[gate], factor, out=out[place])
    return out


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
    advance: Callable[[slice, slice], None],
    reverse: bool,
    order: Gates | None = None,
) -> None:
    """Fill `gates`, (T, gates, N, H), with W x + b, and `advance` each part of the batch through some steps.

    While one thread takes the first half of the steps, another one has the inputs of the second half.

    The bias is a last row of the weights, for a last input of ones: one call of NumPy's writes the products
    of some steps and all gates to where they belong.
    """
    steps, count, batch, size = gates.shape
    features = x.shape[2]
    weights = np.empty((count, features + 1, size), dtype=w.dtype)
    order = order or _as_they_are(weights)
    _in_order_of(order, _by_gate(w, count).mT, weights[:, :features])
    _in_order_of(order, b, weights[:, features:])

    def project(times: slice, part: slice) -> None:
        length = max(_ROWS // max(part.stop - part.start, 1), 1)
        if batch == 1:  # all steps are one product
            length = steps
        for first in range(times.start, times.stop, length):
            block = slice(first, min(first + length, times.stop))
            inputs = x[block, part]
            rows = scratch("recurrence inputs", (*inputs.shape[:2], features + 1), x.dtype)
            rows[..., :features] = inputs
            rows[..., features:] = 1
            products = gates[block, :, part]
            if batch == 1:
                rows, products = rows.swapaxes(0, 1), products.swapaxes(0, 2)
            np.matmul(rows[:, None], weights, out=products)

    work = steps * batch * w.size * MULTIPLICATION
    whole = slice(0, batch)
    if _walking(batch, count * size * size) > 1:
        every = slice(0, steps)

        def project_and_advance(part: slice) -> None:
            project(every, part)
            advance(part, every)

        _walk(project_and_advance, batch, count * size * size, steps)
        return
    first, second = _halves(steps, work, reverse)
    _share_out(lambda times: project(times, whole), first, work * (first.stop - first.start) / steps)
    if second is not None:
        _at_once(lambda: project(second, whole), lambda: advance(whole, first), work)
    single_threaded_blas(advance, whole, second or first)


def _backward(
    x: np.ndarray,
    w: np.ndarray,
    gz: np.ndarray,
    skipped: int,
    before: Callable[[slice], np.ndarray],
    retreat: Callable[[slice, slice], None],
    reverse: bool,
    needs_x: bool,
) -> tuple[Any, ...]:
    """Let `retreat` fill `gz`, (T, N, gates, H), and find the gradients from it.

    While one thread is at the second half of the steps, another one has the products of the first half.

    Args:
        skipped: of the columns of gz the last so many do not belong to x, the first to h.
        before: gives the states from which some steps started, (T, N, H).
        retreat: takes a part of the batch through some steps, and goes on from there when it is called again.

    Returns: the gradients of x, of W_ih, of W_hh, and of the biases of both.
    """
    columns, size = gz.shape[2] * gz.shape[3], gz.shape[3]
    count = columns - skipped
    steps, batch, _ = x.shape
    gx = np.empty(x.shape, dtype=x.dtype) if needs_x else None

    def pull_back(times: slice) -> list[np.ndarray]:
        """Of some steps: what they add to the gradients of the weights; and the gradient of x."""
        rows = gz[times].reshape(-1, columns)
        of_x, of_h = rows[:, :count], rows[:, skipped:]
        inputs, states = (a.reshape(len(rows), -1) for a in (x[times], before(times)))
        if gx is not None:
            np.matmul(of_x, w, out=gx[times].reshape(len(rows), -1))
        one = ones(len(rows), rows.dtype)  # a product with it: the sum, four times as fast
        return [of_x.T @ inputs, of_h.T @ states, one @ rows]

    work = gz.size * (x.shape[2] * (1 + needs_x) + size) * MULTIPLICATION
    whole, sums = slice(0, batch), []
    if _walking(batch, count * size) > 1:
        left = slice(0, steps)
        _walk(lambda part: retreat(part, left), batch, count * size, steps)
    else:
        first, second = _halves(steps, work, not reverse)
        single_threaded_blas(retreat, whole, first)
        if second is not None:
            sums.append(_at_once(lambda: pull_back(first), lambda: retreat(whole, second), work))
        left = second or first
    sums += _share_out(pull_back, left, work * (left.stop - left.start) / steps)
    gw_ih, gw_hh, gb = (functools.reduce(np.add, several) for several in zip(*sums))
    return gx, gw_ih, gw_hh, gb[:count], gb[skipped:]


def _halves(steps: int, work: float, descending: bool) -> tuple[slice, slice | None]:
    """Halves of the steps in the order that they are taken in; all steps where threads do not pay."""
    if get_num_threads() == 1 or steps == 1 or work < _OVERLAPPED:
        return slice(0, steps), None
    low, high = slice(0, steps // 2), slice(steps // 2, steps)
    return (high, low) if descending else (low, high)


def _share_out(function: Callable[[slice], Any], times: slice, work: float) -> list[Any]:
    """`parallel` over some steps."""
    start = times.start
    return parallel(
        lambda part: function(slice(start + part.start, start + part.stop)), times.stop - start, work
    )


def _at_once(first: Callable[[], Any], second: Callable[[], None], work: float) -> Any:
    """Call both, at the same time where there is a thread for it; what the first one returns."""
    calls = [first, second]
    results = parallel(lambda which: [call() for call in calls[which]], 2, work)
    return results[0][0]


def _walk(function: Callable[[slice], None], batch: int, multiplications: int, steps: int) -> None:
    """Call it with the batch, or at the same time with the parts of it that threads walk (see `_walking`)."""
    threads = _walking(batch, multiplications)
    if threads == 1:
        single_threaded_blas(function, slice(0, batch))
    else:
        work = steps * batch * multiplications * MULTIPLICATION
        parallel(function, batch, work, align=-(-batch // threads))


def _walking(batch: int, multiplications: int) -> int:
    """How many threads take the steps, each of its part of the batch.

    One, unless the product of a step, of so many multiplications for a sequence, keeps each of them busy for
    long: then threads hardly wait for each other's turn.
    """
    threads = min(get_num_threads(), batch // _WIDE_SEQUENCES)
    return threads if threads > 1 and batch // threads * multiplications >= _WIDE else 1


def _backwards(times: slice, elements: int, reverse: bool) -> Iterator[slice]:
    """Blocks of some steps in the order of the backward, by the elements of a state."""
    length = max(_ELEMENTS // max(elements, 1), 1)
    start, stop = times.start, times.stop
    for first in range(0, stop - start, length):
        last = min(first + length, stop - start)
        yield slice(start + first, start + last) if reverse else slice(stop - last, stop - first)


def _in_order(reverse: bool, *arrays: np.ndarray) -> Iterator[Any]:
    """What the arrays of a block hold for each of its steps, views, in the order in which time runs."""
    turned = [a[::-1] if reverse else a for a in arrays]
    return zip(*turned) if len(turned) > 1 else iter(turned[0])


def _start(states: np.ndarray, first: np.ndarray, reverse: bool, times: slice) -> np.ndarray:
    """The state that the first of some steps starts from."""
    if reverse:
        return first if times.stop == len(states) else states[times.stop]
    return first if times.start == 0 else states[times.start - 1]


def _before(states: np.ndarray, first: np.ndarray, reverse: bool, times: slice) -> np.ndarray:
    """For each of some steps the state that it started from."""
    start, stop = times.start, times.stop
    if reverse:
        return (
            states[start + 1 : stop + 1]
            if stop < len(states)
            else np.concatenate([states[start + 1 :], first[None]])
        )
    return states[start - 1 : stop - 1] if start else np.concatenate([first[None], states[: stop - 1]])
