"""Words, vocabularies, and pairs of neighbours; vectors that are learned from them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn, optim
from xpnn.backend import ArgumentError
from xpnn.data import Vocabulary, skip_grams, words


def test_words() -> None:
    assert words("It's 3.5 m, \u2018re-read\u2019 x_1!") == [
        *("it's", "3", ".", "5", "m", ",", "\u2018", "re-read", "\u2019", "x", "_", "1", "!"),
    ]
    assert words("Ärger im O\u2019Neill", lower=False) == ["Ärger", "im", "O\u2019Neill"]
    assert words(" \n") == []


def test_vocabulary() -> None:
    text = ["b", "a", "c", "a", "b", "a", "d"]
    vocabulary = Vocabulary(text)
    assert vocabulary.tokens == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert vocabulary.counts == [0, 0, 3, 2, 1, 1]
    assert len(vocabulary) == 6
    assert "c" in vocabulary
    assert "e" not in vocabulary
    assert vocabulary.encode("abe") == [2, 3, 1]
    for numbers in ([2, 3, 1], np.array([[2], [3], [1]]), xpnn.tensor([2, 3, 1])):
        assert vocabulary.decode(numbers) == ["a", "b", "<unk>"]
    for options in ({"min_count": 2}, {"max_size": 4}):
        short = Vocabulary(text, **options)
        assert short.tokens == ["<pad>", "<unk>", "a", "b"]
        assert short.counts == [0, 2, 3, 2]
    plain = Vocabulary("banana", special=(), unknown=None)
    assert plain.tokens == ["a", "n", "b"]
    assert "".join(plain.decode(plain.encode("nab"))) == "nab"
    assert Vocabulary(text, special=["?", "<s>"], unknown="?", max_size=3).encode(["a", "b"]) == [2, 0]
    assert Vocabulary([]).tokens == ["<pad>", "<unk>"]


def test_arguments_of_vocabularies() -> None:
    with pytest.raises(ArgumentError, match="expects one of the vocabulary's 1 tokens, got 'b'"):
        Vocabulary("aa", special=(), unknown=None)["b"]
    with pytest.raises(
        ArgumentError, match=r"expects an unknown token that is one of .*<pad>.*, got '<unk>'"
    ):
        Vocabulary("a", special=["<pad>"])
    with pytest.raises(ArgumentError, match="expects max_size of at least 2"):
        Vocabulary("a", max_size=1)
    with pytest.raises(ArgumentError, match="special tokens that are not in the text, got '<pad>'"):
        Vocabulary(["<pad>", "a"])
    for number in (-1, 3):
        with pytest.raises(ArgumentError, match=f"expects numbers from 0 to 2, got {number}"):
            Vocabulary("a").decode([number])
    with pytest.raises(ArgumentError, match="expects a window of at least 1, got 0"):
        skip_grams([1, 2], 0)


@pytest.mark.parametrize("window", [1, 3, 9])
def test_skip_grams_against_a_loop(window: int) -> None:
    text = [5, 1, 5, 2, 3, 0, 4]
    expected = Counter(
        (text[i], text[j])
        for i, j in itertools.permutations(range(7), 2)
        if abs(i - j) <= window and text[i] and text[j]
    )
    for numbers in (text, np.array(text), xpnn.tensor(text)):
        centres, contexts = skip_grams(numbers, window, left_out=[0])
        assert centres.dtype == contexts.dtype == xpnn.int64
        assert Counter(zip(centres.tolist(), contexts.tolist())) == expected
    for short in ([], [1]):
        assert [part.shape for part in skip_grams(short)] == [(0,), (0,)]


def test_embedding_is_a_product_with_one_hot_vectors() -> None:
    """The same numbers and gradients, by a look-up instead of a product that is mostly zeros."""
    embedding = nn.Embedding(5, 3)
    tokens = xpnn.tensor([[4, 0], [2, 4]])
    weight = embedding.weight.detach().T.clone().requires_grad_()
    product = F.linear(F.one_hot(tokens, 5).float(), weight)
    np.testing.assert_allclose(embedding(tokens).detach().numpy(), product.detach().numpy(), rtol=1e-6)
    (embedding(tokens) ** 2).sum().backward()
    (product**2).sum().backward()
    np.testing.assert_allclose(embedding.weight.grad.numpy().T, weight.grad.numpy(), rtol=1e-6)


def test_skip_gram_loss_against_its_formula(backend: Any) -> None:
    net = models.SkipGram([5, 0, 3, 1], features=3)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    centres, contexts = np.array([0, 2, 3, 0, 1]), np.array([2, 0, 2, 3, 3])
    xpnn.manual_seed(3)
    loss = net.loss(backend.array(centres), backend.array(contexts), negatives=2)
    loss.backward()
    xpnn.manual_seed(3)
    drawn = xpnn.multinomial(net.noise, 10, replacement=True)
    drawn = backend.numpy(drawn).reshape(5, 2)
    v, u = (backend.numpy(part.weight.detach()).astype(float) for part in (net.centres, net.contexts))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    expected, gradient = 0.0, np.zeros_like(v)
    for i in range(5):
        expected -= np.log(sigmoid(v[centres[i]] @ u[contexts[i]]))
        gradient[centres[i]] -= (1 - sigmoid(v[centres[i]] @ u[contexts[i]])) * u[contexts[i]]
        for k in drawn[i]:
            expected -= np.log(sigmoid(-v[centres[i]] @ u[k]))
            gradient[centres[i]] += sigmoid(v[centres[i]] @ u[k]) * u[k]
    assert loss.item() == pytest.approx(expected / 5, rel=1e-5)
    np.testing.assert_allclose(backend.numpy(net.centres.weight.grad), gradient / 5, rtol=1e-4, atol=1e-6)


def test_negatives_are_drawn_by_flattened_counts() -> None:
    net = models.SkipGram([16, 0, 1, 81])
    weights = np.array([8, 0, 1, 27])
    np.testing.assert_allclose(net.noise.numpy(), weights / 36, rtol=1e-6)
    with pytest.raises(ArgumentError, match="expects counts that are not negative, nor all 0"):
        models.SkipGram([0, 0])
    with pytest.raises(ArgumentError, match="expects counts that are not negative, nor all 0"):
        models.SkipGram([1, -1])


def test_nearest() -> None:
    net = models.SkipGram([1, 1, 1, 1], features=2)
    net.centres.weight.data[:] = xpnn.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, -2.0], [5.0, 1.0]])
    numbers, cosines = net.nearest(0, 2)
    assert numbers.tolist() == [3, 1]
    np.testing.assert_allclose(cosines.numpy(), [5 / 26**0.5, 0.6], rtol=1e-6)
    assert net.nearest(0)[0].tolist() == [3, 1, 2]
    assert net.nearest(xpnn.tensor([0.0, -9.0]), 1)[0].tolist() == [2]


def test_words_of_like_use_become_neighbours() -> None:
    """In a text of two themes the nearest words are of the same theme."""
    xpnn.manual_seed(0)
    rng = np.random.default_rng(0)
    themes = np.arange(2, 14).reshape(2, 6)
    text = np.concatenate([rng.choice(themes[i % 2], 8) for i in range(150)])
    centres, contexts = skip_grams(text, window=2)
    net = models.SkipGram([0, 0, *np.bincount(text)[2:]], features=8)
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(net.loss(centres, contexts))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.85 * losses[0].item()
    for theme in themes.tolist():
        for word in theme:
            found = set(net.nearest(word, 5)[0].tolist())
            assert len(found & set(theme)) >= 4, word
