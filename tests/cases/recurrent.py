"""Recurrent networks: layers, directions, projections, lengths, single steps."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError

GATES = {"lstm": 4, "lstm with peepholes": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1, "jordan": 1}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def naive_step(name, x, states, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, b_hr=None, w_peephole=None):
    """One sequence, one step: vectors, gate by gate."""
    of_x = w_ih @ x + (0 if b_ih is None else b_ih)
    of_h = w_hh @ states[0] + (0 if b_hh is None else b_hh)
    if name == "lstm":
        i, f, g, o = np.split(of_x + of_h, 4)
        if w_peephole is not None:
            to_i, to_f, to_o = np.split(w_peephole, 3)
            i, f = i + to_i * states[1], f + to_f * states[1]
            o = o + to_o * (sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g))
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h if w_hr is None else w_hr @ h), c
    if name == "gru":
        (x_r, x_u, x_n), (h_r, h_u, h_n) = np.split(of_x, 3), np.split(of_h, 3)
        r, u = sigmoid(x_r + h_r), sigmoid(x_u + h_u)
        return ((1 - u) * np.tanh(x_n + r * h_n) + u * states[0],)
    if name == "jordan":
        y = w_hr @ np.tanh(of_x + of_h)
        return (y if b_hr is None else y + b_hr,)
    z = of_x + of_h
    return (np.tanh(z) if name == "rnn_tanh" else np.maximum(z, 0),)


def naive_layer(name, x, states, weights, length, reverse):
    """One sequence, one layer, one direction; (output, last states)."""
    output = np.zeros((x.shape[0], weights[1].shape[1]))
    for t in reversed(range(length)) if reverse else range(length):
        states = naive_step(name.split()[0], x[t], states, **by_name(name, weights))
        output[t] = states[0]
    return output, states


def by_name(name, weights):
    """The parameters of one layer and direction, as `naive_step` names them."""
    peephole = ("w_peephole",) if name == "lstm with peepholes" else ()
    more = {"jordan": ("w_hr", "b_hr"), "lstm": ("w_hr",), "lstm with peepholes": ("w_hr",)}.get(name, ())
    count = len(weights) - len(peephole)
    names = ("w_ih", "w_hh", "b_ih", "b_hh", *more)
    if count < 4:
        names = ("w_ih", "w_hh", *more)
    return dict(zip((*names[:count], *peephole), weights, strict=True))


def naive(name):
    states_of = 2 if name.startswith("lstm") else 1

    def run(x, *arrays, has_biases=True, num_layers=1, bidirectional=False, batch_first=False, lengths=None):
        """Sequence by sequence, layer by layer."""
        hx, params = arrays[:states_of], arrays[states_of:]
        x = x.swapaxes(0, 1) if batch_first else x
        directions = 2 if bidirectional else 1
        each = len(params) // (num_layers * directions)
        last = [[] for _ in range(states_of)]
        for depth in range(num_layers):
            results = []
            for direction in range(directions):
                k = depth * directions + direction
                weights = params[k * each : (k + 1) * each]
                outputs, ends = [], []
                for n in range(x.shape[1]):
                    length = x.shape[0] if lengths is None else lengths[n]
                    states = [h[k, n] for h in hx]
                    output, end = naive_layer(name, x[:, n], states, weights, length, direction == 1)
                    outputs.append(output)
                    ends.append(end)
                results.append(np.stack(outputs, axis=1))
                for which in range(states_of):
                    last[which].append(np.stack([end[which] for end in ends]))
            x = np.concatenate(results, axis=-1)
        return (x.swapaxes(0, 1) if batch_first else x), *(np.stack(h) for h in last)

    return run


def public(name):
    function = getattr(F, name.split()[0])

    def run(x, *arrays, **options):
        if name.startswith("lstm"):
            hx, params = None if arrays[0] is None else arrays[:2], arrays[2:]
            options |= {"peepholes": True} if name == "lstm with peepholes" else {}
        else:
            hx, params = arrays[0], arrays[1:]
        return function(x, hx, list(params), **options)

    return run


def torch_run(name):
    def run(torch, x, *arrays, has_biases=True, num_layers=1, bidirectional=False, batch_first=False,
            lengths=None):  # fmt: skip
        hx, params = (arrays[:2], arrays[2:]) if name == "lstm" else (arrays[0], arrays[1:])
        rest = (has_biases, num_layers, 0.0, False, bidirectional)
        if lengths is None:
            return getattr(torch, name)(x, hx, list(params), *rest, batch_first)
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, batch_first)
        output, *last = getattr(torch, name)(packed.data, packed.batch_sizes, hx, list(params), *rest)
        packed = rnn.PackedSequence(output, packed.batch_sizes)
        return rnn.pad_packed_sequence(packed, batch_first, total_length=x.shape[batch_first])[0], *last

    return run


def inputs(name, steps=3, batch=2, features=2, hidden=3, projected=0):
    def make(rng, has_biases=True, num_layers=1, bidirectional=False, batch_first=False, **options):
        directions, rows = 2 if bidirectional else 1, GATES[name] * hidden
        size = projected or hidden
        is_lstm = name.startswith("lstm")
        x = rng.standard_normal((batch, steps, features) if batch_first else (steps, batch, features))
        hx = [rng.standard_normal((num_layers * directions, batch, size))]
        if is_lstm:
            hx.append(rng.standard_normal((num_layers * directions, batch, hidden)))
        params = []
        for depth in range(num_layers):
            for _ in range(directions):
                shapes = [(rows, features if depth == 0 else size * directions), (rows, size)]
                shapes += [(rows,), (rows,)] if has_biases else []
                shapes += [(size, hidden)] if projected else []
                shapes += [(size,)] if name == "jordan" and has_biases else []
                shapes += [(3 * hidden,)] if name == "lstm with peepholes" else []
                params += [0.5 * rng.standard_normal(shape) for shape in shapes]
        return x, *hx, *params

    return make


def case(suffix, name, options, make=None, **more):
    return Case(
        f"{name} {suffix}".strip(),
        public(name),
        inputs=make or inputs(name),
        options=options,
        torch=torch_run(name),
        naive=naive(name),
        batched=(),
        axes=(3, 3),
        **more,
    )


def case_of_our_own(name, options, make, **more):
    """PyTorch has none: there is the naive network alone."""
    return Case(
        name,
        public(name),
        inputs=make,
        options=options,
        naive=naive(name),
        batched=(),
        axes=(3, 3),
        **more,
    )


def without(make, *positions):
    """The same inputs with some of them left out."""
    return lambda rng, **options: tuple(
        None if i in positions else x for i, x in enumerate(make(rng, **options))
    )


def from_zero(name):
    """Without first states: the oracles are given zeros."""
    states_of = 2 if name == "lstm" else 1

    def zeros(x, arrays, like):
        batch, hidden = x.shape[1], arrays[states_of + 1].shape[1]
        return [like((1, batch, hidden)) for _ in range(states_of)]

    def run_torch(torch, x, *arrays):
        return torch_run(name)(
            torch, x, *zeros(x, arrays, torch.zeros_like(x).new_zeros), *arrays[states_of:]
        )

    def run_naive(x, *arrays):
        return naive(name)(x, *zeros(x, arrays, np.zeros), *arrays[states_of:])

    return Case(
        f"{name} from zero",
        public(name),
        inputs=without(inputs(name), *range(1, 1 + states_of)),
        torch=run_torch,
        naive=run_naive,
        batched=(),
        axes=(3, 3),
    )


def cell_inputs(name):
    def make(rng, has_biases):
        rows = GATES[name] * 3
        states = [rng.standard_normal((2, 3)) for _ in range(2 if name == "lstm" else 1)]
        biases = [rng.standard_normal(rows) for _ in range(2)] if has_biases else [None, None]
        weights = rng.standard_normal((rows, 4)), rng.standard_normal((rows, 3))
        return rng.standard_normal((2, 4)), *states, *weights, *biases

    return make


def cell_case(name):
    count = 2 if name == "lstm" else 1

    def arranged(function):
        def run(x, *arrays, has_biases):
            return function(x, arrays[:2] if count == 2 else arrays[0], *arrays[count:])

        return run

    def one_step(x, *arrays, has_biases):
        steps = [
            naive_step(name, x[n], [h[n] for h in arrays[:count]], *arrays[count:]) for n in range(len(x))
        ]
        results = tuple(np.stack(h) for h in zip(*steps, strict=True))
        return results if count == 2 else results[0]

    return Case(
        f"{name}_cell",
        arranged(getattr(F, f"{name}_cell")),
        inputs=cell_inputs(name),
        options=grid(has_biases=[True, False]),
        torch=lambda torch, *arrays, **options: arranged(getattr(torch, f"{name}_cell"))(*arrays, **options),
        naive=one_step,
        batched=(),
        axes=(2, 2),
        errors=[
            bad(ShapeError, rf"{name}_cell expects 4 input features on the last axis, got 2 from an input of",
                inputs=lambda rng: (np.ones((2, 2)), *cell_inputs(name)(rng, True)[1:])),
            bad(ShapeError, rf"{name}_cell expects hx of shape \(1, 3\), got \(2, 3\)",
                inputs=lambda rng: (np.ones((1, 4)), *cell_inputs(name)(rng, True)[1:])),
        ],
    )  # fmt: skip


CASES = [
    *[
        case("", name, [*grid(has_biases=False), *grid(num_layers=2, bidirectional=True)])
        for name in ("lstm", "gru", "rnn_tanh")
    ],
    case("", "rnn_relu", grid(bidirectional=[True, False])),
    *[case("batch first", name, grid(batch_first=True)) for name in ("lstm", "gru", "rnn_tanh")],
    *[case("of one step", name, [{}], inputs(name, steps=1)) for name in ("lstm", "gru", "rnn_tanh")],
    *[from_zero(name) for name in ("lstm", "gru", "rnn_tanh")],
    case(
        "projected",
        "lstm",
        [*grid(has_biases=False), *grid(num_layers=2, bidirectional=True)],
        inputs("lstm", projected=2),
    ),
    *[
        case(
            "of several lengths",
            name,
            [
                *grid(lengths=(4, 2, 1), bidirectional=True),
                *grid(lengths=(3, 2, 1), num_layers=2, batch_first=True),
            ],
            inputs(name, steps=5, batch=3),
        )
        for name in ("lstm", "gru")
    ],
    case(
        "projected of several lengths",
        "lstm",
        grid(lengths=(3, 1), bidirectional=True),
        inputs("lstm", projected=2),
    ),
    case(
        "and what it refuses",
        "lstm",
        [{}],
        errors=[
            bad(
                ShapeError,
                r"lstm expects 2 input features on the last axis, got 5 from an input of shape \(3, 2, 5\)\. "
                r"Did you mean input_size=5\?",
                inputs=lambda rng: (np.ones((3, 2, 5)), *inputs("lstm")(rng)[1:]),
            ),
            bad(
                ShapeError,
                r"lstm expects a sequence of one step or more, got an input of shape \(0, 2, 2\)",
                inputs=lambda rng: (np.ones((0, 2, 2)), *inputs("lstm")(rng)[1:]),
            ),
            bad(
                ShapeError,
                r"lstm expects hx of shape \(1, 1, 3\), got \(1, 2, 3\)",
                inputs=lambda rng: (np.ones((3, 1, 2)), *inputs("lstm")(rng)[1:]),
            ),
            bad(
                ShapeError,
                r"lstm expects w_ih of shape \(12, 2\), got \(9, 2\)",
                inputs=lambda rng: (*inputs("lstm")(rng)[:3], np.ones((9, 2)), *inputs("lstm")(rng)[4:]),
            ),
            bad(
                ArgumentError,
                r"lstm expects 4 params for each of 2 layers and directions, got 4 in all\. Check has_biases",
                num_layers=2,
            ),
            bad(ArgumentError, r"lstm expects 2 lengths between 1 and 3, got \[4, 1\]", lengths=(4, 1)),
            bad(ArgumentError, r"lstm expects dropout between 0 and 1, got 2\.0", dropout=2.0),
        ],
    ),
    case_of_our_own(
        "lstm with peepholes",
        [*grid(has_biases=False), *grid(num_layers=2, bidirectional=True), *grid(lengths=(3, 1))],
        inputs("lstm with peepholes"),
        errors=[
            bad(
                ShapeError,
                r"lstm expects w_peephole of shape \(9,\), got \(8,\)",
                inputs=lambda rng: (*inputs("lstm")(rng, has_biases=False), np.ones(8)),
            ),
        ],
    ),
    case_of_our_own(
        "lstm with peepholes",
        [{}],
        inputs("lstm with peepholes", projected=2),
    ),
    case_of_our_own(
        "jordan",
        [*grid(has_biases=False), *grid(num_layers=2, bidirectional=True), *grid(lengths=(3, 1))],
        inputs("jordan", projected=2),
        errors=[
            bad(ArgumentError, r"jordan expects nonlinearity='tanh' or 'relu', got 2", nonlinearity=2),
            bad(
                ArgumentError,
                r"jordan expects 3 params for each of 2 layers and directions, got 3 in all",
                num_layers=2,
            ),
        ],
    ),
    *[cell_case(name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")],
]

SIZES = {"input_size": 3, "hidden_size": 4}


def networks(steps_and_batch, states, **options):
    """The three networks, from zero and from given states, of the shape `states`."""
    for name in ("RNN", "LSTM", "GRU"):
        hx = (states, states) if name == "LSTM" else states
        yield layer(name, (*steps_and_batch, 3), **SIZES, **options)
        yield layer(name, (*steps_and_batch, 3), hx, **SIZES, **options)


LAYERS = [
    layer("JordanRNN", (3, 2, 4), input_size=4, hidden_size=3, output_size=2),
    *networks((5, 2), (1, 2, 4)),
    *networks((5,), (1, 4)),
    *networks((5, 2), (4, 2, 4), num_layers=2, bidirectional=True),
    *networks((2, 5), (2, 2, 4), num_layers=2, bias=False, batch_first=True),
    *networks((2, 5), (2, 2, 4), bidirectional=True, batch_first=True),
    layer("RNN", (5, 2, 3), nonlinearity="relu", **SIZES),
    layer("LSTM", (5, 2, 3), proj_size=2, num_layers=2, bidirectional=True, **SIZES),
    layer("LSTM", (2, 5, 3), ((1, 2, 1), (1, 2, 4)), proj_size=1, bias=False, batch_first=True, **SIZES),
    *[layer(name, x, **SIZES) for name in ("RNNCell", "LSTMCell", "GRUCell") for x in ((2, 3), (3,))],
    layer("RNNCell", (2, 3), (2, 4), nonlinearity="relu", bias=False, **SIZES),
    layer("LSTMCell", (2, 3), ((2, 4), (2, 4)), **SIZES),
    layer("GRUCell", (3,), (4,), **SIZES),
]
