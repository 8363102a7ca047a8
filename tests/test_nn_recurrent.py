"""Recurrent modules: packed sequences against PyTorch's, dropout between layers, learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases.recurrent import naive

import xpnn
from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.backend import ArgumentError, ShapeError
from xpnn.testing import gradgradcheck

torch = pytest.importorskip("torch")

NAMES = ("RNN", "LSTM", "GRU")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bias": False, "batch_first": True},
    {"bidirectional": True, "batch_first": True},
]
MODULES = [(name, options) for name in NAMES for options in OPTIONS] + [
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 1, "bias": False, "batch_first": True}),
]
LENGTHS = (2, 4, 1)  # not sorted


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """The module of that name in xpnn and in PyTorch, of 3 features and 4 units, in float64."""
    theirs = getattr(torch.nn, name)(3, 4, **options).double()
    mine = getattr(nn, name)(3, 4, **options).double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return mine, theirs


def flat(result: Any) -> list[Any]:
    """All Tensors of nested tuples, those of a PackedSequence's data among them."""
    if hasattr(result, "batch_sizes"):
        return [result.data]
    if isinstance(result, tuple):
        return [y for part in result for y in flat(part)]
    return [result]


def compare(mine: Any, theirs: Any, arrays: Any, call: Any) -> None:
    """Results, and the gradients of inputs and parameters."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    ys, expected = flat(call(mine, nn.utils.rnn, *xs)), flat(call(theirs, torch.nn.utils.rnn, *ts))
    rng = np.random.default_rng(1)
    above = [rng.standard_normal(y.shape) for y in ys]
    for y, e in zip(ys, expected, strict=True):
        np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), rtol=1e-9, atol=1e-11)
    sum((y * Tensor(a)).sum() for y, a in zip(ys, above, strict=True)).backward()
    sum((e * torch.tensor(a)).sum() for e, a in zip(expected, above, strict=True)).backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-10)
    for (key, p), (_, e) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), e.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=key)


def first_states(name: str, options: dict[str, Any], batch: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = [options.get("proj_size") or 4, *([4] if name == "LSTM" else [])]
    return [rng.standard_normal((count, *batch, size)) for size in sizes]


def with_states(name: str, call: Any) -> Any:
    """`call(module, utils, x, hx)` of arrays in a row."""
    return lambda module, utils, x, *hx: call(module, utils, x, tuple(hx) if name == "LSTM" else hx[0])


@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
def test_packed_sequences(name: str, options: dict[str, Any], enforce_sorted: bool) -> None:
    mine, theirs = pair(name, **options)
    first = options.get("batch_first", False)
    x = np.random.default_rng(0).standard_normal((3, 4, 3) if first else (4, 3, 3))
    lengths = sorted(LENGTHS, reverse=True) if enforce_sorted else list(LENGTHS)

    def call(module: Any, utils: Any, x: Any, hx: Any) -> Any:
        packed = utils.pack_padded_sequence(x, lengths, first, enforce_sorted)
        output, last = module(packed, hx)
        padded, counts = utils.pad_packed_sequence(output, first, padding_value=0.5, total_length=6)
        assert counts.tolist() == lengths
        return output, padded, last

    compare(mine, theirs, [x, *first_states(name, options, (3,))], with_states(name, call))


def test_a_cell_in_a_loop_is_the_network() -> None:
    network, cell = nn.LSTM(3, 4).double(), nn.LSTMCell(3, 4).double()
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in network.state_dict().items()})
    x = Tensor(np.random.default_rng(0).standard_normal((5, 2, 3)))
    states = None
    for t in range(5):
        states = cell(x[t], states)
    for one, other in zip(states, network(x)[1], strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy()[0], rtol=1e-12)


def test_truncated_backpropagation() -> None:
    """Detached states carry on the values and stop the gradient."""
    network = nn.GRU(3, 4)
    x = xp.ones((6, 2, 3))
    _, h = network(x[:3])
    output, _ = network(x[3:], h.detach())
    np.testing.assert_allclose(output.detach().numpy(), network(x)[0].detach().numpy()[3:], rtol=1e-5)
    h.requires_grad = True
    output.sum().backward()
    assert h.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_dropout_between_layers(name: str) -> None:
    network = getattr(nn, name)(3, 4, num_layers=2, dropout=0.5)
    x = xp.ones((5, 2, 3))
    results = []
    for _ in range(2):
        xpnn.manual_seed(1)
        results.append(network(x)[0].detach().numpy())
    np.testing.assert_array_equal(*results)
    assert not np.allclose(results[0], network.eval()(x)[0].detach().numpy())
    with pytest.warns(UserWarning, match=rf"{name}: dropout=0.5 acts between layers, and there is one"):
        single = getattr(nn, name)(3, 4, dropout=0.5)
    still, again = (single(x)[0].detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(still, again)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivative_of_packed_sequences(name: str) -> None:
    network = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True).double()
    x = np.random.default_rng(0).standard_normal((3, 2, 2))

    def packed(x: Any) -> Any:
        return network(nn.utils.rnn.pack_padded_sequence(x, [3, 1]))[0].data

    gradgradcheck(packed, [x], fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_first_weights(name: str) -> None:
    network = getattr(nn, name)(10, 25, num_layers=2)
    values = np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])
    assert np.abs(values).max() <= 0.2
    assert abs(values.std() - 0.2 / 3**0.5) < 0.005
    assert [len(weights) for weights in network.all_weights] == [4, 4]
    network.flatten_parameters()


def test_learns_to_remember() -> None:
    """The first step of a sequence, asked for at its end."""
    xpnn.manual_seed(0)
    network, head = nn.LSTM(1, 16, batch_first=True), nn.Linear(16, 1)
    optimizer = xpnn.optim.Adam([*network.parameters(), *head.parameters()], lr=0.03)
    rng = np.random.default_rng(0)
    for _ in range(150):
        x = rng.choice([-1.0, 1.0], size=(32, 4, 1)).astype(np.float32)
        _, (h_n, _) = network(Tensor(x))
        loss = nn.MSELoss()(head(h_n[0]), Tensor(x[:, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


# Sequences of several lengths


def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, 2)) for n in LENGTHS]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pad_sequence(batch_first: bool, side: str) -> None:
    mine = nn.utils.rnn.pad_sequence([Tensor(s) for s in sequences()], batch_first, -1.0, side)
    expected = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(s) for s in sequences()], batch_first, -1.0, side
    )
    np.testing.assert_array_equal(mine.numpy(), expected.numpy())


def test_pack_sequence() -> None:
    mine = nn.utils.rnn.pack_sequence([Tensor(s) for s in sequences()], enforce_sorted=False)
    expected = torch.nn.utils.rnn.pack_sequence([torch.tensor(s) for s in sequences()], enforce_sorted=False)
    np.testing.assert_array_equal(mine.data.numpy(), expected.data.numpy())
    assert list(mine.batch_sizes) == expected.batch_sizes.tolist()
    assert mine.sorted_indices.tolist() == expected.sorted_indices.tolist()
    assert mine.unsorted_indices.tolist() == expected.unsorted_indices.tolist()
    for back, s in zip(nn.utils.rnn.unpack_sequence(mine), sequences(), strict=True):
        np.testing.assert_array_equal(back.numpy(), s)


@pytest.mark.parametrize("name", NAMES)
def test_without_sequences(name: str, backend: Any) -> None:
    """A batch of none, and features of none, give what is left; the weights get zeros."""
    network = getattr(nn, name)(3, 4, num_layers=2, bidirectional=True)
    output, _ = network(xpnn.zeros(5, 0, 3))
    assert tuple(output.shape) == (5, 0, 8)
    output.sum().backward()
    assert not network.weight_hh_l0.grad.numpy().any()
    assert tuple(getattr(nn, name)(0, 4)(xpnn.zeros(5, 2, 0))[0].shape) == (5, 2, 4)


def test_packed_sequences_are_pytorchs() -> None:
    """Batch sizes are a Tensor, the inverse order is found, and conversions take the indices along."""
    mine = nn.utils.rnn.pack_sequence([Tensor(s) for s in sequences()], enforce_sorted=False)
    theirs = torch.nn.utils.rnn.pack_sequence([torch.tensor(s) for s in sequences()], enforce_sorted=False)
    assert mine.batch_sizes.tolist() == theirs.batch_sizes.tolist()
    assert "int64" in str(mine.batch_sizes.dtype)
    again = nn.utils.rnn.PackedSequence(mine.data, mine.batch_sizes, mine.sorted_indices)
    assert again.unsorted_indices.tolist() == theirs.unsorted_indices.tolist()
    assert mine.to(mine.data.dtype) is mine.pin_memory() is mine
    assert not mine.is_cuda
    for method in ("double", "float", "half", "long", "int", "short", "char", "byte"):
        one, other = getattr(mine, method)(), getattr(theirs, method)()
        assert str(other.data.dtype).endswith(str(one.data.dtype).removeprefix("xpnn."))
        assert one.sorted_indices.tolist() == other.sorted_indices.tolist()
        assert "int64" in str(one.sorted_indices.dtype)
    assert type(mine.to("torch").unsorted_indices.array) is torch.Tensor
    raw = nn.utils.rnn.pack_sequence(sequences(), enforce_sorted=False)
    assert type(raw.float().data) is type(raw.float().sorted_indices) is np.ndarray


def test_lengths_as_an_array(backend: Any) -> None:
    x = backend.array(np.arange(12.0).reshape(4, 3))
    packed = nn.utils.rnn.pack_padded_sequence(x, backend.array(np.asarray(LENGTHS)), enforce_sorted=False)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(packed)
    assert type(packed.data) is type(x)
    assert backend.numpy(lengths).tolist() == list(LENGTHS)
    expected = np.arange(12.0).reshape(4, 3) * (np.arange(4)[:, None] < np.asarray(LENGTHS))
    np.testing.assert_array_equal(backend.numpy(padded), expected)


@pytest.mark.parametrize("name", NAMES)
def test_packed_on_every_backend(name: str, backend: Any) -> None:
    """Float32 stays float32, and nothing leaves the device; values are NumPy's."""
    x = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)

    def run(x: Any) -> tuple[Any, Any]:
        xpnn.manual_seed(0)
        network = getattr(nn, name)(3, 4, num_layers=2, bidirectional=True)
        packed = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        x.requires_grad = True
        output, _ = network(nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
        assert output.batch_sizes.tolist() == packed.batch_sizes.tolist()
        output.data.sum().backward()
        return backend_free(output.data.detach()), backend_free(x.grad)

    def backend_free(t: Any) -> Any:
        assert "float32" in str(t.dtype)
        return t.numpy()

    with xpnn.use_backend("numpy"):
        expected = run(Tensor(x))
    for mine, e in zip(run(Tensor(backend.array(x))), expected, strict=True):
        np.testing.assert_allclose(mine, e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ArgumentError, r"RNN expects nonlinearity='tanh' or 'relu', got 'elu'",
         lambda: nn.RNN(3, 4, nonlinearity="elu")),
        (ArgumentError, r"LSTM expects proj_size below hidden_size=4, got 4",
         lambda: nn.LSTM(3, 4, proj_size=4)),
        (ArgumentError, r"GRU expects dropout between 0 and 1, got 2", lambda: nn.GRU(3, 4, dropout=2)),
        (ShapeError, r"LSTM expects 3 input features on the last axis, got 5 .* Did you mean input_size=5\?",
         lambda: nn.LSTM(3, 4)(xp.ones((2, 1, 5)))),
        (ShapeError, r"GRU expects input of 2 or 3 axes \(T, N, features, or T, features\), got 4",
         lambda: nn.GRU(3, 4)(xp.ones((2, 1, 5, 3)))),
        (ShapeError, r"RNN expects hx of shape \(1, 2, 4\), got \(1, 1, 4\)",
         lambda: nn.RNN(3, 4)(xp.ones((5, 2, 3)), xp.ones((1, 1, 4)))),
        (ArgumentError, r"LSTM expects hx as a pair \(h_0, c_0\), got Tensor",
         lambda: nn.LSTM(3, 4)(xp.ones((5, 2, 3)), xp.ones((1, 2, 4)))),
        (ArgumentError, r"LSTMCell expects hx as a pair \(states, cells\), got .*\. Pass \(h_0, c_0\)",
         lambda: nn.LSTMCell(3, 4)(xp.ones((2, 3)), (xp.ones((2, 4)),) * 3)),
        (ArgumentError, r"expects lengths from the longest to the shortest, got \[1, 2\]",
         lambda: nn.utils.rnn.pack_padded_sequence(xp.ones((2, 2)), [1, 2])),
        (ArgumentError, r"pack_padded_sequence expects 2 lengths between 1 and 3, got \[3, 0\]",
         lambda: nn.utils.rnn.pack_padded_sequence(xp.ones((3, 2)), [3, 0])),
        (ArgumentError, r"pad_packed_sequence expects total_length of at least 2, the longest length, got 1",
         lambda: nn.utils.rnn.pad_packed_sequence(
             nn.utils.rnn.pack_padded_sequence(xp.ones((2, 1)), [2]), total_length=1)),
        (ArgumentError, r"pad_sequence expects padding_side='left' or 'right', got 'top'",
         lambda: nn.utils.rnn.pad_sequence([xp.ones(2)], padding_side="top")),
        (ArgumentError, r"unpad_sequence expects 2 lengths between 0 and 3, got \[4, 1\]",
         lambda: nn.utils.rnn.unpad_sequence(xp.ones((3, 2)), [4, 1])),
        (ArgumentError, r"pack_padded_sequence expects lengths as an integer, got 1\.5",
         lambda: nn.utils.rnn.pack_padded_sequence(xp.ones((3, 1)), [1.5])),
        (ArgumentError, r"pack_padded_sequence expects lengths as a list of integers, got 2",
         lambda: nn.utils.rnn.pack_padded_sequence(xp.ones((3, 1)), 2)),
        (ShapeError, r"pack_padded_sequence expects one sequence or more, got shape \(3, 0\)",
         lambda: nn.utils.rnn.pack_padded_sequence(xp.ones((3, 0)), [])),
        (ArgumentError, r"invert_permutation expects each of 0 to 1 once, got \[1, 1\]",
         lambda: nn.utils.rnn.invert_permutation(xp.asarray([1, 1]))),
        (ArgumentError, r"RNNBase expects mode to be one of RNN_TANH, .*, got 'ELMAN'",
         lambda: nn.RNNBase("ELMAN", 3, 4)),
        (ArgumentError, r"JordanRNN expects output_size of at least 1, got 0", lambda: nn.JordanRNN(3, 4, 0)),
        (ArgumentError, r"RNNBase expects proj_size of an LSTM alone",
         lambda: nn.RNNBase("GRU", 3, 4, proj_size=2)),
        (ArgumentError, r"LSTM expects hidden_size of at least 1, got 0", lambda: nn.LSTM(3, 0)),
        (ArgumentError, r"pad_sequence expects one sequence or more", lambda: nn.utils.rnn.pad_sequence([])),
        (ShapeError, r"expects sequences that differ in the first axis alone, got \(2, 1\), \(2, 2\)",
         lambda: nn.utils.rnn.pad_sequence([xp.ones((2, 1)), xp.ones((2, 2))])),
    ],
)  # fmt: skip
def test_refuses(error: type[Exception], match: str, call: Any) -> None:
    with pytest.raises(error, match=match):
        call()


