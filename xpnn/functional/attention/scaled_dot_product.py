"""Attention: every query takes the mean of all values, weighed by how well their keys match it.

The softmax over the keys needs nothing of the forward but the logarithm of its denominator, one number for
each query: with it the backward finds the weights again. So the forward keeps its inputs and its *outputs*
only - that logarithm is one - and the same backward gives the second derivative.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Primitive, Tensor, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.autograd.ops.broadcasting import broadcast_shapes, unbroadcast
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    ShapeError,
    device_of,
    namespace,
)
from xpnn.functional.arguments import (
    check_flags,
    check_floating,
    check_probability,
    check_same_dtype,
    number,
    raw_array,
    shape_of,
    type_name,
)
from xpnn.functional.attention.ways import allowed_ways, way_of
from xpnn.functional.dropout import draw_kept, dropout, factors_of

__all__ = ["attention_with_weights", "scaled_dot_product_attention"]

_SUBJECT = "scaled_dot_product_attention"


def scaled_dot_product_attention(
    query: ArrayT,
    key: Array | Tensor,
    value: Array | Tensor,
    attn_mask: Array | Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> ArrayT:
    """For every query the mean of the values, weighed by the softmax of the products with the keys.

        S = scale Q K^T + mask        P_ij = e^S_ij / sum_j e^S_ij        D = P m / (1 - p)        Y = D V

    with m the dropout mask, 1 with probability 1 - p. Backward:

        gV = D^T gY        gP = gY V^T m / (1 - p)        gS_ij = P_ij (gP_ij - sum_k gY_ik Y_ik)
        gQ = scale gS K        gK = scale gS^T Q        gmask = gS

    The largest score is subtracted before the exponential, so that nothing overflows. A query that is
    allowed no key gets zeros, and passes no gradient on.

    Args:
        query: (..., L, E), floating. key: (..., S, E). value: (..., S, EV). Leading axes are broadcast.
        attn_mask: broadcasts to (..., L, S): booleans, True where a query may see a key; or floats of the
            query's dtype, or float32, that are added to the scores, with a gradient of their own.
        dropout_p: the probability that a weight is set to zero; the mask is the next one of
            `xpnn.random.default_stream()`. There is no training mode here: pass 0.0 at test time.
        is_causal: query i sees the keys up to i alone; not together with attn_mask.
        scale: what the products are multiplied by; None is E^-1/2.
        enable_gqa: whether key and value may have fewer heads (axis -3) than the query, each of them for
            several heads of the query that follow each other.

    Returns: (..., L, EV).

    Raises: ShapeError if sizes do not fit; DTypeError for integers, mixed precision or a mask of another
    type; ArgumentError for a mask besides is_causal.

    See: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin (2017), "Attention is all you
    need"; Dao, Fu, Ermon, Rudra & Ré (2022), "FlashAttention" for the backward; Ainslie, Lee-Thorp, de Jong,
    Zemlyanskiy, Lebrón & Sanghai (2023), "GQA" for grouped queries.

    >>> import numpy as np
    >>> q, k, v = np.asarray([[1e4]]), np.asarray([[1.0], [2.0]]), np.asarray([[3.0], [4.0]])
    >>> scaled_dot_product_attention(q, k, v).tolist()
    [[4.0]]
    """
    check_flags(_SUBJECT, is_causal=is_causal, enable_gqa=enable_gqa)
    query, key, value = _checked(query, key, value, enable_gqa)
    mask, scale = _additive(attn_mask, query, key, is_causal), _scale(scale, query)
    check_probability(dropout_p, _SUBJECT, "dropout_p")
    keep = None
    if dropout_p > 0.0:
        keep = draw_kept(_scores_shape(query, key), dropout_p, raw_array(query))
    arrays = query, key, value, mask, keep
    options = {"causal": is_causal, "scale": scale, "dropout": float(dropout_p)}
    attend = (
        _attention if allowed_ways() is None else way_of(_attention, _attention_by_formula, arrays, options)
    )
    return attend(*arrays, **options)[0]


@half_in_float32
def attention_with_weights(
    query: ArrayT,
    key: Array | Tensor,
    value: Array | Tensor,
    attn_mask: Array | Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[ArrayT, ArrayT]:
    """`scaled_dot_product_attention` that shows its weights too: (Y, D), with D after the dropout.

    Gradients pass through both results. It keeps the weights, (..., L, S), which the other one doesn't.

    >>> import numpy as np
    >>> x = np.asarray([[0.0], [0.0]])
    >>> attention_with_weights(x, x, x, is_causal=True)[1].tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    check_flags("attention_with_weights", is_causal=is_causal)
    query, key, value = _checked(query, key, value, False)
    mask, scale = _additive(attn_mask, query, key, is_causal), _scale(scale, query)
    weights = dropout(_attention_weights(query, key, mask, causal=is_causal, scale=scale), dropout_p)
    return namespace(weights, value).matmul(weights, value), weights


