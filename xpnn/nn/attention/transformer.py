"""Transformers: layers of attention and of two affine maps, each beside a way around it.

With `norm_first` a sublayer f gives x + f(norm(x)), otherwise norm(x + f(x)).

See: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin (2017), "Attention is all you
need"; Xiong et al. (2020), "On layer normalization in the transformer architecture" for the order of the two.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError, ShapeError, device_of, namespace
from xpnn.nn import init
from xpnn.nn.attention.cache import KeyValueCache
from xpnn.nn.attention.multi_head import MultiheadAttention
from xpnn.nn.containers import ModuleList
from xpnn.nn.dropout import Dropout
from xpnn.nn.linear import Linear
from xpnn.nn.module import Module
from xpnn.nn.norm.layer import LayerNorm
from xpnn.nn.parameter import full

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Any], Any]


class TransformerEncoderLayer(Module):
    """Self-attention, then two affine maps with an activation between them.

    Args:
        d_model: features of each step.
        nhead: heads of the attention.
        dim_feedforward: features between the two affine maps.
        dropout: the probability of a zero, in training: among the attention's weights, between the affine
            maps, and at the end of both sublayers.
        activation: "relu", "gelu", or a function.
        layer_norm_eps: keeps the root of the variances away from zero.
        batch_first: whether arrays are (N, T, d_model) in place of (T, N, d_model).
        norm_first: whether the sublayers' inputs are normalised, in place of the sums.
        bias: whether affine maps and norms shift.
        device, dtype: as in `Linear`.

    Shapes: (T, N, d_model) or (T, d_model) to the same.

    Raises: ArgumentError for another activation.

    >>> from xpnn.autograd import xp
    >>> TransformerEncoderLayer(8, 2, 16, batch_first=True)(xp.ones((2, 5, 8)), is_causal=True).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias=bias, batch_first=batch_first, **place
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """The sequence with what its steps found in each other.

        Args:
            src_mask: (T, T) or (N nhead, T, T), True (or minus infinity) where a step is not to be seen.
            src_key_padding_mask: (N, T), likewise.
            is_causal: each step sees itself and those before it, with a mask or without.
            cache: keeps the keys and values of earlier calls, of which these are the next steps.
        """

        def attend(x: Any) -> Any:
            x, _ = self.self_attn(
                *(x, x, x, src_key_padding_mask),
                need_weights=False,
                attn_mask=src_mask,
                is_causal=is_causal,
                cache=cache,
            )
            return self.dropout1(x)

        x = _sublayer(src, attend, self.norm1, self.norm_first)
        return _sublayer(x, self._feed_forward, self.norm2, self.norm_first)

    def _feed_forward(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(Module):
    """Self-attention, attention to an encoder's output, then two affine maps.

    Args: as `TransformerEncoderLayer`.

    Shapes: (T, N, d_model) and the encoder's (S, N, d_model), or both without N, to (T, N, d_model).

    >>> from xpnn.autograd import xp
    >>> layer = TransformerDecoderLayer(8, 2, 16)
    >>> layer(xp.ones((3, 2, 8)), xp.ones((5, 2, 8)), tgt_is_causal=True).shape
    (3, 2, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        place = {"device": device, "dtype": dtype}
        attention = {"bias": bias, "batch_first": batch_first, **place}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """The sequence with what its steps found in each other and in `memory`.

        Args:
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: as in the encoder's layer.
            memory_mask: (T, S) or (N nhead, T, S). memory_key_padding_mask: (N, S). memory_is_causal:
                likewise, for the steps of `memory`.
            cache: keeps the keys and values of earlier calls, of which these are the next steps, and those
                of `memory`.
        """

        def attend(x: Any) -> Any:
            x, _ = self.self_attn(
                *(x, x, x, tgt_key_padding_mask),
                need_weights=False,
                attn_mask=tgt_mask,
                is_causal=tgt_is_causal,
                cache=cache,
            )
            return self.dropout1(x)

        def look_up(x: Any) -> Any:
            x, _ = self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
                is_causal=memory_is_causal,
                cache=cache,
                static_kv=True,
            )
            return self.dropout2(x)

        x = _sublayer(tgt, attend, self.norm1, self.norm_first)
        x = _sublayer(x, look_up, self.norm2, self.norm_first)
        return _sublayer(x, self._feed_forward, self.norm3, self.norm_first)

    def _feed_forward(self, x: Any) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: is copied, so that all layers start with its weights.
        num_layers: how many copies.
        norm: what follows the last one, such as a `LayerNorm`, or None.
        enable_nested_tensor, mask_check: change nothing: padding is computed and hidden.

    Shapes: those of the layer.

    >>> from xpnn.autograd import xp
    >>> TransformerEncoder(TransformerEncoderLayer(8, 2, 16), 2)(xp.ones((5, 2, 8))).shape
    (5, 2, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """The sequence after all layers; masks and cache as in `TransformerEncoderLayer`, for all of them."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal), **_given(cache))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: is copied, so that all layers start with its weights.
        num_layers: how many copies.
        norm: what follows the last one, such as a `LayerNorm`, or None.

    Shapes: those of the layer.

    >>> from xpnn.autograd import xp
    >>> decoder = TransformerDecoder(TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(xp.ones((3, 2, 8)), xp.ones((5, 2, 8))).shape
    (3, 2, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """The sequence after all layers; masks and cache as in `TransformerDecoderLayer`, for all of them."""
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                bool(tgt_is_causal),
                memory_is_causal,
                **_given(cache),
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that looks up what the encoder wrote.

    Args:
        d_model, nhead: features of each step, and heads of the attention.
        num_encoder_layers, num_decoder_layers: how many layers there are of each.
        dim_feedforward, dropout, activation: as in `TransformerEncoderLayer`.
        custom_encoder, custom_decoder: modules that take the place of the stacks.
        layer_norm_eps, batch_first, norm_first, bias, device, dtype: as in `TransformerEncoderLayer`.

    At the start all matrices are Xavier uniform.

    Shapes: (S, N, d_model) and (T, N, d_model), or both without N, to (T, N, d_model).

    >>> from xpnn.autograd import xp
    >>> model = Transformer(8, 2, 1, 1, 16)
    >>> model(xp.ones((5, 2, 8)), xp.ones((3, 2, 8)), tgt_is_causal=True).shape
    (3, 2, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        of_layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first)
        rest = {"norm_first": norm_first, "bias": bias, "device": device, "dtype": dtype}

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*of_layer, **rest), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*of_layer, **rest), num_decoder_layers, norm()
        )
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """What the decoder makes of `tgt` while it looks up the encoded `src`; masks as in the layers."""
        for name, x in {"src": src, "tgt": tgt}.items():
            if x.shape[-1] != self.d_model:
                raise ShapeError(
                    f"expects {name} with {self.d_model} features on the last axis, got shape "
                    f"{tuple(x.shape)}",
                    subject="Transformer",
                    hint=f"Did you mean d_model={x.shape[-1]}?",
                )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(sz, sz): 0 up to the diagonal, minus infinity right of it: a mask for steps that lie ahead.

        >>> Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        low = full((sz, sz), -math.inf, device, dtype)
        xp, steps = namespace(low), namespace(low).arange(sz, device=device_of(low))
        return Tensor(xp.where(steps[None, :] > steps[:, None], low, xp.zeros_like(low)))


def _sublayer(x: Any, function: Callable[[Any], Any], norm: Module, norm_first: bool) -> Any:
    return x + function(norm(x)) if norm_first else norm(x + function(x))


def _given(cache: KeyValueCache | None) -> dict[str, KeyValueCache]:
    """For layers, of which those of somebody else may know no cache."""
    return {} if cache is None else {"cache": cache}


def _copies(layer: Module, count: int) -> ModuleList:
    if not isinstance(layer, Module):
        raise DTypeError(f"expects a layer to make copies of, got {type(layer).__name__}")
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _activation(activation: Activation) -> Callable[[Any], Any]:
    if callable(activation):
        return activation
    functions: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}
    if activation not in functions:
        raise ArgumentError(
            f"expects activation='relu', 'gelu' or a function, got {activation!r}",
            subject="TransformerEncoderLayer",
        )
    return functions[activation]
