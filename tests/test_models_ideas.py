"""Networks of one idea each: what the idea promises, by enumeration, perturbation or the formula."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn, optim
from xpnn.backend import ArgumentError


def scrambled(net: nn.Module, std: float = 0.5) -> nn.Module:
    """Weights that are no special case."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=std)
    return net


# --- densities ---


def sees(net: nn.Module, x: Any, output: Any) -> np.ndarray:
    """Which numbers of the input an output depends on."""
    x = x.detach().requires_grad_()
    (gradient,) = xpnn.autograd.grad(output(net(x)), x)
    return gradient.numpy() != 0


def test_pixelcnn_sees_the_pixels_before() -> None:
    net = scrambled(models.PixelCNN(levels=3, channels=4, blocks=3)).double()
    net.forward = _continuous(net)  # so that a gradient reaches the pixels
    seen = sees(net, xpnn.rand(1, 1, 6, 5, dtype=xpnn.float64), lambda y: y[0, :, 3, 2].sum())[0, 0]
    before = np.arange(30).reshape(6, 5) < 3 * 5 + 2
    assert not seen[~before].any()
    assert seen[before].mean() > 0.8


def _continuous(net: Any) -> Any:
    return lambda x: net.last(net.blocks(net.first(x)))


@pytest.mark.parametrize("hidden", [(7,), (6, 9)])
def test_made_sees_the_numbers_before(hidden: tuple[int, ...]) -> None:
    net = scrambled(models.MADE(5, hidden)).double()
    for layer in net.modules():
        if isinstance(layer, nn.ReLU):
            layer.forward = lambda x: x * 1.5  # through which all gradients come
    x = xpnn.rand(1, 5, dtype=xpnn.float64)
    for i in range(5):
        np.testing.assert_array_equal(sees(net, x, lambda y, i=i: y[0, i])[0], np.arange(5) < i)


def test_made_is_a_distribution() -> None:
    """The probabilities of all 2^5 vectors add up to 1, and samples come as often as they say."""
    net = scrambled(models.MADE(5, (8,)))
    vectors = xpnn.tensor(np.asarray(list(itertools.product([0, 1], repeat=5)), np.float32))
    logits = net(vectors)
    log_p = -F.binary_cross_entropy_with_logits(logits, vectors, reduction="none").sum(1).detach().numpy()
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    bits = -log_p.mean() / 5 / math.log(2)
    assert net.bits_per_pixel(vectors).item() == pytest.approx(bits, rel=1e-5)
    codes = (net.sample(20000).numpy() @ [16, 8, 4, 2, 1]).astype(int)
    np.testing.assert_allclose(np.bincount(codes, minlength=32) / 20000, np.exp(log_p), atol=0.015)


def test_pixelcnn_is_a_distribution() -> None:
    net = scrambled(models.PixelCNN(levels=2, channels=2, blocks=1))
    images = np.asarray(list(itertools.product([0, 1], repeat=4))).reshape(16, 1, 2, 2)
    log_p = F.log_softmax(net(xpnn.tensor(images)), 1).detach().numpy()
    log_p = np.take_along_axis(log_p, images, 1).sum((1, 2, 3))
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    assert net.bits_per_pixel(xpnn.tensor(images)).item() == pytest.approx(
        -log_p.mean() / 4 / math.log(2), rel=1e-5
    )
    codes = net.sample(5000, 2, 2).numpy().reshape(5000, 4) @ [8, 4, 2, 1]
    np.testing.assert_allclose(np.bincount(codes, minlength=16) / 5000, np.exp(log_p), atol=0.03)


def test_arguments_of_densities() -> None:
    with pytest.raises(ArgumentError, match="expects at least 2 features, got 1"):
        models.MADE(1)
    with pytest.raises(ArgumentError, match="expects kind 'A' or 'B' and an odd kernel_size, got 'A' and 4"):
        models.pixelcnn.MaskedConv2d("A", 1, 1, 4)


# --- attention in images ---