@primitive
def _attention(q, k, v, mask, keep, *, causal, scale, dropout):
    """Y, and for each query the logarithm of its softmax's denominator, (..., L, 1)."""
    xp = namespace(q)
    weights, log_total = _softmax(_scores(q, k, mask, causal, scale))
    if keep is not None:
        weights = weights * factors_of(keep, dropout, weights)
    y = xp.matmul(weights, v)
    return (y, log_total), (q, k, v, mask, keep, y, log_total)


@_attention.backward
def _attention_backward(gradients, saved, needs, *, causal, scale, dropout):
    q, k, v, mask, keep, y, log_total = saved
    gy, g_log = gradients
    xp = namespace(q, k, v, mask, y, gy, g_log)
    if gy is None:
        gy = xp.zeros_like(y)
    p = xp.exp(_scores(q, k, mask, causal, scale) - log_total)
    gp, d = xp.matmul(gy, v.mT), p
    if keep is not None:
        factors = factors_of(keep, dropout, p)
        gp, d = gp * factors, p * factors
    shift = xp.sum(gy * y, axis=-1, keepdims=True)
    if g_log is not None:
        shift = shift - g_log
    gs = _where_seen(p, gp - shift)
    gv = unbroadcast(xp.matmul(d.mT, gy), tuple(v.shape), v.dtype) if needs[2] else None
    gq, gk, gmask = _score_gradients(gs, q, k, mask, (needs[0], needs[1], needs[3]), scale)
    return gq, gk, gv, gmask, None


# What `sdpa_kernel(SDPBackend.MATH)` asks for: no kernels are registered under this name.
_attention_by_formula = Primitive(_attention.forward, "attention_by_formula")
_attention_by_formula.backward(_attention_backward)


