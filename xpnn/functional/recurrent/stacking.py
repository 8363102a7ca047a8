"""Recurrences in layers and directions, over sequences of one length or of several."""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_flags,
    check_floating,
    check_probability,
    check_rank,
    check_same_dtype,
    check_shape,
    raw_array,
    shape_of,
    whole,
)
from xpnn.functional.dropout import dropout as drop
from xpnn.functional.recurrent.lengths import Places
from xpnn.functional.recurrent.recurrence import Arrays, Recurrence, Weights


def run_layers(
    recurrence: Recurrence,
    subject: str,
    gates: int,
    input: Any,
    hx: Arrays,
    params: Arrays,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lengths: Any,
    more: tuple[str, ...] = (),
) -> Any:
    """The output of the last layer, and the last value of each of the states, layer by layer.

    Args:
        recurrence: what every layer runs.
        gates: how many times the state's size the weights have in rows.
        hx: the first value of each state, (layers * directions, N, H), or None for zeros.
        more: the names in `Weights` of the params that follow the usual ones.
        input, params, ...: as in `functional.rnn_tanh`.

    Raises: as `functional.rnn_tanh`.
    """
    check_flags(
        subject, has_biases=has_biases, train=train, bidirectional=bidirectional, batch_first=batch_first
    )
    directions = 2 if bidirectional else 1
    check_floating(input, subject)
    check_rank(input, 3, subject, "N, T, features" if batch_first else "T, N, features")
    check_probability(dropout, subject, "dropout")
    x = _swap(input) if batch_first else input
    if x.shape[0] == 0:
        raise ShapeError(
            f"expects a sequence of one step or more, got an input of shape {shape_of(input)}",
            subject=subject,
        )
    num_layers = whole(num_layers, "num_layers", subject)
    weights = _by_direction(params, num_layers * directions, has_biases, more, len(hx) > 1, subject)
    places = None if lengths is None else Places(x, lengths, subject)
    if places is not None:
        x = places.without_padding(x)
    first = [_first_states(h, x, weights, which == 0, subject) for which, h in enumerate(hx)]
    last: list[Any] = []
    for layer in range(num_layers):
        if layer > 0:
            x = drop(x, dropout, train)
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            _check_weights(weights[k], x, gates, subject)
            states = [h[k, ...] for h in first]
            run = _run if places is None else places.run
            output, ends = run(recurrence, x, states, weights[k], direction == 1)
            outputs.append(output)
            last.append(ends)
        x = outputs[0] if directions == 1 else namespace(*outputs).concat(outputs, axis=-1)
    if places is not None:
        x = places.without_padding(x)
    stacked = [namespace(*ends).stack(list(ends), axis=0) for ends in zip(*last)]
    return (_swap(x) if batch_first else x), *stacked


def run_step(
    recurrence: Recurrence,
    subject: str,
    gates: int,
    input: Any,
    hx: Arrays,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any | None,
    b_hh: Any | None,
    **more: Any,
) -> tuple[Any, ...]:
    """One step of a recurrence: (N, I) and the states (N, H) to the new states."""
    check_floating(input, subject)
    check_rank(input, 2, subject, "N, features")
    weights = Weights(w_ih, w_hh, b_ih, b_hh, **more)
    _check_ranks(weights, subject)
    x = input[None, ...]
    _check_weights(weights, x, gates, subject)
    for h in hx:
        check_shape(h, (input.shape[0], w_hh.shape[1]), subject, "hx")
        check_same_dtype(subject, input, hx=h)
    states = [_zeros(x, w_hh.shape[1]) if h is None else h for h in hx]
    return tuple(s[0, ...] for s in recurrence(x, states, weights, False))


def _run(
    recurrence: Recurrence, x: Any, states: Arrays, weights: Weights, reverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    """A layer in one direction: its output, and its states after the last step."""
    results = recurrence(x, states, weights, reverse)
    end = 0 if reverse else -1
    return results[0], tuple(s[end, ...] for s in results)


def _swap(x: Any) -> Any:
    """Between time first and batch first."""
    return namespace(x).permute_dims(x, (1, 0, 2))


def _zeros(x: Any, *sizes: int) -> Any:
    """(*sizes[:-1], N, sizes[-1]) zeros for an x of (T, N, I)."""
    raw = raw_array(x)
    shape = (*sizes[:-1], raw.shape[1], sizes[-1])
    return namespace(raw).zeros(shape, dtype=raw.dtype, device=device_of(raw))


def _first_states(h: Any | None, x: Any, weights: list[Weights], is_output: bool, subject: str) -> Any:
    """The first value of a state, (layers * directions, N, H), zeros if it is left out."""
    first = weights[0]
    size = first.w_hh.shape[1] if is_output or first.w_hr is None else first.w_hr.shape[1]
    if h is None:
        return _zeros(x, len(weights), size)
    check_shape(h, (len(weights), x.shape[1], size), subject, "hx")
    check_same_dtype(subject, x, hx=h)
    return h


def _by_direction(
    params: Arrays, count: int, has_biases: bool, more: tuple[str, ...], may_project: bool, subject: str
) -> list[Weights]:
    """The weights of every layer and direction; what may project does if there is one more for each."""
    names = ["w_ih", "w_hh", *(["b_ih", "b_hh"] if has_biases else []), *more]
    if may_project and len(params) == count * (len(names) + 1):
        names.insert(len(names) - len(more), "w_hr")
    each = len(names)
    if count < 1 or len(params) != count * each:
        raise ArgumentError(
            f"expects {each} params for each of {max(count, 1)} layers and directions, got {len(params)} "
            "in all",
            subject=subject,
            hint="Check has_biases, num_layers and bidirectional",
        )
    weights = [Weights(**dict(zip(names, params[k * each : (k + 1) * each]))) for k in range(count)]
    for some in weights:
        _check_ranks(some, subject)
    return weights


def _check_ranks(weights: Weights, subject: str) -> None:
    check_rank(weights.w_ih, 2, subject, "gates * hidden, features", "w_ih")
    check_rank(weights.w_hh, 2, subject, "gates * hidden, hidden", "w_hh")
    if weights.w_hr is not None:
        check_rank(weights.w_hr, 2, subject, "projected, hidden", "w_hr")


def _check_weights(weights: Weights, x: Any, gates: int, subject: str) -> None:
    w_ih, w_hh, w_hr = weights.w_ih, weights.w_hh, weights.w_hr
    if x.shape[-1] != w_ih.shape[1]:
        raise ShapeError(
            f"expects {w_ih.shape[1]} input features on the last axis, got {x.shape[-1]} from an input of "
            f"shape {shape_of(x)}",
            subject=subject,
            hint=f"Did you mean input_size={x.shape[-1]}?",
        )
    put_out = w_hh.shape[1]
    hidden = put_out if w_hr is None else w_hr.shape[1]
    rows = gates * hidden
    check_shape(w_ih, (rows, x.shape[-1]), subject, "w_ih")
    check_shape(w_hh, (rows, put_out), subject, "w_hh")
    check_shape(weights.b_ih, (rows,), subject, "b_ih")
    check_shape(weights.b_hh, (rows,), subject, "b_hh")
    check_shape(w_hr, (put_out, hidden), subject, "w_hr")
    check_shape(weights.b_hr, (put_out,), subject, "b_hr")
    check_shape(weights.w_peephole, (3 * hidden,), subject, "w_peephole")
    check_same_dtype(subject, x, **weights._asdict())