@pytest.mark.parametrize("kind", ["embedded_gaussian", "dot_product"])
def test_non_local_block(kind: str) -> None:
    block = models.NonLocalBlock(4, kind=kind).double().eval()
    x = xpnn.randn(2, 4, 3, 5, dtype=xpnn.float64)
    np.testing.assert_array_equal(block(x).detach().numpy(), x.numpy())  # at first
    scrambled(block)
    theta, phi, g = (
        np.einsum("oi,nihw->nohw", layer.weight.detach().numpy()[:, :, 0, 0], x.numpy()).reshape(2, 2, 15)
        + layer.bias.detach().numpy()[:, None]
        for layer in (block.theta, block.phi, block.g)
    )
    expected = np.zeros((2, 2, 15))
    for n, i in np.ndindex(2, 15):
        f = np.asarray([theta[n, :, i] @ phi[n, :, j] for j in range(15)])
        f = np.exp(f) / np.exp(f).sum() if kind == "embedded_gaussian" else f / 15
        expected[n, :, i] = sum(f[j] * g[n, :, j] for j in range(15))
    found = xpnn.tensor(expected.reshape(2, 2, 3, 5))
    np.testing.assert_allclose(
        block(x).detach().numpy(), (x + block.out(found)).detach().numpy(), rtol=1e-9, atol=1e-12
    )
    with pytest.raises(ArgumentError, match="expects kind embedded_gaussian or dot_product"):
        models.NonLocalBlock(4, kind="gaussian")


def test_masked_autoencoder() -> None:
    net = models.MaskedAutoencoder(8, 2, 3, 1, 2, 8, 1, 2, 4, mask_ratio=0.7)
    images = xpnn.rand(5, 3, 8, 8)
    np.testing.assert_array_equal(net.images_of(net.patches_of(images)).numpy(), images.numpy())
    assert net.patches_of(images)[0, 1].tolist() == images[0, :, :2, 2:4].reshape(-1).tolist()
    xpnn.manual_seed(0)
    loss, drawn, hidden = net(images)
    assert hidden.sum(1).tolist() == [11] * 5
    assert len({tuple(row) for row in hidden.tolist()}) > 1
    patches = net.patches_of(images).numpy()
    target = (patches - patches.mean(-1, keepdims=True)) / np.sqrt(
        patches.var(-1, ddof=1, keepdims=True) + 1e-6
    )
    errors = ((drawn.detach().numpy() - target) ** 2).mean(-1)
    assert loss.item() == pytest.approx((errors * hidden.numpy()).sum() / hidden.numpy().sum(), rel=1e-5)
    # what is hidden is not seen
    other = images.numpy().copy()
    covered = net.images_of(xpnn.tensor(np.repeat(hidden.numpy()[:, :, None], 12, 2))).numpy() > 0
    other[covered] = 9.0
    xpnn.manual_seed(0)
    np.testing.assert_allclose(
        net(xpnn.tensor(other)).patches.detach().numpy(), drawn.detach().numpy(), atol=1e-5
    )
    assert net.encode(images).shape == (5, 8)
    for ratio in (0.0, 1.0):
        with pytest.raises(ArgumentError, match="expects a mask_ratio that hides some of 16 patches"):
            models.MaskedAutoencoder(8, 2, mask_ratio=ratio)


