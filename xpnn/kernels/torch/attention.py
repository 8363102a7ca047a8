"""Attention by PyTorch's own tiled routine for the CPU, which never holds all scores at once.

See: Dao, Fu, Ermon, Rudra & Ré (2022), "FlashAttention: fast and memory-efficient exact attention with
IO-awareness".
"""

from __future__ import annotations

import math
from typing import Any

import torch

from xpnn.backend import kernel
from xpnn.kernels.torch.graph import Array, no_user_graph

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

# Earlier versions give NaN to a query that may see no key.
_TAKES_MASKS = torch.__version__ >= "2.5"


def _fits(x: Array, mask: Array | None, keep: Array | None) -> bool:
    """Guard: whether the routine takes the call. It has no use for a dropout mask that is drawn by us."""
    usual = keep is None and x.device.type == "cpu" and x.numel() > 0
    return usual and (mask is None or _TAKES_MASKS) and no_user_graph(x, mask)


def _fits_heads(q: Array, k: Array, v: Array, mask: Array | None, keep: Array | None, **options: Any) -> bool:
    """Guard: the routine knows no broadcasting, and values of the size of the keys alone."""
    alike = q.ndim == 4 and q.shape[:2] == k.shape[:2] == v.shape[:2] and q.shape[3] == v.shape[3]
    return alike and k.numel() > 0 and _fits(q, mask, keep) and no_user_graph(k, v)


@kernel("torch", "attention", when=_fits_heads)
def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    keep: None,
    *,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[Array, Array], tuple]:
    """The reference's `_attention`."""
    y, saved = _attend(q, k, v, mask, causal, scale)
    return (y, _log_total(saved, q)), saved


@attention.backward
def _attention_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, causal: bool, scale: float, dropout: float
) -> tuple[Array | None, ...]:
    return *_gradients(above, saved, needs[3], causal, scale), None


@kernel("torch", "self_attention", when=lambda x, mask, keep, **options: _fits(x, mask, keep))
def self_attention(
    x: Array,
    mask: Array | None,
    keep: None,
    *,
    heads: int,
    batch_first: bool,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[Array, Array], tuple]:
    """The reference's `_self_attention`."""
    q, k, v = (_apart(part, heads, batch_first) for part in x.chunk(3, dim=-1))
    y, saved = _attend(q, k, v, mask, causal, scale)
    return (_joined(y, batch_first), _log_total(saved, x)), saved


@self_attention.backward
def _self_attention_backward(
    above: tuple,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    heads: int,
    batch_first: bool,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[Array | None, ...]:
    gy, g_log = above
    gy = None if gy is None else _apart(gy, heads, batch_first)
    *gradients, gmask = _gradients((gy, g_log), saved, needs[1], causal, scale)
    return torch.cat([_joined(g, batch_first) for g in gradients], dim=-1), gmask, None


def _attend(
    q: Array, k: Array, v: Array, mask: Array | None, causal: bool, scale: float
) -> tuple[Array, tuple]:
    """The result, and what `_gradients` takes."""
    q, k, v = map(_in_rows, (q, k, v))
    added = None if mask is None else mask.contiguous().view((1,) * (4 - mask.ndim) + mask.shape)
    y, log_total = _forward(q, k, v, 0.0, causal, attn_mask=added, scale=scale)
    if added is not None:  # a query without a key has the logarithm 0
        log_total = log_total.nan_to_num(nan=0.0, neginf=0.0, posinf=0.0)
    return y, (q, k, v, mask, added, y, log_total)


def _gradients(
    above: tuple[Array | None, Array | None], saved: tuple, needs_mask: bool, causal: bool, scale: float
) -> tuple[Any, ...]:
    """Those of q, k, v and the mask."""
    gy, g_log = above
    q, k, v, mask, added, y, log_total = saved
    if gy is not None and g_log is None and not (needs_mask and mask is not None):
        gy = _in_rows(gy)
        return *_backward(gy, q, k, v, y, log_total, 0.0, causal, attn_mask=added, scale=scale), None

    # What the routine knows no gradient of takes all scores, as in the reference.
    gy = torch.zeros_like(y) if gy is None else gy
    scores = (q * scale) @ k.mT
    if added is not None:
        scores = scores + added
    if causal:
        scores = scores + torch.full_like(scores, -math.inf).triu(1)
    weights = torch.exp(scores - log_total.unsqueeze(-1)).to(q.dtype)
    shift = (gy * y).sum(dim=-1, keepdim=True)
    g_scores = weights * (gy @ v.mT - (shift if g_log is None else shift - g_log))
    gmask = None if mask is None else g_scores.sum_to_size(mask.shape)
    return scale * g_scores @ k, scale * g_scores.mT @ q, weights.mT @ gy, gmask


def _log_total(saved: tuple, like: Array) -> Array:
    """The logarithm of the denominators as the reference has it, (..., L, 1), in the type of the inputs."""
    return saved[-1].unsqueeze(-1).to(like.dtype)


def _in_rows(x: Array) -> Array:
    """With features that lie side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _apart(x: Array, heads: int, batch_first: bool) -> Array:
    """(N, T, E), or (T, N, E) unless batch_first, to (N, heads, T, E / heads)."""
    return x.unflatten(-1, (heads, -1)).permute((0, 2, 1, 3) if batch_first else (1, 2, 0, 3))


def _joined(y: Array, batch_first: bool) -> Array:
    """The inverse of `_apart`."""
    return y.permute((0, 2, 1, 3) if batch_first else (2, 0, 1, 3)).flatten(2)
