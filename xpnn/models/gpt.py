"""A transformer that writes: the decoder of GPT-2, and how texts are drawn from it.

The names and shapes of the state dict are nanoGPT's, whose weights are (out, in) as a linear layer's: GPT-2's
own files hold them transposed.

See: Radford et al. (2019), "Language models are unsupervised multitask learners".
"""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import arange, as_tensor
from xpnn.autograd.functions.random import multinomial
from xpnn.autograd.functions.sorting import topk
from xpnn.backend import ArgumentError, ShapeError
from xpnn.nn.attention.cache import KeyValueCache


class CausalSelfAttention(nn.Module):
    """Each step looks at itself and the steps before it.

    Args:
        n_embd, n_head: features of a step, and heads.
        dropout: the probability of a zero, among the weights and behind the projection.
        bias: whether affine maps shift.
    """

    def __init__(self, n_embd: int, n_head: int, dropout: float, bias: bool) -> None:
        if n_embd % n_head:
            raise ArgumentError(
                f"expects an n_embd that n_head divides, got {n_embd} and {n_head}", subject="GPT"
            )
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias)
        self.resid_dropout = nn.Dropout(dropout)
        self.n_head, self.dropout = n_head, dropout

    def forward(self, input: Any, cache: KeyValueCache | None = None) -> Tensor:
        """(N, T, n_embd) to the same; with a cache of earlier steps, T is 1."""
        batch, steps, features = input.shape
        heads = [
            part.reshape(batch, steps, self.n_head, features // self.n_head).transpose(1, 2)
            for part in self.c_attn(input).split(features, dim=2)
        ]
        q, k, v = heads
        is_causal = steps > 1
        if cache is not None:
            k, v = cache.update(self, k, v)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=is_causal)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(batch, steps, features)))


class FeedForward(nn.Module):
    """Two affine maps with GELU between them; arguments as of `CausalSelfAttention`."""

    def __init__(self, n_embd: int, dropout: float, bias: bool) -> None:
        self.c_fc = nn.Linear(n_embd, 4 * n_embd, bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * n_embd, n_embd, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Any) -> Tensor:
        """(N, T, n_embd) to the same."""
        return self.dropout(self.c_proj(self.gelu(self.c_fc(input))))


