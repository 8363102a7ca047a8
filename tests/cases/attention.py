"""Scaled dot-product attention: masks, causality, groups of heads, broadcasting; with its weights."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, DTypeError, ShapeError


def naive_weights(q, k, mask, is_causal, scale):
    """Query by query; a query without a key gets zeros."""
    shape = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    q = np.broadcast_to(q, (*shape[:-2], *q.shape[-2:]))
    k = np.broadcast_to(k, (*shape[:-2], *k.shape[-2:]))
    allowed = np.ones(shape, dtype=bool)
    added = np.zeros(shape)
    if mask is not None and mask.dtype == bool:
        allowed &= mask
    elif mask is not None:
        added = added + mask
    weights = np.zeros(shape)
    for place in np.ndindex(*shape[:-1]):
        scores = []
        for j in range(shape[-1]):
            seen = allowed[(*place, j)] and not (is_causal and j > place[-1])
            score = scale * np.dot(q[place], k[(*place[:-1], j)]) + added[(*place, j)]
            scores.append(score if seen else -np.inf)
        if max(scores, default=-np.inf) > -np.inf:
            e = np.exp(np.asarray(scores) - max(scores))
            weights[place] = e / e.sum()
    return weights


def naive(q, k, v, mask=None, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k, v = (np.repeat(x, q.shape[-3] // x.shape[-3], axis=-3) for x in (k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    weights = naive_weights(q, k, mask, is_causal, scale)
    return np.matmul(weights, v)


def naive_with_weights(q, k, v, mask=None, is_causal=False):
    weights = naive_weights(q, k, mask, is_causal, q.shape[-1] ** -0.5)
    return np.matmul(weights, v), weights


def torch_attention(torch, q, k, v, mask=None, **options):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)


def torch_with_weights(torch, q, k, v, mask=None, is_causal=False):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores).tril() == 0, -torch.inf)
    weights = torch._safe_softmax(scores if mask is None else scores + mask, dim=-1)
    return weights @ v, weights


def attention(q, k, v, mask=None, **options):
    return F.scaled_dot_product_attention(q, k, v, mask, **options)


HEADS = {"embed_dim_to_check": 4, "num_heads": 2}


def heads_inputs(rng, batched=True, bias=True, **options):
    """Queries, keys, values; the weights and biases of the projections before and after."""
    batch = (2,) if batched else ()
    arrays = [rng.standard_normal((steps, *batch, 4)) for steps in (3, 5, 5)]
    shapes = ((12, 4), (12,) if bias else None, (4, 4), (4,) if bias else None)
    return *arrays, *(None if shape is None else rng.standard_normal(shape) for shape in shapes)


def heads_called(function):
    """By PyTorch's order of the arguments."""

    def run(q, k, v, w_in, b_in, w_out, b_out, batched=True, bias=True, **options):
        y, weights = function(
            q, k, v, *HEADS.values(), w_in, b_in, None, None, False, 0.0, w_out, b_out, **options
        )
        return (y,) if weights is None else (y, weights)

    return run


def naive_heads(q, k, v, w_in, b_in, w_out, b_out, batched=True, bias=True, **options):
    """Head by head, by the function of one head."""
    if not batched:
        y, weights = naive_heads(*(x[:, None] for x in (q, k, v)), w_in, b_in, w_out, b_out, **options)
        return y[:, 0], weights[0]
    q, k, v = (
        np.einsum("lne,fe->nlf", x, w) + b
        for x, w, b in zip((q, k, v), np.split(w_in, 3), np.split(np.zeros(12) if b_in is None else b_in, 3))
    )
    results = [naive_with_weights(*(x[..., part] for x in (q, k, v))) for part in (slice(2), slice(2, 4))]
    y = np.concatenate([y for y, _ in results], axis=-1) @ w_out.T
    weights = np.stack([weights for _, weights in results], axis=1)
    y = (y if b_out is None else y + b_out).swapaxes(0, 1)
    if not options.get("need_weights", True):
        return (y,)
    return y, weights if options.get("average_attn_weights") is False else weights.mean(axis=1)


def inputs(leading=(2,), queries=3, keys=4, size=2, values=3, mask=None):
    def make(rng, **options):
        shapes = ((*leading, queries, size), (*leading, keys, size), (*leading, keys, values))
        arrays = [rng.standard_normal(shape) for shape in shapes]
        return (*arrays, mask(rng, (*leading, queries, keys))) if mask else tuple(arrays)

    return make