OURS = {
    "peepholes": (lambda **options: nn.LSTM(3, 4, peepholes=True, **options), "lstm with peepholes"),
    "Jordan": (lambda **options: nn.JordanRNN(3, 4, 2, **options), "jordan"),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}])
def test_networks_of_our_own(name: str, options: dict[str, Any], backend: Any) -> None:
    """They compute what their function does of their parameters, step for step, packed too."""
    network = OURS[name][0](**options)
    x = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
    output, last = network(Tensor(backend.array(x)))
    params = [p.detach().numpy() for names in network.all_weights for p in names]
    states = [s.shape for s in (last if isinstance(last, tuple) else (last,))]
    plain = {key: value for key, value in options.items() if key != "bias"} | {
        "has_biases": options.get("bias", True)
    }
    expected, *_ = naive(OURS[name][1])(x, *(np.zeros(shape) for shape in states), *params, **plain)
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    packed = nn.utils.rnn.pack_padded_sequence(Tensor(backend.array(x)), [4, 4, 4])
    again = nn.utils.rnn.pad_packed_sequence(network(packed)[0])[0]
    np.testing.assert_allclose(again.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    other = OURS[name][0](**options)
    other.load_state_dict(network.state_dict())
    assert len(network.state_dict()) == len(params)


def test_our_own_print_their_options() -> None:
    assert repr(nn.LSTM(3, 4, peepholes=True)) == "LSTM(3, 4, peepholes=True)"
    assert repr(nn.JordanRNN(3, 4, 2, nonlinearity="relu", num_layers=2)) == (
        "JordanRNN(3, 4, 2, num_layers=2, nonlinearity=relu)"
    )


def test_cell_with_peepholes_is_a_step_of_the_layer() -> None:
    cell, layer = nn.LSTMCell(3, 4, peepholes=True), nn.LSTM(3, 4, peepholes=True)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    x = xp.ones((2, 3))
    h, c = cell(x, cell(x))
    output, (_, c_n) = layer(xp.stack([x, x]))
    np.testing.assert_allclose(output[1].detach().numpy(), h.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(c_n[0].detach().numpy(), c.detach().numpy(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of what is not finite
@pytest.mark.parametrize("lengths", [(3, 1), (1, 2)])
def test_what_overflows_behind_the_end_has_no_gradient(lengths: tuple[int, ...], backend: Any) -> None:
    """Of states that grow without bounds, those that a short sequence never reaches do not count."""
    x = np.stack([np.full((3, 2), 0.5 * (length < 3)) for length in lengths], axis=1).astype("f4")
    weights = [np.full((3, 2), 0.5, "f4"), np.full((3, 3), 1e30, "f4")]
    mine = [Tensor(backend.array(a), requires_grad=True) for a in (x, *weights)]
    y, h = xpnn.functional.rnn_relu(mine[0], None, mine[1:], has_biases=False, lengths=lengths)
    (y.sum() + h.sum()).backward()

    layer = torch.nn.RNN(2, 3, nonlinearity="relu", bias=False)
    for p, w in zip(layer.parameters(), weights):
        p.data = torch.tensor(w)
    of_torch = torch.tensor(x, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(of_torch, lengths, enforce_sorted=False)
    out, last = layer(packed)
    (out.data.sum() + last.sum()).backward()
    for t, expected in zip(mine, (of_torch, *layer.parameters())):
        np.testing.assert_allclose(backend.numpy(t.grad), expected.grad.numpy(), rtol=1e-5)
