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


@pytest.mark.parametrize("kind", ["embedded_gaussian", "dot_product"])
def test_residual_net_with_a_non_local_block(kind: str) -> None:
    """At first it says what the net without says; in training the block takes part, and the net learns."""
    xpnn.manual_seed(0)
    plain, net = models.SmallResNet(8, 2, 1), models.SmallResNet(8, 2, 1, non_local=kind)
    missing = net.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {key.split(".")[0] for key in missing} == {"non_local"}
    # class 1: both marks, anywhere, are of one sign
    rng = np.random.default_rng(0)
    images, labels = np.zeros((160, 1, 8, 8), np.float32), rng.integers(0, 2, 160)
    for image, label in zip(images, labels):
        first, second = rng.choice(64, 2, replace=False)
        image.reshape(-1)[[first, second]] = np.asarray([1, 1 if label else -1]) * rng.choice([-1, 1])
    images, labels = xpnn.tensor(images), xpnn.tensor(labels)
    np.testing.assert_array_equal(
        net.eval()(images[:9]).detach().numpy(), plain.eval()(images[:9]).detach().numpy()
    )
    net.train()
    optimizer = optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(15):
        for start in range(0, 160, 40):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[start : start + 40]), labels[start : start + 40])
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert all(p.grad.numpy().any() for p in net.non_local.out.parameters())
    assert losses[-1] < 0.25 < 0.5 < losses[0]


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