def of_shapes(*shapes):
    return lambda rng, **options: tuple(rng.standard_normal(shape) for shape in shapes)


def booleans(rng, shape):
    """Some keys are hidden, and from the last query all."""
    mask = rng.uniform(size=shape) < 0.6
    mask[..., 0] = True
    mask[..., -1, :] = False
    return mask


def padding(rng, shape):
    """(N, 1, S): the last keys of each sequence are hidden from all queries."""
    mask = np.ones((shape[0], 1, shape[-1]), dtype=bool)
    mask[0, :, -2:] = False
    return mask


def additive(rng, shape):
    return rng.standard_normal(shape)


def infinite(rng, shape):
    mask = rng.standard_normal(shape[-2:])
    mask[:, 1] = -np.inf
    mask[-1, :] = -np.inf
    return mask


def case(suffix, make, options=({},), **more):
    return Case(
        f"scaled_dot_product_attention {suffix}".strip(),
        attention,
        inputs=make,
        options=options,
        torch=torch_attention,
        naive=naive,
        axes=(2, None),
        **more,
    )


def naive_sinusoidal(positions, dim, base=10000.0):
    y = np.zeros((len(positions), dim))
    for t, p in enumerate(positions):
        for k in range(dim):
            angle = p / base ** ((k - k % 2) / dim)
            y[t, k] = np.cos(angle) if k % 2 else np.sin(angle)
    return y


def naive_rotary(x, positions=None, base=10000.0, interleaved=False):
    y, half = np.zeros(x.shape), x.shape[-1] // 2
    for t in range(x.shape[-2]):
        for i in range(half):
            angle = (t if positions is None else positions[t]) * base ** (-i / half)
            a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + half)
            turned = np.exp(1j * angle) * (x[..., t, a] + 1j * x[..., t, b])
            y[..., t, a], y[..., t, b] = turned.real, turned.imag
    return y


def naive_alibi(queries, keys, num_heads):
    """Three heads: two of the power below, and the first of the four of the power above."""
    slopes = {1: [1 / 256], 2: [1 / 16, 1 / 256], 3: [1 / 16, 1 / 256, 1 / 4]}[num_heads]
    return np.asarray([[[-m * abs(p - q) for q in keys] for p in queries] for m in slopes])