class Block(nn.Module):
    """Attention and affine maps, each behind a layer norm and with its input added."""

    def __init__(self, n_embd: int, n_head: int, dropout: float, bias: bool) -> None:
        self.ln_1 = nn.LayerNorm(n_embd, bias=bias)
        self.attn = CausalSelfAttention(n_embd, n_head, dropout, bias)
        self.ln_2 = nn.LayerNorm(n_embd, bias=bias)
        self.mlp = FeedForward(n_embd, dropout, bias)

    def forward(self, input: Any, cache: KeyValueCache | None = None) -> Tensor:
        """(N, T, n_embd) to the same."""
        x = input + self.attn(self.ln_1(input), cache)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Embeddings of tokens and positions, blocks, a layer norm, and scores by the tokens' embeddings again.

    Args:
        vocab_size: tokens that there are.
        block_size: the longest sequence.
        n_layer, n_head, n_embd: blocks, heads, and features of a step; unless given, the smallest GPT-2's.
        dropout: the probability of a zero, in training.
        bias: whether affine maps and norms shift.

    Shapes: tokens (N, T), T of at most block_size, to the scores of the next ones (N, T, vocab_size).

    Raises: ArgumentError for sizes that don't fit; ShapeError for longer sequences.

    >>> model = GPT(vocab_size=10, block_size=8, n_layer=1, n_head=2, n_embd=4)
    >>> model(xp.asarray([[1, 2, 3]])).shape
    (1, 3, 10)
    """

    def __init__(
        self,
        vocab_size: int = 50257,
        block_size: int = 1024,
        n_layer: int = 12,
        n_head: int = 12,
        n_embd: int = 768,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        self.vocab_size, self.block_size = vocab_size, block_size
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab_size, n_embd),
                "wpe": nn.Embedding(block_size, n_embd),
                "drop": nn.Dropout(dropout),
                "h": nn.ModuleList([Block(n_embd, n_head, dropout, bias) for _ in range(n_layer)]),
                "ln_f": nn.LayerNorm(n_embd, bias=bias),
            }
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        self.transformer["wte"].weight = self.lm_head.weight  # one set of vectors for both
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                # what is added to the residual stream 2 n_layer times starts smaller by the root of that
                scale = (2 * n_layer) ** -0.5 if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, tokens: Any, cache: KeyValueCache | None = None) -> Tensor:
        """The scores of the token after each step.

        Args:
            tokens: (N, T), integers below vocab_size.
            cache: has seen the steps before these; with one, T is 1, or the cache is empty.
        """
        start = 0 if cache is None else cache.length
        if start + tokens.shape[1] > self.block_size:
            raise ShapeError(
                f"expects {self.block_size} steps at most, got {start + tokens.shape[1]}",
                subject="GPT",
                hint="Give it the last ones, tokens[:, -model.block_size :]",
            )
        positions = arange(start, start + tokens.shape[1], device=self.lm_head.weight.device)
        parts = self.transformer
        x = parts["drop"](parts["wte"](tokens) + parts["wpe"](positions))
        for block in parts["h"].children():
            x = block(x, cache)
        return self.lm_head(parts["ln_f"](x))

    def loss(self, tokens: Any, targets: Any) -> Tensor:
        """The cross entropy of the targets, (N, T) as the tokens; -1 does not count."""
        scores = self(tokens)
        return F.cross_entropy(scores.reshape(-1, self.vocab_size), targets.reshape(-1), ignore_index=-1)

    def generate(
        self,
        tokens: Any,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: Any = None,
    ) -> Tensor:
        """Go on with sequences, a token at a time.

        Keys and values of the steps before are kept. Once a sequence is longer than block_size, its last
        block_size steps are read anew for each token, as their positions change.

        Args:
            tokens: (N, T), what there is.
            max_new_tokens: how many are to come.
            temperature: scores are divided by it; 0 takes the best token each time.
            top_k, top_p: as in `sample_tokens`.
            generator: what is drawn from.

        Returns: (N, T + max_new_tokens). The model is in eval mode while it writes.
        """
        tokens = as_tensor(tokens)
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                cache = KeyValueCache()
                news = tokens
                for _ in range(max_new_tokens):
                    if cache.length + news.shape[1] > self.block_size:
                        cache, news = KeyValueCache(), tokens[:, -self.block_size :]
                    scores = self(news, cache)[:, -1]
                    news = sample_tokens(scores, temperature, top_k, top_p, generator)[:, None]
                    tokens = xp.concat([tokens, news], axis=1)
        finally:
            self.train(was_training)
        return tokens


def sample_tokens(
    scores: Any,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Any = None,
) -> Tensor:
    """Draw a token for each row of scores.

    Args:
        scores: (N, V), logits.
        temperature: they are divided by it; below 1 makes likely tokens likelier, 0 takes the best.
        top_k: only so many of the best are drawn from.
        top_p: of the tokens from the best on, only as many as together have this probability ("nucleus").
        generator: what is drawn from; None is the default stream.

    Returns: (N,) integers.

    Raises: ArgumentError for a negative temperature, or a top_k or top_p that leave no token.

    See: Holtzman, Buys, Du, Forbes & Choi (2020), "The curious case of neural text degeneration" (top-p).

    >>> sample_tokens(xp.asarray([[0.0, 3.0, 1.0]]), temperature=0).tolist()
    [1]
    """
    if not 0 <= temperature < math.inf:
        raise ArgumentError(f"expects a temperature from 0 on, got {temperature}", subject="sample_tokens")
    if top_k is not None and top_k < 1:
        raise ArgumentError(f"expects top_k of at least 1, got {top_k}", subject="sample_tokens")
    if top_p is not None and not 0 < top_p <= 1:
        raise ArgumentError(f"expects top_p in (0, 1], got {top_p}", subject="sample_tokens")
    if temperature == 0:
        return scores.argmax(-1)
    best, tokens = topk(scores / temperature, min(top_k or scores.shape[-1], scores.shape[-1]))
    probabilities = F.softmax(best, -1)
    if top_p is not None:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    drawn = multinomial(probabilities, 1, generator=generator)
    return tokens.gather(1, drawn)[:, 0]
