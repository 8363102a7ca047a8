"""Attention by several heads, each on its own projections of queries, keys and values."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, DTypeError, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_flags,
    check_rank,
    check_same_dtype,
    check_shape,
    raw_array,
    shape_of,
    type_name,
)
from xpnn.functional.attention.scaled_dot_product import (
    attention_with_weights,
    heads_apart,
    heads_joined,
    scaled_dot_product_attention,
    self_attention,
    up_to_diagonal,
)
from xpnn.functional.linear import linear

__all__ = ["multi_head_attention_forward"]

_SUBJECT = "multi_head_attention_forward"

Past = Callable[[Callable[[], tuple[Any, Any]]], tuple[Any, Any, int]]


@half_in_float32
def multi_head_attention_forward(
    query: Array | Tensor,
    key: Array | Tensor,
    value: Array | Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Array | Tensor | None,
    in_proj_bias: Array | Tensor | None,
    bias_k: Array | Tensor | None,
    bias_v: Array | Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Array | Tensor,
    out_proj_bias: Array | Tensor | None,
    training: bool = True,
    key_padding_mask: Array | Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Array | Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Array | Tensor | None = None,
    k_proj_weight: Array | Tensor | None = None,
    v_proj_weight: Array | Tensor | None = None,
    static_k: Array | Tensor | None = None,
    static_v: Array | Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_first: bool = False,
    past: Past | None = None,
) -> tuple[Any, Any]:
    """Project, attend with every head, and project what the heads found, side by side.

        head_h = attention(Q W_q,h^T + b_q,h, K W_k,h^T + b_k,h, V W_v,h^T + b_v,h)
        Y = (head_1, ..., head_H) W_o^T + b_o

    The gradients are those of `scaled_dot_product_attention` and `linear`.

    Args:
        query: (L, N, E) or (L, E), floating. key: (S, N, K). value: (S, N, V).
        embed_dim_to_check: E. num_heads: H, which divides E.
        in_proj_weight: (3 E, E), the weights of queries, keys and values below each other; not used with
            use_separate_proj_weight, but q_proj_weight (E, E), k_proj_weight (E, K), v_proj_weight (E, V).
        in_proj_bias: (3 E,) or None.
        bias_k, bias_v: (1, 1, E), one more key and value, or None.
        add_zero_attn: whether there are one more key and value of zeros.
        dropout_p: the probability that an attention weight is set to zero, in training.
        out_proj_weight: (E, E). out_proj_bias: (E,) or None.
        key_padding_mask: (N, S) or (S,), booleans, True where a key is *not* to be seen; or floats to add.
        need_weights: whether the attention weights are returned; it is faster without.
        attn_mask: (L, S), or (N H, L, S), in the sense of key_padding_mask.
        static_k, static_v: (N H, S, E / H), keys and values of all heads in place of the projected ones; not
            together with bias_k and bias_v.
        average_attn_weights: whether the returned weights are the mean of the heads.
        is_causal: query i sees the keys up to i alone. Says in PyTorch that attn_mask is causal; here it
            needs no mask beside it, and one that is there counts too.
        batch_first: whether arrays are (N, steps, features), which PyTorch's has no argument for.
        past: makes of a function that projects the keys and values, (N, H, S, E / H), those to attend to, S
            of them for the masks, and tells how many are before that of query 0; see `nn.KeyValueCache`.

    Returns: Y like the query; the weights (N, L, S), or (N, H, L, S), after dropout; None without
    need_weights. A query that may see no key gets the weights 0, where PyTorch's are NaN.

    Raises: ShapeError if sizes do not fit; DTypeError for a mask of another type.

    See: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin (2017), "Attention is all you
    need".

    >>> import numpy as np
    >>> x, w = np.ones((3, 1, 2)), np.eye(2)
    >>> y, weights = multi_head_attention_forward(
    ...     x, x, x, 2, 2, np.concat([w, w, w]), None, None, None, False, 0.0, w, None)
    >>> y.shape, weights.round(2).tolist()[0][0]
    ((3, 1, 2), [0.33, 0.33, 0.33])
    """
    check_flags(
        "multi_head_attention_forward",
        add_zero_attn=add_zero_attn,
        training=training,
        need_weights=need_weights,
        use_separate_proj_weight=use_separate_proj_weight,
        average_attn_weights=average_attn_weights,
        is_causal=is_causal,
        batch_first=batch_first,
    )
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else ()
    for weight in separate or (in_proj_weight,):
        check_rank(weight, 2, _SUBJECT, "E, features", "a projection's weight")
    batched = query.ndim == 3
    batch_first = batch_first and batched
    _check(query, key, value, embed_dim_to_check, num_heads, batch_axis=0 if batch_first else 1)
    if not batched:
        same = key is query, value is key
        query = query[:, None, :]
        key = query if same[0] else key[:, None, :]
        value = key if same[1] else value[:, None, :]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None, :]
    dropout_p = dropout_p if training else 0.0
    one_product = not use_separate_proj_weight and key is query and value is key
    fixed = static_k is not None or static_v is not None
    plain = not (need_weights or fixed or add_zero_attn) and bias_k is None and past is None
    if one_product and plain:
        x = linear(query, in_proj_weight, in_proj_bias)
        steps = query.shape[1 if batch_first else 0]
        sizes = query.shape[0 if batch_first else 1], num_heads, steps, steps
        mask = _mask(attn_mask, key_padding_mask, x, sizes)
        y, seen = self_attention(x, num_heads, mask, dropout_p, is_causal, batch_first), None
    else:
        weights = separate or None
        of_heads = functools.partial(heads_apart, heads=num_heads, batch_first=batch_first)
        if one_product:
            q, k, v = map(of_heads, _projections(query, in_proj_weight, in_proj_bias))
            k, v, before = (k, v, 0) if past is None else past(lambda: (k, v))
        else:
            project = functools.partial(
                _projection, packed=in_proj_weight, separate=weights, bias=in_proj_bias
            )

            def keys_and_values() -> tuple[Any, Any]:
                return of_heads(project(key, 1)), of_heads(project(value, 2))

            q = of_heads(project(query, 0))
            k, v, before = (*keys_and_values(), 0) if past is None else past(keys_and_values)
        if fixed:
            k, v = _fixed(static_k, k, bias_k, "static_k"), _fixed(static_v, v, bias_v, "static_v")
        mask = _mask(attn_mask, key_padding_mask, q, (*q.shape[:3], k.shape[2]))
        for extra in _extra_keys(bias_k, bias_v, add_zero_attn, k, v):
            k, v = (namespace(x, more).concat([x, more], axis=-2) for x, more in zip((k, v), extra))
            mask = None if mask is None else _with_column_of_zeros(mask)
        y, seen = _attended(q, k, v, mask, dropout_p, is_causal, need_weights, before)
        y = heads_joined(y, batch_first)
    if seen is not None:
        seen = namespace(seen).mean(seen, axis=1) if average_attn_weights else seen
        seen = seen if batched else seen[0, ...]
    y = linear(y, out_proj_weight, out_proj_bias)
    return (y if batched else y[:, 0, :]), seen


def _fixed(given: Any | None, projected: Any, bias: Any | None, name: str) -> Any:
    """Keys or values (N, H, S, E / H): those that are given, or else the projected ones."""
    if given is None:
        return projected
    batch, heads, _, size = projected.shape
    if bias is not None:
        raise ArgumentError(f"expects {name} or add_bias_kv, got both", subject=_SUBJECT)
    check_rank(given, 3, _SUBJECT, "N heads, S, E / heads", name)
    check_shape(given, (batch * heads, given.shape[1], size), _SUBJECT, name)
    check_same_dtype(_SUBJECT, projected, **{name: given})
    return namespace(given).reshape(given, (batch, heads, given.shape[1], size))


def _projections(x: Any, weight: Any, bias: Any | None) -> list[Any]:
    """Queries, keys and values of one array, of all heads side by side, in one product."""
    y = linear(x, weight, bias)
    xp = namespace(y)
    return list(xp.unstack(xp.reshape(y, (*y.shape[:2], 3, y.shape[2] // 3)), axis=2))


def _projection(x: Any, i: int, packed: Any, separate: Any, bias: Any | None) -> Any:
    """Of one array the queries (i = 0), keys (1) or values (2) of all heads side by side."""
    size = (packed if separate is None else separate[0]).shape[-2] // (3 if separate is None else 1)
    rows = slice(i * size, (i + 1) * size)
    weight = packed[rows, :] if separate is None else separate[i]
    return linear(x, weight, None if bias is None else bias[rows])


def _attended(
    q: Any,
    k: Any,
    v: Any,
    mask: Any | None,
    dropout_p: float,
    is_causal: bool,
    need_weights: bool,
    before: int,
) -> tuple[Any, Any]:
    """What the heads found, and the weights if they are asked for; query i stands at key `before` + i."""
    if is_causal and before + 1 == k.shape[2]:  # all keys are before the one query, or at its place
        is_causal = False
    if is_causal and (mask is not None or before):
        causal = _causal_mask(q, k, before)
        mask, is_causal = causal if mask is None else mask + causal, False
    if need_weights:
        return attention_with_weights(q, k, v, mask, dropout_p, is_causal)
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None


def _extra_keys(bias_k: Any | None, bias_v: Any | None, zero: bool, k: Any, v: Any) -> list[tuple[Any, Any]]:
    """Pairs of one more key and value, (N, H, 1, E / H) each."""
    extra = []
    batch, heads, _, size = k.shape
    if bias_k is not None and bias_v is not None:
        rows = []
        for bias in (bias_k, bias_v):
            xp = namespace(bias)
            rows.append(xp.broadcast_to(xp.reshape(bias, (1, heads, 1, size)), (batch, heads, 1, size)))
        extra.append((rows[0], rows[1]))
    if zero:
        raw = raw_array(k)
        shape = (batch, heads, 1, size)
        zeros = namespace(raw).zeros(shape, dtype=raw.dtype, device=device_of(raw))
        extra.append((zeros, zeros))
    return extra


def _mask(
    attn_mask: Any | None, key_padding_mask: Any | None, like: Any, sizes: tuple[int, ...]
) -> Any | None:
    """Both masks in one, to add to scores of these sizes (N, H, L, S), in the element type of `like`."""
    batch, heads, queries, keys = sizes
    mask = None
    if attn_mask is not None:
        allowed = ((queries, keys), (batch * heads, queries, keys))
        if tuple(attn_mask.shape) not in allowed:
            raise ShapeError(
                f"expects attn_mask of shape {allowed[0]} or {allowed[1]}, got {shape_of(attn_mask)}",
                subject=_SUBJECT,
            )
        mask = _additive(attn_mask, like, "attn_mask")
        if mask.ndim == 3:
            mask = namespace(mask).reshape(mask, (batch, heads, queries, keys))
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (batch, keys):
            raise ShapeError(
                f"expects key_padding_mask of shape {(batch, keys)}, got {shape_of(key_padding_mask)}",
                subject=_SUBJECT,
            )
        padding = _additive(key_padding_mask, like, "key_padding_mask")
        padding = namespace(padding).reshape(padding, (batch, 1, 1, keys))
        mask = padding if mask is None else mask + padding
    return mask


def _additive(mask: Any, q: Any, name: str) -> Any:
    """Booleans, True where a key is not to be seen, as 0 and minus infinity; floats as they are."""
    like = raw_array(q)
    xp, device = namespace(like), device_of(like)
    if namespace(mask).isdtype(mask.dtype, "bool"):
        low, zero = (xp.asarray(value, dtype=like.dtype, device=device) for value in (-math.inf, 0.0))
        return xp.where(raw_array(mask), low, zero)
    if mask.dtype != like.dtype:
        raise DTypeError(
            f"expects {name} of booleans or {type_name(like)}, got {type_name(mask)}",
            subject=_SUBJECT,
        )
    return mask


def _causal_mask(q: Any, k: Any, before: int) -> Array:
    raw = raw_array(q)
    allowed = up_to_diagonal(raw, before + q.shape[2], k.shape[2])[before:, :]
    return _additive(namespace(raw).logical_not(allowed), raw, "")


def _with_column_of_zeros(mask: Any) -> Any:
    raw = raw_array(mask)
    xp = namespace(raw)
    column = xp.zeros((*raw.shape[:-1], 1), dtype=raw.dtype, device=device_of(raw))
    return namespace(mask).concat([mask, column], axis=-1)


def _check(query: Any, key: Any, value: Any, size: int, heads: int, batch_axis: int) -> None:
    check_rank(query, (2, 3), _SUBJECT, "L, N, E or L, E", "query")
    for name, x in {"key": key, "value": value}.items():
        check_rank(x, query.ndim, _SUBJECT, "S, N, features" if query.ndim == 3 else "S, features", name)
    if query.shape[-1] != size:
        raise ShapeError(
            f"expects {size} features on the last axis of the query, got {query.shape[-1]} from shape "
            f"{shape_of(query)}",
            subject=_SUBJECT,
            hint=f"Did you mean embed_dim={query.shape[-1]}?",
        )
    if heads < 1 or size % heads:
        raise ArgumentError(f"expects num_heads that divides embed_dim={size}, got {heads}", subject=_SUBJECT)
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]) or (
        query.ndim == 3 and key.shape[batch_axis] != query.shape[batch_axis]
    ):
        shapes = ", ".join(str(shape_of(x)) for x in (query, key, value))
        raise ShapeError(
            f"expects (L, N, E), (S, N, K) and (S, N, V), got {shapes}",
            subject=_SUBJECT,
            hint="Is batch_first set as it should be?",
        )