CASES = [
    Case(
        "sinusoidal_positions",
        F.sinusoidal_positions,
        inputs=lambda rng, **options: (5 * rng.standard_normal(3),),
        options=[{"dim": 4}, {"dim": 3, "base": 10.0}],
        naive=naive_sinusoidal,
        axes=(1, 1),
        errors=[
            bad(ArgumentError, r"sinusoidal_positions expects dim of at least 1, got 0", dim=0),
            bad(ArgumentError, r"sinusoidal_positions expects a base above 0, got 0\.0", base=0),
        ],
    ),
    Case(
        "rotary_positions",
        F.rotary_positions,
        inputs=lambda rng, **options: (rng.standard_normal((2, 3, 4)),),
        options=[{}, {"interleaved": True, "base": 10.0}],
        naive=naive_rotary,
        axes=(2, None),
        errors=[
            bad(
                ShapeError,
                r"rotary_positions expects an input \(\.\.\., T, E\) with an even E, got shape \(2, 3\)",
                inputs=lambda rng: (np.ones((2, 3)),),
            ),
            bad(
                ShapeError,
                r"rotary_positions expects 3 positions, one for each step of the input, got shape \(2,\)",
                inputs=lambda rng: (np.ones((3, 4)), np.ones(2)),
            ),
        ],
    ),
    Case(
        "rotary_positions at other places",
        F.rotary_positions,
        inputs=lambda rng, **options: (rng.standard_normal((3, 4)), rng.standard_normal(3)),
        naive=naive_rotary,
        batched=(),
        axes=(2, None),
    ),
    Case(
        "alibi_biases",
        F.alibi_biases,
        inputs=lambda rng, **options: (rng.standard_normal(2), rng.standard_normal(3)),
        options=grid(num_heads=[1, 2, 3]),
        naive=naive_alibi,
        batched=(),
        axes=(1, 1),
        errors=[bad(ArgumentError, r"alibi_biases expects num_heads of at least 1, got 0", num_heads=0)],
    ),
    case(
        "",
        inputs((2, 2)),
        grid(scale=[None, 0.3]),
        batched=(0, 1, 2),
        errors=[
            bad(
                ShapeError,
                r"scaled_dot_product_attention expects query and key of the same size on the last axis, got "
                r"\(2, 3\) and \(2, 4\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 3))),
            ),
            bad(
                ShapeError,
                r"expects a value for every key, got 4 values and 2 keys from \(4, 3\) and \(2, 3\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 3)), np.ones((4, 3))),
            ),
            bad(
                ShapeError,
                r"expects key of 2 axes or more \(..., steps, features\), got shape \(3,\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones(3), np.ones((4, 3))),
            ),
            bad(
                ShapeError,
                r"expects an attn_mask that broadcasts to \(2, 4\), got one of shape \(2, 3\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 3)), np.ones((2, 3))),
            ),
            bad(
                DTypeError,
                r"expects attn_mask of booleans or float64, got int64",
                inputs=lambda rng: (*[np.ones((2, 3))] * 3, np.ones((2, 2), dtype=np.int64)),
            ),
            bad(
                ArgumentError,
                r"expects attn_mask or is_causal, got both\. Put the causal mask into attn_mask",
                inputs=lambda rng: (*[np.ones((2, 3))] * 3, np.ones((2, 2), dtype=bool)),
                is_causal=True,
            ),
            bad(ArgumentError, r"expects dropout_p between 0 and 1, got 1\.5", dropout_p=1.5),
            bad(
                ShapeError,
                r"number of heads \(axis -3\) of key that divides that of the query, got \(2, 2, 3\) and",
                inputs=lambda rng: (np.ones((3, 2, 3)), *[np.ones((2, 2, 3))] * 2),
                enable_gqa=True,
            ),
        ],
    ),
    case("of one sequence", inputs(()), batched=()),
    # PyTorch adds minus infinity to what is hidden, and infinity less infinity is NaN (not in each of its
    # routines). `attention_with_weights` is tried with infinities, against scores that are replaced.
    case(
        "that is causal",
        inputs((2, 2)),
        grid(is_causal=True, scale=[None, 0.3]),
        batched=(0, 1, 2),
        extremes=(),
    ),
    case(
        "with more queries than keys",
        inputs((2,), 5, 3),
        grid(is_causal=True),
        batched=(0, 1, 2),
        extremes=(),
    ),
    case("with booleans", inputs((2,), mask=booleans), batched=(0, 1, 2, 3)),
    case("with padding", inputs((2,), mask=padding), batched=()),
    case("with a mask added", inputs((2,), mask=additive), batched=(0, 1, 2, 3), own_dtype=(3,)),
    case(
        "with minus infinity",
        inputs((2,), mask=infinite),
        batched=(),
        differentiable=(0, 1, 2),
        own_dtype=(3,),
    ),
    case("of groups of heads", of_shapes((4, 3, 2), (2, 3, 2), (2, 3, 3)), grid(enable_gqa=True), batched=()),
    case("broadcast", of_shapes((2, 1, 3, 2), (2, 4, 2), (1, 4, 3)), batched=()),
    case("without keys", inputs((2,), keys=0), batched=(), second_order=False, extremes=()),
    case("of large scores", of_shapes((3, 2), (4, 2), (4, 3)), grid(scale=[50.0]), batched=(), rtol=1e-7),
    Case(
        "attention_with_weights",
        lambda q, k, v, mask=None, **options: F.attention_with_weights(q, k, v, mask, **options),
        inputs=inputs((2,)),
        options=grid(is_causal=[False, True]),
        torch=torch_with_weights,
        naive=naive_with_weights,
        axes=(2, None),
        batched=(0, 1, 2),
    ),
    Case(
        "attention_with_weights with a mask added",
        lambda q, k, v, mask=None, **options: F.attention_with_weights(q, k, v, mask, **options),
        inputs=inputs((2,), mask=additive),
        torch=torch_with_weights,
        naive=naive_with_weights,
        axes=(2, None),
        batched=(0, 1, 2, 3),
        own_dtype=(3,),
    ),
    Case(
        "multi_head_attention_forward",
        heads_called(F.multi_head_attention_forward),
        inputs=heads_inputs,
        options=[
            {},
            {"need_weights": False},
            {"average_attn_weights": False, "bias": False},
            {"batched": False},
        ],
        torch=lambda torch, *inputs, **options: heads_called(
            torch.nn.functional.multi_head_attention_forward
        )(*inputs, **options),
        naive=naive_heads,
        axes=(2, 3),
        batched=(),
        extremes=(),  # PyTorch's faster routines lose a NaN
    ),
]

