"""Attention layers. Formulas and gradients stand with the functions in `functional.attention`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import check_flags
from xpnn.nn import init
from xpnn.nn.attention.cache import KeyValueCache
from xpnn.nn.linear import Linear
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention by several heads; see `functional.multi_head_attention_forward`.

    Args:
        embed_dim: features of queries and results, shared out among the heads.
        num_heads: divides embed_dim.
        dropout: the probability that an attention weight is set to zero, in training.
        bias: whether the projections shift.
        add_bias_kv: whether there are one more key and value, trained.
        add_zero_attn: whether there are one more key and value of zeros.
        kdim, vdim: features of keys and values; None is embed_dim.
        batch_first: whether arrays are (N, steps, features) in place of (steps, N, features).
        device, dtype: as in `Linear`.

    Attributes:
        in_proj_weight: (3 embed_dim, embed_dim), Xavier uniform at the start; None where kdim or vdim
            differ from embed_dim, which have q_proj_weight, k_proj_weight and v_proj_weight.
        in_proj_bias: (3 embed_dim,), 0, or None.
        bias_k, bias_v: (1, 1, embed_dim), Xavier normal, or None.
        out_proj: a `Linear`, with its weight as that has it at the start, and bias 0.

    Shapes: query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), or without N, to the output like
    the query and the weights (N, L, S).

    Raises: ArgumentError if num_heads does not divide embed_dim.

    >>> from xpnn.autograd import xp
    >>> x = xp.ones((2, 5, 8))
    >>> output, weights = MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> output.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ArgumentError(
                f"expects num_heads that divides embed_dim={embed_dim}, got {num_heads}",
                subject="MultiheadAttention",
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn

        def new(*shape: int) -> Parameter:
            return Parameter(full(shape, 0.0, device, dtype))

        packed = self.kdim == embed_dim and self.vdim == embed_dim
        self.in_proj_weight = new(3 * embed_dim, embed_dim) if packed else None
        self.q_proj_weight = None if packed else new(embed_dim, embed_dim)
        self.k_proj_weight = None if packed else new(embed_dim, self.kdim)
        self.v_proj_weight = None if packed else new(embed_dim, self.vdim)
        self.in_proj_bias = new(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.bias_k = new(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = new(1, 1, embed_dim) if add_bias_kv else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections of queries, keys and values anew; biases are 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for zero in (self.in_proj_bias, self.out_proj.bias):
            if zero is not None:
                init.zeros_(zero)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        cache: KeyValueCache | None = None,
        static_kv: bool = False,
    ) -> tuple[Any, Any]:
        """The output and the weights (None without need_weights).

        Args:
            query, key, value, attn_mask, ...: as in `functional.multi_head_attention_forward`; masks are
                True where a key is not to be seen.
            cache: keeps keys and values: those given here come behind those of earlier calls, which the
                query sees too; masks and is_causal count them.
            static_kv: with a cache, key and value are something fixed, such as an encoder's output: they are
                projected once, and anew if other arrays come.
        """
        check_flags("MultiheadAttention", static_kv=static_kv)
        if static_kv and cache is not None and is_causal:
            raise ArgumentError(
                "expects no is_causal for keys that are fixed: which are before the query is not known",
                subject="MultiheadAttention",
                hint="Pass attn_mask",
            )

        def past(project: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any, int]:
            assert cache is not None
            if static_kv:
                return *cache.memory(self, (key, value), project), 0
            new = project()
            keys, values = cache.update(self, *new)
            return keys, values, keys.shape[-2] - new[0].shape[-2]

        return F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=self.in_proj_weight is None,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
            past=None if cache is None else past,
        )