# --- sequences ---


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_beam_search_finds_the_best(attention: str) -> None:
    """With as many beams as beginnings it is the best of all sequences, by enumeration."""
    net = scrambled(models.Seq2Seq(5, 4, attention), 1.5).eval()
    sources = xpnn.tensor([[3, 4, 3], [4, 0, 0]])
    found = net.translate(sources, 3, beams=25)
    for row in range(2):
        best, best_score = None, -math.inf
        for tokens in itertools.product(range(5), repeat=3):
            if 2 in tokens[:-1]:
                first = tokens.index(2)
                if any(tokens[first + 1 :]):
                    continue  # behind the end there is padding
            end = tokens.index(2) + 1 if 2 in tokens else 3
            targets = xpnn.tensor([[1, *tokens[:end]]])
            logits = F.log_softmax(net(sources[row : row + 1], targets[:, :-1]), -1)[0].detach().numpy()
            score = sum(logits[i, token] for i, token in enumerate(tokens[:end]))
            if score > best_score:
                best, best_score = [*tokens[:end], *[0] * (3 - end)], score
        assert found.log_probability[row].item() == pytest.approx(best_score, rel=1e-4)
        assert found.tokens[row].tolist() == best
    np.testing.assert_allclose(found.attention[1].numpy()[:, 1:], 0)  # on padding
    np.testing.assert_allclose(found.attention.numpy().sum(-1), 1, rtol=1e-5)
    greedy = net.translate(sources, 3)
    assert (greedy.log_probability <= found.log_probability + 1e-6).all()


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_seq2seq_learns_to_reverse(attention: str) -> None:
    from xpnn.data.synthetic import reverse_task

    xpnn.manual_seed(0)
    pairs = reverse_task(256, seed=0)
    sources, targets = pairs.tensors
    net = models.Seq2Seq(len(pairs.vocabulary), 32, attention)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = net.loss(sources, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
    for wrong in ({"attention": "none"}, {"features": 3}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            models.Seq2Seq(5, **wrong)


def test_ctc_decoding() -> None:
    """The search with enough beams against the sum over all alignments, and against the greedy way."""
    rng = np.random.default_rng(0)
    log_probs = F.log_softmax(xpnn.tensor(rng.standard_normal((4, 3, 3)) * 2), -1)
    found = models.ctc_beam_decode(log_probs, beams=100)
    greedy = models.ctc_greedy_decode(log_probs)
    for n in range(3):
        totals: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(3), repeat=4):
            labels = tuple(k for k, _ in itertools.groupby(path) if k)
            p = math.exp(sum(log_probs[t, n, k].item() for t, k in enumerate(path)))
            totals[labels] = totals.get(labels, 0.0) + p
        best = max(totals, key=totals.__getitem__)
        assert found[n][0] == list(best)
        assert found[n][1] == pytest.approx(math.log(totals[best]), rel=1e-9)
        labels = [k for k, _ in itertools.groupby(log_probs.argmax(-1)[:, n].tolist()) if k]
        assert greedy[n] == labels
    with pytest.raises(ArgumentError, match="expects at least one beam"):
        models.ctc_beam_decode(log_probs, 0)


def test_strip_recogniser() -> None:
    net = models.StripRecogniser(16, 11, channels=4, hidden=8)
    log_probs = net(xpnn.rand(3, 1, 16, 40))
    assert log_probs.shape == (10, 3, 11)
    np.testing.assert_allclose(log_probs.exp().sum(-1).detach().numpy(), 1, rtol=1e-5)
    labels, lengths = xpnn.tensor([[1, 2], [3, 0], [4, 4]]), xpnn.tensor([2, 1, 2])
    F.ctc_loss(log_probs, labels, xpnn.tensor([10, 10, 10]), lengths).backward()
    assert all(p.grad is not None for p in net.parameters())
    with pytest.raises(ArgumentError, match="expects height as a multiple of 4, got 18"):
        models.StripRecogniser(18, 11)


@pytest.mark.parametrize("kind", ["elman", "jordan", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_classifiers_and_taggers(kind: str, bidirectional: bool, backend: Any) -> None:
    """Padding changes nothing; a step of training does."""
    if kind == "jordan" and bidirectional:
        with pytest.raises(ArgumentError, match="expects one layer in one direction of kind 'jordan'"):
            models.Tagger(7, 3, kind=kind, bidirectional=True)
        return
    tokens = np.asarray([[1, 2, 3, 4], [5, 6, 0, 0]])
    for make in (models.SequenceClassifier, models.Tagger):
        net = make(7, 3, features=4, kind=kind, bidirectional=bidirectional)
        both = net(backend.array(tokens))
        short = net(backend.array(tokens[1:, :2]))
        rows = both[1:] if make is models.SequenceClassifier else both[1:, :2]
        np.testing.assert_allclose(
            backend.numpy(rows.detach()), backend.numpy(short.detach()), rtol=1e-5, atol=1e-6
        )
        F.cross_entropy(both.reshape(-1, 3), backend.array(np.zeros(both.size // 3, int))).backward()
        assert all(p.grad is not None for p in net.parameters())
    assert models.Tagger(7, 3, padding=None)(backend.array(tokens)).shape == (2, 4, 3)
    with pytest.raises(ArgumentError, match="expects kind elman, lstm, gru or jordan, got 'rnn'"):
        models.Tagger(7, 3, kind="rnn")