QUERIES, KEYS, EMBED = 3, 4, 8
PADDING = np.asarray([[False, False, False, True], [False, True, False, True]])
HIDDEN = np.triu(np.ones((QUERIES, KEYS), dtype=bool), 1)
ADDED = np.linspace(-1, 1, 4 * QUERIES * KEYS).reshape(4, QUERIES, KEYS)
MASKS = [
    {},
    {"key_padding_mask": PADDING},
    {"attn_mask": HIDDEN},
    {"key_padding_mask": PADDING, "attn_mask": HIDDEN},
    {"attn_mask": ADDED[0]},
    {"attn_mask": ADDED},
    {"attn_mask": ADDED[0], "key_padding_mask": np.linspace(0, 1, 2 * KEYS).reshape(2, KEYS)},
]


def heads(batch_first=False, kdim=EMBED, vdim=EMBED, **options):
    """MultiheadAttention with queries, keys and values of a batch of two."""
    shapes = [
        (2, steps, size) if batch_first else (steps, 2, size)
        for steps, size in ((QUERIES, EMBED), (KEYS, kdim), (KEYS, vdim))
    ]
    sizes = {"kdim": kdim, "vdim": vdim} if (kdim, vdim) != (EMBED, EMBED) else {}
    more = {"batch_first": True} if batch_first else {}
    return layer("MultiheadAttention", *shapes, embed_dim=EMBED, num_heads=2, **sizes, **more, **options)


BLOCK = {"d_model": EMBED, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
BLOCKS = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"batch_first": True, "bias": False, "layer_norm_eps": 1e-3},
]
SOURCE, TARGET = (KEYS, 2, EMBED), (QUERIES, 2, EMBED)
CAUSAL = np.triu(np.ones((QUERIES, QUERIES), dtype=bool), 1)


def block(name, *shapes, batch_first=False, **options):
    """A part of a transformer with sequences of a batch of two."""
    shapes = [(n, steps, size) if batch_first else (steps, n, size) for steps, n, size in shapes]
    more = {"batch_first": True} if batch_first else {}
    return layer(name, *shapes, **BLOCK, **more, **options)


LAYERS = [
    layer("LearnedPositions", (3, 2, 4), max_length=5, embed_dim=4),
    layer("RotaryPositions", (2, 3, 4), interleaved=True),
    layer("SinusoidalPositions", (2, 3, 4), embed_dim=4, batch_first=True),
    *[
        made.called(**mask)
        for mask in MASKS
        for made in (
            heads(),
            heads(bias=False),
            heads(batch_first=True),
            heads(kdim=5, vdim=6),
            heads(kdim=5, vdim=6, bias=False, batch_first=True),
            heads(add_bias_kv=True),
            heads(add_zero_attn=True, add_bias_kv=True, kdim=5),
        )
    ],
    *[
        heads(**options).called(**mask, **weights)
        for weights in ({"need_weights": False}, {"average_attn_weights": False})
        for mask in MASKS
        for options in ({}, {"add_zero_attn": True, "add_bias_kv": True})
    ],
    *[
        layer(
            "MultiheadAttention", shape, 0, 0, embed_dim=EMBED, num_heads=2, batch_first=batch_first
        ).called(need_weights=need_weights)
        for shape in ((3, 2, EMBED), (3, EMBED))
        for batch_first in (False, True)
        for need_weights in (False, True)
    ],
    *[block("TransformerEncoderLayer", SOURCE, **options) for options in BLOCKS],
    block("TransformerEncoderLayer", SOURCE).called(
        src_mask=np.triu(np.ones((KEYS, KEYS), dtype=bool), 1), src_key_padding_mask=PADDING
    ),
    *[
        block("TransformerDecoderLayer", TARGET, SOURCE, **options).called(
            tgt_mask=CAUSAL, memory_key_padding_mask=PADDING
        )
        for options in BLOCKS
    ],
    layer("TransformerEncoder", SOURCE, encoder_layer=block("TransformerEncoderLayer"), num_layers=2),
    layer(
        *("TransformerDecoder", TARGET, SOURCE),
        decoder_layer=block("TransformerDecoderLayer"),
        num_layers=2,
        norm=layer("LayerNorm", normalized_shape=EMBED),
    ),
    *[
        block(*("Transformer", SOURCE, TARGET), num_encoder_layers=2, num_decoder_layers=2, **options).called(
            tgt_mask=CAUSAL, src_key_padding_mask=PADDING
        )
        for options in BLOCKS
    ],
]