def self_attention(
    x: Any, heads: int, mask: Any | None, dropout_p: float, is_causal: bool, batch_first: bool
) -> Any:
    """`scaled_dot_product_attention` of queries, keys and values of several heads that lie side by side.

    Args:
        x: (N, T, 3 E) if batch_first, else (T, N, 3 E): along the last axis the queries of all heads, then
            their keys, then their values.
        mask: broadcasts to (N, heads, T, T), of x's dtype, to add to the scores, or None.

    Returns: (N, T, E), or (T, N, E), the results of all heads side by side.

    >>> import numpy as np
    >>> self_attention(np.ones((2, 3, 12)), 2, None, 0.0, False, True).shape
    (2, 3, 4)
    """
    batch, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    keep = None
    if dropout_p > 0.0:
        keep = draw_kept((batch, heads, steps, steps), dropout_p, raw_array(x))
    scale = 1.0 / math.sqrt(x.shape[2] // 3 // heads)
    options = {"causal": is_causal, "scale": scale, "dropout": float(dropout_p)}
    options |= {"heads": heads, "batch_first": batch_first}
    arrays, attend = (x, mask, keep), _self_attention
    if allowed_ways() is not None:
        attend = way_of(_self_attention, _self_attention_by_formula, arrays, options)
    return attend(*arrays, **options)[0]


def heads_apart(x: Any, heads: int, batch_first: bool) -> Any:
    """(N, T, E), or (T, N, E) unless batch_first, to (N, heads, T, E / heads)."""
    xp = namespace(x)
    apart = xp.reshape(x, (*x.shape[:2], heads, x.shape[2] // heads))
    return xp.permute_dims(apart, (0, 2, 1, 3) if batch_first else (1, 2, 0, 3))


def heads_joined(y: Any, batch_first: bool) -> Any:
    """The inverse of `heads_apart`."""
    xp = namespace(y)
    y = xp.permute_dims(y, (0, 2, 1, 3) if batch_first else (2, 0, 1, 3))
    return xp.reshape(y, (*y.shape[:2], y.shape[2] * y.shape[3]))


@primitive
def _self_attention(x, mask, keep, *, heads, batch_first, causal, scale, dropout):
    """`_attention` of views of one array, x (N, T, 3 E) or (T, N, 3 E), and the heads' results side by side.

    As a primitive of its own it sends one gradient back, where each of the views would send one that is
    zero but for a third.
    """
    options = {"causal": causal, "scale": scale, "dropout": dropout}
    (y, log_total), _ = _attention.forward(*_unpacked(x, heads, batch_first), mask, keep, **options)
    y = heads_joined(y, batch_first)
    return (y, log_total), (x, mask, keep, y, log_total)


@_self_attention.backward
def _self_attention_backward(gradients, saved, needs, *, heads, batch_first, **options):
    x, mask, keep, y, log_total = saved
    gy, g_log = gradients
    gy, y = (None if a is None else heads_apart(a, heads, batch_first) for a in (gy, y))
    parts = _unpacked(x, heads, batch_first)
    saved, needs = (*parts, mask, keep, y, log_total), (True, True, True, needs[1], False)
    *gradients, gmask, _ = _attention_backward((gy, g_log), saved, needs, **options)
    gradients = [heads_joined(g, batch_first) for g in gradients]
    return namespace(*gradients).concat(gradients, axis=-1), gmask, None


_self_attention_by_formula = Primitive(_self_attention.forward, "self_attention_by_formula")
_self_attention_by_formula.backward(_self_attention_backward)


def _unpacked(x: Any, heads: int, batch_first: bool) -> list[Any]:
    """The heads' queries, keys and values."""
    size = x.shape[2] // 3
    return [heads_apart(x[..., i * size : (i + 1) * size], heads, batch_first) for i in range(3)]


@primitive
def _attention_weights(q, k, mask, *, causal, scale):
    p, _ = _softmax(_scores(q, k, mask, causal, scale))
    return p, (q, k, mask, p)


@_attention_weights.backward
def _attention_weights_backward(gp, saved, needs, *, causal, scale):
    q, k, mask, p = saved
    xp = namespace(q, k, mask, p, gp)
    gs = _where_seen(p, gp - xp.sum(_where_seen(p, gp), axis=-1, keepdims=True))
    return _score_gradients(gs, q, k, mask, needs, scale)


def _where_seen(p: Any, x: Any) -> Any:
    """p x, and 0 where p is 0: the value of a key that is not seen may be infinite."""
    return p * select(p != 0, x)


def _scores(q: Any, k: Any, mask: Any | None, causal: bool, scale: float) -> Any:
    """S, with minus infinity where a query may not see a key."""
    s = namespace(q, k).matmul(q * scale, k.mT)
    if mask is not None:
        s = s + mask
    if causal:
        raw = raw_array(s)
        allowed = up_to_diagonal(raw, *raw.shape[-2:])
        s = select(allowed, s) + _minus_infinity_unless(allowed, raw)  # a hidden key may be infinite, or NaN
    return s


def up_to_diagonal(like: Array, queries: int, keys: int) -> Array:
    """(queries, keys) booleans: True up to the diagonal."""
    xp, device = namespace(like), device_of(like)
    rows, columns = (xp.arange(size, device=device) for size in (queries, keys))
    return columns[None, :] <= rows[:, None]


def _minus_infinity_unless(allowed: Array, like: Array) -> Array:
    xp, device = namespace(like), device_of(like)
    zero, low = (xp.asarray(value, dtype=like.dtype, device=device) for value in (0.0, -math.inf))
    return xp.where(allowed, zero, low)


def _softmax(s: Array) -> tuple[Array, Array]:
    """The softmax along the last axis and the logarithm of its denominator: zeros and 0 for a row of -inf."""
    xp = namespace(s)
    if s.shape[-1] == 0:  # nothing to take the maximum of
        return s, xp.sum(s, axis=-1, keepdims=True)
    peak = xp.max(s, axis=-1, keepdims=True)
    peak = xp.where(peak == -math.inf, xp.zeros_like(peak), peak)
    e = xp.exp(s - peak)
    total = xp.sum(e, axis=-1, keepdims=True)
    total = xp.where(total == 0, xp.ones_like(total), total)
    return e / total, peak + xp.log(total)


def _score_gradients(
    gs: Any, q: Any, k: Any, mask: Any | None, needs: tuple[bool, ...], scale: float
) -> tuple[Any, Any, Any]:
    """The gradients of the queries, the keys and the mask from that of the scores."""
    xp = namespace(gs, q, k)
    gmask = None if mask is None or not needs[2] else unbroadcast(gs, tuple(mask.shape), mask.dtype)
    gs = gs * scale
    gq = unbroadcast(xp.matmul(gs, k), tuple(q.shape), q.dtype) if needs[0] else None
    gk = unbroadcast(xp.matmul(gs.mT, q), tuple(k.shape), k.dtype) if needs[1] else None
    return gq, gk, gmask


def _scale(scale: float | None, q: Any) -> float:
    if scale is not None:
        return number(scale, "scale", _SUBJECT)
    return 1.0 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0


def _scores_shape(q: Any, k: Any) -> tuple[int, ...]:
    leading = broadcast_shapes(tuple(q.shape[:-2]), tuple(k.shape[:-2]))
    return (*leading, q.shape[-2], k.shape[-2])


def _additive(mask: Any | None, q: Any, k: Any, causal: bool) -> Any | None:
    """The mask as something to add to the scores."""
    if mask is None:
        return None
    if causal:
        raise ArgumentError(
            "expects attn_mask or is_causal, got both",
            subject=_SUBJECT,
            hint="Put the causal mask into attn_mask",
        )
    shape = _scores_shape(q, k)
    fits = len(mask.shape) <= len(shape) and all(
        a in (1, b) for a, b in zip(reversed(mask.shape), reversed(shape))
    )
    if not fits:
        raise ShapeError(
            f"expects an attn_mask that broadcasts to {shape}, got one of shape {shape_of(mask)}",
            subject=_SUBJECT,
        )
    if namespace(mask, q).isdtype(mask.dtype, "bool"):
        return _minus_infinity_unless(raw_array(mask), raw_array(q))
    mine, its = raw_array(q).dtype, raw_array(mask).dtype
    if mine == its:
        return mask
    if type_name(mask) != "float32":  # which PyTorch takes beside any query
        raise DTypeError(
            f"expects attn_mask of booleans or {type_name(q)}, got {type_name(mask)}",
            subject=_SUBJECT,
        )
    return namespace(mask).astype(mask, mine)


def _checked(q: Any, k: Any, v: Any, enable_gqa: bool) -> tuple[Any, Any, Any]:
    """The three arrays, with as many heads of keys and values as of queries."""
    check_floating(q, _SUBJECT, "query")
    for name, x in {"query": q, "key": k, "value": v}.items():
        if len(shape_of(x, _SUBJECT, name)) < 2:
            raise ShapeError(
                f"expects {name} of 2 axes or more (..., steps, features), got shape {shape_of(x)}",
                subject=_SUBJECT,
            )
    check_same_dtype(_SUBJECT, q, key=k, value=v)
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(
            f"expects query and key of the same size on the last axis, got {shape_of(q)} and {shape_of(k)}",
            subject=_SUBJECT,
        )
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"expects a value for every key, got {v.shape[-2]} values and {k.shape[-2]} keys "
            f"from {shape_of(v)} and {shape_of(k)}",
            subject=_SUBJECT,
        )
    if enable_gqa:
        k, v = _repeated(k, q, "key"), _repeated(v, q, "value")
    leading = [tuple(x.shape[:-2]) for x in (q, k, v)]
    if not leading[0] == leading[1] == leading[2]:
        broadcast_shapes(*leading)
    return q, k, v


def _repeated(x: Any, q: Any, name: str) -> Any:
    """The heads of keys or values, each as often in a row as there are heads of queries for it."""
    if x.ndim < 3 or q.ndim < 3 or not x.shape[-3] or q.shape[-3] % x.shape[-3]:
        raise ShapeError(
            f"expects a number of heads (axis -3) of {name} that divides that of the query, "
            f"got {shape_of(x)} and {shape_of(q)}",
            subject=_SUBJECT,
        )
    times = q.shape[-3] // x.shape[-3]
    return x if times == 1 else namespace(x).repeat(x, times, axis=-3)
