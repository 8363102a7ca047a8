"""What a line in tests/cases cannot say of attention: causality, chance, learning, refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, grad, xp
from xpnn.backend import (
    ArgumentError,
    BackendError,
    DTypeError,
    GradientError,
    ShapeError,
    find_backend,
    find_kernels,
)

torch = pytest.importorskip("torch")

EMBED, HEADS, QUERIES, KEYS, BATCH = 8, 2, 3, 4, 2


@pytest.mark.parametrize("need_weights", [False, True])
def test_causal_needs_no_mask(need_weights: bool) -> None:
    mine = nn.MultiheadAttention(EMBED, HEADS).double()
    x = Tensor(np.random.default_rng(0).standard_normal((KEYS, BATCH, EMBED)))
    hidden = Tensor(np.triu(np.ones((KEYS, KEYS), dtype=bool), 1))
    expected, _ = mine(x, x, x, attn_mask=hidden)
    for extra in ({}, {"attn_mask": hidden}, {"key_padding_mask": Tensor(np.zeros((BATCH, KEYS), bool))}):
        y, _ = mine(x, x, x, is_causal=True, need_weights=need_weights, **extra)
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("need_weights", [False, True])
def test_query_without_keys_is_no_nan(need_weights: bool) -> None:
    mine = nn.MultiheadAttention(EMBED, HEADS)
    x = Tensor(np.ones((KEYS, 1, EMBED), dtype=np.float32), requires_grad=True)
    hidden = Tensor(np.ones((1, KEYS), dtype=bool))
    y, weights = mine(x, x, x, key_padding_mask=hidden, need_weights=need_weights)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), 0.0)
    assert np.isfinite(x.grad.numpy()).all()
    assert weights is None or not weights.detach().numpy().any()


def test_dropout_is_on_in_training_only_and_reproducible() -> None:
    layer = nn.MultiheadAttention(EMBED, HEADS, dropout=0.5)
    x = xp.ones((KEYS, BATCH, EMBED)) * xp.asarray(np.linspace(0, 1, KEYS, dtype=np.float32)[:, None, None])
    evaluated = [layer.eval()(x, x, x, need_weights=n)[0].detach().numpy() for n in (False, True)]
    np.testing.assert_allclose(*evaluated, rtol=1e-5, atol=1e-6)
    layer.train()
    results = []
    for _ in range(2):
        xpnn.manual_seed(7)
        results.append([layer(x, x, x, need_weights=n)[0].detach().numpy() for n in (False, True)])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert not np.allclose(results[0][0], evaluated[0])


def test_dropout_keeps_the_mean() -> None:
    """Forward, and the gradient equals that of the same mask by hand."""
    from xpnn import functional as F

    rng = np.random.default_rng(0)
    q, k, v = (Tensor(rng.standard_normal((2, 3, 4)), requires_grad=True) for _ in range(3))
    xpnn.manual_seed(3)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
    xpnn.manual_seed(3)
    expected = F.attention_with_weights(q, k, v, dropout_p=0.4)[0]
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    above = Tensor(rng.standard_normal(y.shape))
    for g, e in zip(grad(y, [q, k, v], above), grad(expected, [q, k, v], above), strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-10, atol=1e-12)
    ones = Tensor(np.ones((1, 1, 20000, 1)))
    mean = F.scaled_dot_product_attention(ones[:, :, :1, :], ones, ones, dropout_p=0.5).item()
    assert abs(mean - 1) < 0.05


def test_first_weights_are_distributed_as_in_torch() -> None:
    mine, theirs = (
        nn.MultiheadAttention(64, 4, add_bias_kv=True),
        torch.nn.MultiheadAttention(64, 4, add_bias_kv=True),
    )
    for (name, p), (_, t) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        p, t = p.detach().numpy(), t.detach().numpy()
        assert p.shape == t.shape, name
        assert abs(p.std() - t.std()) <= 0.3 * t.std(), name
        if name != "bias_k" and name != "bias_v":
            assert np.abs(p).max() <= 1.05 * np.abs(t).max() + 1e-12, name


# Transformers


def test_causal_transformer_needs_no_mask() -> None:
    model = nn.Transformer(EMBED, HEADS, 1, 1, 12, dropout=0.0).double()
    rng = np.random.default_rng(0)
    source, target = (Tensor(rng.standard_normal((steps, BATCH, EMBED))) for steps in (KEYS, QUERIES))
    mask = nn.Transformer.generate_square_subsequent_mask(QUERIES, dtype="float64")
    expected = torch.nn.Transformer.generate_square_subsequent_mask(QUERIES, dtype=torch.float64)
    assert isinstance(mask, Tensor)
    np.testing.assert_array_equal(mask.numpy(), expected.numpy())
    causal, masked = (
        model(source, target, **options) for options in ({"tgt_is_causal": True}, {"tgt_mask": mask})
    )
    np.testing.assert_allclose(causal.detach().numpy(), masked.detach().numpy(), rtol=1e-9)


def test_layers_of_a_stack_are_copies() -> None:
    layer = nn.TransformerEncoderLayer(EMBED, HEADS, 12)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(EMBED))
    first, second = (list(part.parameters()) for part in stack.layers)
    assert all(a is not b for a, b in zip(first, second, strict=True))
    for p, q in zip(first, layer.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_causal_transformer_does_not_look_ahead(backend: Any) -> None:
    """On every backend: what comes later changes nothing; float32 stays float32."""
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(EMBED, HEADS, 12, batch_first=True), 2).eval()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, EMBED)).astype(np.float32)
    later = x.copy()
    later[:, 3:] += 1
    y, z = (backend.numpy(stack(Tensor(backend.array(a)), is_causal=True).array) for a in (x, later))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[:, :3], z[:, :3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(y[:, 3:], z[:, 3:])


def test_learns_to_reverse() -> None:
    """A decoder that writes a sequence backwards, trained with teacher forcing, on its own text after."""
    xpnn.manual_seed(0)
    symbols, steps = 5, 4
    embed, places = nn.Embedding(symbols + 1, 32), nn.Embedding(steps, 32)
    model = nn.Transformer(32, 4, 1, 1, 64, dropout=0.0, batch_first=True, norm_first=True)
    head = nn.Linear(32, symbols)
    parts = nn.ModuleList([embed, places, model, head])
    optimizer = xpnn.optim.Adam(parts.parameters(), lr=3e-3)
    rng, at = np.random.default_rng(0), Tensor(np.arange(steps))

    def scores(source: np.ndarray, target: np.ndarray) -> Any:
        begun = np.concatenate([np.full((len(target), 1), symbols), target[:, :-1]], axis=1)
        x, y = (embed(Tensor(tokens)) + places(at) for tokens in (source, begun))
        return head(model(x, y, tgt_is_causal=True))

    for _ in range(150):
        source = rng.integers(0, symbols, (32, steps))
        loss = nn.CrossEntropyLoss()(
            scores(source, source[:, ::-1]).reshape(-1, symbols), Tensor(source[:, ::-1].reshape(-1))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = rng.integers(0, symbols, (50, steps))
    written = np.zeros_like(source)
    for t in range(steps):
        written[:, t] = scores(source, written).detach().numpy()[:, t].argmax(axis=-1)
    assert (written == source[:, ::-1]).mean() > 0.95


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ArgumentError, r"num_heads that divides embed_dim=8, got 3", lambda: nn.MultiheadAttention(8, 3)),
        (
            ShapeError,
            r"MultiheadAttention expects 8 features on the last axis of the query, got 6 .* embed_dim=6\?",
            lambda: nn.MultiheadAttention(8, 2)(*[xp.ones((3, 2, 6))] * 3),
        ),
        (
            ShapeError,
            r"MultiheadAttention expects attn_mask of shape \(3, 3\) or \(4, 3, 3\), got \(2, 3\)",
            lambda: nn.MultiheadAttention(8, 2)(*[xp.ones((3, 2, 8))] * 3, attn_mask=xp.ones((2, 3))),
        ),
        (
            ShapeError,
            r"MultiheadAttention expects key_padding_mask of shape \(2, 3\), got \(3, 2\)",
            lambda: nn.MultiheadAttention(8, 2)(*[xp.ones((3, 2, 8))] * 3, key_padding_mask=xp.ones((3, 2))),
        ),
        (
            DTypeError,
            r"MultiheadAttention expects attn_mask of booleans or float32, got int64",
            lambda: nn.MultiheadAttention(8, 2)(
                *[xp.ones((3, 2, 8))] * 3, attn_mask=xp.ones((3, 3), dtype=xp.int64)
            ),
        ),
        (
            ShapeError,
            r"expects \(L, N, E\), \(S, N, K\) and \(S, N, V\), got .* Is batch_first set as it should be\?",
            lambda: nn.MultiheadAttention(8, 2)(xp.ones((3, 2, 8)), *[xp.ones((3, 4, 8))] * 2),
        ),
        (
            ArgumentError,
            r"expects activation='relu', 'gelu' or a function, got 'elu'",
            lambda: nn.TransformerEncoderLayer(8, 2, activation="elu"),
        ),
        (
            ShapeError,
            r"Transformer expects src with 8 features on the last axis, got shape \(3, 1, 6\)\. Did you mean",
            lambda: nn.Transformer(8, 2, 1, 1, 8)(xp.ones((3, 1, 6)), xp.ones((3, 1, 8))),
        ),
    ],
)
def test_refuses(error: type[Exception], match: str, call: Any) -> None:
    with pytest.raises(error, match=match):
        call()


def test_positions_of_steps_and_of_later_steps(backend: Any) -> None:
    """The modules add, or turn by, what their functions say; steps from `start` on are those of the whole."""
    x = np.random.default_rng(0).standard_normal((5, 2, 4)).astype(np.float32)
    added = nn.LearnedPositions(6, 4), nn.SinusoidalPositions(4)
    rows = added[0].weight.detach().numpy()[:5], F.sinusoidal_positions(np.arange(5.0), 4)
    for module, expected in zip(added, rows, strict=True):
        y = module(Tensor(backend.array(x)))
        np.testing.assert_allclose(y.detach().numpy(), x + expected[:, None], rtol=1e-5, atol=1e-6)
        later = module(Tensor(backend.array(x[3:])), start=3)
        np.testing.assert_allclose(later.detach().numpy(), y.detach().numpy()[3:], rtol=1e-5, atol=1e-6)
    turn, heads = nn.RotaryPositions(interleaved=True), x.swapaxes(0, 1)
    y = turn(Tensor(backend.array(heads)))
    np.testing.assert_allclose(y.numpy(), F.rotary_positions(heads, interleaved=True), rtol=1e-4, atol=1e-5)
    later = turn(Tensor(backend.array(heads[:, 3:])), start=3)
    np.testing.assert_allclose(later.numpy(), y.numpy()[:, 3:], rtol=1e-4, atol=1e-5)
    biases = nn.ALiBi(2)(Tensor(backend.array(x[:2, 0])), Tensor(backend.array(x[:, 0])))
    expected = F.alibi_biases(np.asarray([3.0, 4.0]), np.arange(5.0), 2)
    np.testing.assert_allclose(biases.numpy(), expected)


def test_batch_first_positions() -> None:
    x = np.zeros((2, 5, 4), dtype=np.float32)
    for module in (nn.LearnedPositions(6, 4, batch_first=True), nn.SinusoidalPositions(4, batch_first=True)):
        y = module(Tensor(x)).detach().numpy()
        np.testing.assert_array_equal(y[0], y[1])
        np.testing.assert_array_equal(y[0], module(Tensor(x[0])).detach().numpy())


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_products_know_distances_alone(interleaved: bool) -> None:
    q, k = np.random.default_rng(0).standard_normal((2, 1, 4))

    def product(p: float, r: float) -> float:
        turned = [
            F.rotary_positions(x, np.asarray([at]), interleaved=interleaved) for x, at in ((q, p), (k, r))
        ]
        return float((turned[0] * turned[1]).sum())

    assert product(7.0, 3.0) == pytest.approx(product(104.0, 100.0))
    assert product(7.0, 3.0) != pytest.approx(product(7.0, 4.0))


def test_positions_that_are_not_there() -> None:
    with pytest.raises(ShapeError, match=r"expects positions below 4, got 3 steps from 2 on.*max_length=5\?"):
        nn.LearnedPositions(4, 2)(xpnn.zeros(3, 2), start=2)
    with pytest.raises(
        ShapeError, match=r"SinusoidalPositions expects \(T, N, 4\), or \(T, 4\), got .*\(3, 2\)"
    ):
        nn.SinusoidalPositions(4)(xpnn.zeros(3, 2))
    with pytest.raises(ArgumentError, match=r"ALiBi expects num_heads of at least 1, got 0"):
        nn.ALiBi(0)


def test_transformer_encoder_takes_pytorchs_arguments() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    assert len(nn.TransformerEncoder(layer, 2, None, False, False).layers) == 2


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("names", [("static_k",), ("static_k", "static_v")])
def test_keys_and_values_that_are_given(need_weights: bool, names: tuple[str, ...]) -> None:
    """As in PyTorch, with gradients; sizes that do not fit are refused."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((QUERIES, BATCH, EMBED))
    fixed = {name: rng.standard_normal((BATCH * HEADS, QUERIES, EMBED // HEADS)) for name in names}
    weights = [rng.standard_normal(s) for s in ((3 * EMBED, EMBED), (3 * EMBED,), (EMBED, EMBED), (EMBED,))]

    def called(library: Any, array: Any) -> tuple[Any, Any]:
        q, w_in, b_in, w_out, b_out = (array(a) for a in (x, *weights))
        given = {name: array(a) for name, a in fixed.items()}
        y, _ = library.multi_head_attention_forward(
            *(q, q, q, EMBED, HEADS, w_in, b_in, None, None, False, 0.0, w_out, b_out),
            need_weights=need_weights,
            **given,
        )
        (y * y).sum().backward()
        return y, given["static_k"].grad

    mine = called(nn.functional, lambda a: Tensor(a, requires_grad=True))
    theirs = called(torch.nn.functional, lambda a: torch.tensor(a, requires_grad=True))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-9)
    fixed["static_k"] = fixed["static_k"][1:]
    with pytest.raises(ShapeError, match=r"expects static_k of shape \(4, 3, 4\), got \(3, 3, 4\)"):
        called(nn.functional, Tensor)


# Keys and values that are kept


def _grown(call: Any, x: Any, axis: int, sizes: tuple[int, ...] = (3, 1, 2)) -> np.ndarray:
    """What a causal model with a cache makes of x in pieces along an axis, joined."""
    cache, start, pieces = nn.KeyValueCache(), 0, []
    with xpnn.no_grad():
        for size in sizes:
            assert cache.length == start
            pieces.append(call(x.narrow(axis, start, size), cache))
            start += size
    return xpnn.to_numpy(xpnn.cat(pieces, dim=axis))


@pytest.mark.parametrize("batch_first", [False, True])
def test_steps_behind_a_cache_are_those_of_the_whole(backend: Any, batch_first: bool) -> None:
    """Encoders with causal attention, and decoders beside a memory, on every backend."""
    options = {"batch_first": batch_first, "norm_first": batch_first}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(EMBED, HEADS, 12, **options), 2).eval()
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(EMBED, HEADS, 12, **options), 2).eval()
    rng, axis = np.random.default_rng(0), 1 if batch_first else 0
    x, memory = (
        Tensor(backend.array(rng.standard_normal((BATCH, steps, EMBED)).astype(np.float32).swapaxes(1, axis)))
        for steps in (6, 5)
    )
    grown = _grown(lambda part, cache: encoder(part, is_causal=True, cache=cache), x, axis)
    whole = backend.numpy(encoder(x, is_causal=True).detach())
    np.testing.assert_allclose(grown, whole, rtol=1e-5, atol=1e-5)
    grown = _grown(lambda part, cache: decoder(part, memory, tgt_is_causal=True, cache=cache), x, axis)
    whole = backend.numpy(decoder(x, memory, tgt_is_causal=True).detach())
    np.testing.assert_allclose(grown, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize(
    "options", [{}, {"kdim": 6, "vdim": 5, "bias": False}, {"add_bias_kv": True, "add_zero_attn": True}]
)
def test_every_kind_of_attention_keeps_its_keys(options: dict[str, Any], dtype: str) -> None:
    """With masks over all keys, weights, and no batch; the kept keys are those of all that came."""
    layer = nn.MultiheadAttention(EMBED, HEADS, batch_first=True, dtype=dtype, **options)
    rng = np.random.default_rng(1)
    q, k, v = (
        xpnn.tensor(rng.standard_normal((BATCH, 6, size)), dtype=dtype)
        for size in (EMBED, layer.kdim, layer.vdim)
    )
    mask = np.triu(np.ones((6, 6), dtype=bool), 1)
    mask[4, 1] = True
    padded = np.zeros((BATCH, 6), dtype=bool)
    padded[1, 2] = True
    whole = layer(q, k, v, Tensor(padded), attn_mask=Tensor(mask))
    alone = layer(q[0], k[0], v[0], is_causal=True, need_weights=False)[0]
    cache, single = nn.KeyValueCache(6), nn.KeyValueCache()
    close = {"rtol": 1e-12, "atol": 1e-13} if dtype == "float64" else {"rtol": 2e-3, "atol": 1e-3}
    with xpnn.no_grad():
        for start, stop in ((0, 2), (2, 3), (3, 6)):
            at = slice(start, stop)
            masks = {"key_padding_mask": Tensor(padded[:, :stop]), "attn_mask": Tensor(mask[at, :stop])}
            y, weights = layer(q[:, at], k[:, at], v[:, at], cache=cache, **masks)
            np.testing.assert_allclose(y.numpy(), whole[0].detach().numpy()[:, at], **close)
            np.testing.assert_allclose(
                weights.numpy()[..., :stop], whole[1].detach().numpy()[:, at, :stop], **close
            )
            part = q[0, at], k[0, at], v[0, at]
            y, _ = layer(*part, is_causal=True, need_weights=False, cache=single)
            np.testing.assert_allclose(y.numpy(), alone.detach().numpy()[at], **close)


def test_a_step_costs_a_step() -> None:
    """A long prompt makes no projection of a later step larger; memories are projected once."""
    layer = nn.TransformerDecoderLayer(EMBED, HEADS, 12).eval()
    projected: list[int] = []
    original = F.attention.multi_head.linear

    def counting(x: Any, *rest: Any) -> Any:
        projected.append(x.shape[0])
        return original(x, *rest)

    cache, memory = nn.KeyValueCache(), xpnn.randn(7, BATCH, EMBED)
    with pytest.MonkeyPatch.context() as patch, xpnn.no_grad():
        patch.setattr(F.attention.multi_head, "linear", counting)
        for steps in (5, 1, 1):
            projected.clear()
            layer(xpnn.randn(steps, BATCH, EMBED), memory, tgt_is_causal=True, cache=cache)
            assert sorted(projected) == sorted([steps, steps, steps, steps, *[7, 7] * (steps == 5)])
        memory[0] = 0.0  # is another memory
        projected.clear()
        layer(xpnn.randn(1, BATCH, EMBED), memory, tgt_is_causal=True, cache=cache)
        assert projected.count(7) == 2


def test_beams_are_chosen_and_steps_taken_back(backend: Any) -> None:
    """`reorder` and `crop` continue other sequences; a copy goes its own way."""
    layer = nn.TransformerEncoderLayer(EMBED, HEADS, 12, batch_first=True).eval()
    x = np.random.default_rng(2).standard_normal((BATCH, 5, EMBED)).astype(np.float32)

    def steps(array: np.ndarray, cache: nn.KeyValueCache | None = None) -> Any:
        return layer(Tensor(backend.array(array)), is_causal=True, cache=cache)

    with xpnn.no_grad():
        cache = nn.KeyValueCache()
        steps(x[:, :4], cache)
        other = copy.deepcopy(cache)
        cache.reorder([1, 1, 0])
        beams = x[[1, 1, 0]]
        beams[:, 4] += np.arange(3)[:, None]
        np.testing.assert_allclose(
            backend.numpy(steps(beams[:, 4:], cache)),
            backend.numpy(steps(beams))[:, 4:],
            rtol=1e-4,
            atol=1e-5,
        )
        other.crop(2)
        assert (cache.length, other.length) == (5, 2)
        again = x.copy()
        again[:, 2:] *= -1
        np.testing.assert_allclose(
            backend.numpy(steps(again[:, 2:], other)),
            backend.numpy(steps(again))[:, 2:],
            rtol=1e-4,
            atol=1e-5,
        )
        with pytest.raises(IndexError):
            cache.reorder(Tensor(backend.array(np.asarray([3]))))


def test_an_attention_of_ones_own_keeps_groups_of_heads() -> None:
    rng = np.random.default_rng(3)
    q, k, v = (Tensor(rng.standard_normal((2, heads, 5, 4))) for heads in (4, 2, 2))
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    cache, turn = nn.KeyValueCache(), nn.RotaryPositions()
    for start, stop in ((0, 3), (3, 5)):
        at = (..., slice(start, stop), slice(None))
        keys, values = cache.update("layer", k[at], v[at])
        mask = nn.attention.bias.causal_lower_right(stop - start, stop)
        y = F.scaled_dot_product_attention(q[at], keys, values, mask, enable_gqa=True)
        np.testing.assert_allclose(y.numpy(), whole[at].numpy(), rtol=1e-12)
        np.testing.assert_allclose(turn(k[at], start).numpy(), turn(k)[at].numpy(), rtol=1e-12)
    theirs = pytest.importorskip("torch.nn.attention.bias")
    for name in ("causal_upper_left", "causal_lower_right"):
        ours = getattr(nn.attention.bias, name)(2, 4).numpy()
        np.testing.assert_array_equal(ours, getattr(theirs, name)(2, 4)._materialize().numpy())


def test_what_a_cache_refuses() -> None:
    layer, x = nn.MultiheadAttention(EMBED, HEADS), xpnn.ones(3, 2, EMBED)

    def step(cache: nn.KeyValueCache, x: Any, layer: Any = layer, **options: Any) -> None:
        with xpnn.no_grad():
            layer(x, x, x, cache=cache, **options)

    with pytest.raises(GradientError, match=r"expects no gradients with a cache.*no_grad"):
        layer(x, x, x, cache=nn.KeyValueCache())
    cache = nn.KeyValueCache(4)
    step(cache, x)
    with pytest.raises(ShapeError, match=r"expects 4 steps at most, got 3 steps behind 3.*reset\(\)"):
        step(cache, x)
    with pytest.raises(ShapeError, match=r"expects key of shape \(2, 2, 1, 4\), .* got \(1, 2, 1, 4\)"):
        step(cache, x[:1, :1])
    with pytest.raises(DTypeError, match=r"expects key of float32, as the steps before, got float64"):
        step(cache, x[:1].double(), layer.double())
    step(cache, x[:1], layer.float())
    assert cache.length == 4
    with pytest.raises(ArgumentError, match=r"expects a length of 0 to 4, got 5"):
        cache.crop(5)
    with pytest.raises(ArgumentError, match=r"max_length of at least 1, got 0"):
        nn.KeyValueCache(0)
    with pytest.raises(ArgumentError, match=r"expects no is_causal for keys that are fixed"):
        step(nn.KeyValueCache(), x, is_causal=True, static_kv=True)
    cache, other = nn.KeyValueCache(), nn.MultiheadAttention(EMBED, HEADS)
    step(cache, x)
    step(cache, x)  # the same layer twice, before the other one
    with pytest.raises(ShapeError, match=r"layers of one length.*went from 3 to 6.*called twice"):
        step(cache, x, other)
    cache.reset()
    step(cache, x)
    step(cache, x, other)
    assert repr(cache) == "KeyValueCache(length=3, layers=2, max_length=None)"


def test_ways_to_compute_attention(backend: Any) -> None:
    """The formula, a kernel, and what cannot be had; gradients of both orders through the formula."""
    from xpnn.nn.attention import SDPBackend, sdpa_kernel

    assert {way.name: way.value for way in SDPBackend} == {
        name: int(way) for name, way in torch.nn.attention.SDPBackend.__members__.items()
    }
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4)).astype(np.float32)

    def made(*ways: SDPBackend) -> tuple[np.ndarray, np.ndarray]:
        t = Tensor(backend.array(x), requires_grad=True)
        with sdpa_kernel(list(ways)):
            y = F.scaled_dot_product_attention(t, t, t, is_causal=True)
        (g,) = grad((y * y).sum(), [t], create_graph=True)
        (g,) = grad((g * g).sum(), [t])
        return backend.numpy(y.detach()), backend.numpy(g)

    usual = F.scaled_dot_product_attention(*[Tensor(backend.array(x))] * 3, is_causal=True)
    by_formula = made(SDPBackend.MATH)
    np.testing.assert_allclose(by_formula[0], backend.numpy(usual), rtol=1e-5, atol=1e-6)
    tiled = SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION
    for one, other in zip(by_formula, made(SDPBackend.MATH, *tiled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    if find_kernels(find_backend(backend.backend), "attention"):
        np.testing.assert_allclose(made(*tiled)[0], by_formula[0], rtol=1e-5, atol=1e-6)
    else:
        with pytest.raises(BackendError, match=r"EFFICIENT_ATTENTION, FLASH_ATTENTION; there is none"):
            made(*tiled)
    with pytest.raises(DTypeError, match="expects an SDPBackend or a list of them"):
        sdpa_kernel("math").__enter__()
    layer = nn.MultiheadAttention(4, 2)
    steps = Tensor(backend.array(x[0]))
    usual = layer(steps, steps, steps, need_weights=False)[0]
    with sdpa_kernel(SDPBackend.MATH):
        same = layer(steps, steps, steps, need_weights=False)[0]
    np.testing.assert_allclose(
        backend.numpy(same.detach()), backend.numpy(usual.detach()), rtol=1e-4, atol=1e-5
    )
