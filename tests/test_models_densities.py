"""Networks that give a vector or an image its probability: by enumeration of all, and by perturbation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn, optim
from xpnn.backend import ArgumentError
from xpnn.data import Digits


def scrambled(net: nn.Module, std: float = 0.5) -> nn.Module:
    """Weights that are no special case."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=std)
    return net


def all_vectors(features: int) -> Any:
    return xpnn.tensor(np.asarray(list(itertools.product([0, 1], repeat=features)), np.float32))


def frequencies(vectors: Any) -> np.ndarray:
    """How often each of the vectors that there can be is among those given, in the order of `all_vectors`."""
    bits = vectors.numpy().reshape(len(vectors), -1)
    codes = (bits @ 2 ** np.arange(bits.shape[1])[::-1]).astype(int)
    return np.bincount(codes, minlength=2 ** bits.shape[1]) / len(vectors)


# --- each number, given those before it ---


def sees(net: nn.Module, x: Any, output: Any) -> np.ndarray:
    """Which numbers of the input an output depends on."""
    x = x.detach().requires_grad_()
    (gradient,) = xpnn.autograd.grad(output(net(x)), x)
    return gradient.numpy() != 0


PIXELS: dict[str, Callable[[], Any]] = {
    "PixelCNN": lambda: models.PixelCNN(levels=3, channels=4, blocks=3),
    "PixelRNN": lambda: models.PixelRNN(levels=3, channels=4, layers=2),
}


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_see_the_pixels_before(name: str) -> None:
    net = scrambled(PIXELS[name]()).double()
    net.forward = _continuous(net)  # so that a gradient reaches the pixels
    seen = sees(net, xpnn.rand(1, 1, 6, 5, dtype=xpnn.float64), lambda y: y[0, :, 3, 2].sum())[0, 0]
    before = np.arange(30).reshape(6, 5) < 3 * 5 + 2
    assert not seen[~before].any()
    assert seen[before].mean() > 0.8


def _continuous(net: Any) -> Any:
    return lambda x: net.last(net.blocks(net.first(x)))


def test_row_lstm_reads_a_triangle() -> None:
    """Its own row up to the pixel, and of each row above one neighbour more, for ever."""
    layer = scrambled(models.pixelrnn.RowLSTM(2)).double()
    x = xpnn.rand(1, 4, 5, 9, dtype=xpnn.float64)
    seen = sees(layer, x, lambda y: y[0, :, 4, 4].sum())[0].any(0)
    rows, columns = np.indices((5, 9))
    # a masked row sees the pixel and one before it; the state, one neighbour more on both sides for each row
    np.testing.assert_array_equal(seen, (columns >= 3 - (4 - rows)) & (columns <= 4 + (4 - rows)))


def test_row_lstm_against_its_formula() -> None:
    layer = scrambled(models.pixelrnn.RowLSTM(2)).double()
    x = np.random.default_rng(0).standard_normal((3, 4, 3, 5))
    state, cell = np.zeros((2, 3, 2, 5))
    w, w_up, w_out = (
        part.weight.detach().numpy() for part in (layer.input_to_state, layer.state_to_state, layer.out)
    )
    expected = x.copy()
    for i in range(3):
        before = np.pad(state, ((0, 0), (0, 0), (1, 1)))
        gates = np.zeros((3, 8, 5)) + layer.input_to_state.bias.detach().numpy()[:, None]
        for j in range(5):
            gates[:, :, j] += x[:, :, i, j] @ w[:, :, 0, 1].T
            if j:
                gates[:, :, j] += x[:, :, i, j - 1] @ w[:, :, 0, 0].T
            gates[:, :, j] += sum(before[:, :, j + k] @ w_up[:, :, k].T for k in range(3))
        s = 1 / (1 + np.exp(-gates))
        cell = s[:, 2:4] * cell + s[:, :2] * np.tanh(gates[:, 4:6])
        state = s[:, 6:] * np.tanh(cell)
        expected[:, :, i] += np.einsum("ncw,oc->now", state, w_out[:, :, 0, 0])
        expected[:, :, i] += layer.out.bias.detach().numpy()[:, None]
    np.testing.assert_allclose(layer(xpnn.tensor(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


VECTORS: dict[str, Callable[[], Any]] = {
    "MADE": lambda: models.MADE(5, (8,)),
    "MADE of two layers": lambda: models.MADE(5, (6, 9)),
    "NADE": lambda: models.NADE(5, 3),
}


@pytest.mark.parametrize("name", VECTORS)
def test_numbers_see_the_numbers_before(name: str) -> None:
    net = scrambled(VECTORS[name]()).double()
    for layer in net.modules():
        if isinstance(layer, nn.ReLU):
            layer.forward = lambda x: x * 1.5  # through which all gradients come
    x = xpnn.rand(1, 5, dtype=xpnn.float64)
    for i in range(5):
        np.testing.assert_array_equal(sees(net, x, lambda y, i=i: y[0, i])[0], np.arange(5) < i)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_have_a_distribution(name: str) -> None:
    """The probabilities of all 2^5 vectors add up to 1, and samples come as often as they say."""
    net = scrambled(VECTORS[name]())
    vectors = all_vectors(5)
    logits = net(vectors)
    log_p = -F.binary_cross_entropy_with_logits(logits, vectors, reduction="none").sum(1).detach().numpy()
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    bits = -log_p.mean() / 5 / math.log(2)
    assert net.bits_per_pixel(vectors).item() == pytest.approx(bits, rel=1e-5)
    np.testing.assert_allclose(frequencies(net.sample(20000)), np.exp(log_p), atol=0.015)


def test_nade_against_its_formula() -> None:
    net = scrambled(models.NADE(4, 3)).double()
    read, write, c, b = (p.detach().numpy() for p in (net.read, net.write, net.hidden_bias, net.bias))
    x = all_vectors(4).numpy()
    for i in range(4):
        hidden = 1 / (1 + np.exp(-(c + x[:, :i] @ read[:i])))
        np.testing.assert_allclose(net(x).detach().numpy()[:, i], b[i] + hidden @ write[i], rtol=1e-9)
    assert models.NADE(1, 2)(np.ones((3, 1))).shape == (3, 1)


@pytest.mark.parametrize("name", PIXELS)
def test_images_have_a_distribution(name: str) -> None:
    make = {"PixelCNN": lambda: models.PixelCNN(2, 2, 1), "PixelRNN": lambda: models.PixelRNN(2, 2, 1)}[name]
    net = scrambled(make())
    images = all_vectors(4).numpy().astype(int).reshape(16, 1, 2, 2)
    log_p = F.log_softmax(net(xpnn.tensor(images)), 1).detach().numpy()
    log_p = np.take_along_axis(log_p, images, 1).sum((1, 2, 3))
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    assert net.bits_per_pixel(xpnn.tensor(images)).item() == pytest.approx(
        -log_p.mean() / 4 / math.log(2), rel=1e-5
    )
    np.testing.assert_allclose(frequencies(net.sample(5000, 2, 2)), np.exp(log_p), atol=0.03)


# --- chains ---


@pytest.mark.parametrize(("features", "hidden"), [(4, 3), (3, 5)])
def test_rbm_by_enumeration(features: int, hidden: int) -> None:
    """Free energy and log Z against the sum over all pairs; chains come to that distribution."""
    net = scrambled(models.RBM(features, hidden), 0.8).double()
    v, h = all_vectors(features).numpy(), all_vectors(hidden).numpy()
    w, b, c = (p.detach().numpy() for p in (net.weight, net.bias, net.hidden_bias))
    weights = np.exp(v @ b + (h @ c)[:, None] + h @ w @ v.T)
    np.testing.assert_allclose(net(v).detach().numpy(), -np.log(weights.sum(0)), rtol=1e-12)
    log_z = math.log(weights.sum())
    assert net.log_partition().item() == pytest.approx(log_z, rel=1e-12)
    assert net.annealed_log_partition(500, 100).item() == pytest.approx(log_z, abs=0.1)
    p = weights.sum(0) / weights.sum()
    bits = -np.log2(p).mean() / features
    assert net.bits_per_pixel(v).item() == pytest.approx(bits, rel=1e-9)
    assert net.bits_per_pixel(v, log_z).item() == pytest.approx(bits, rel=1e-9)
    np.testing.assert_allclose(frequencies(net.sample(8000, 20)), p, atol=0.03)


def test_long_chains_give_the_gradient_of_the_likelihood() -> None:
    """Contrastive divergence of many steps, as the mean over many chains."""
    net = scrambled(models.RBM(4, 3, chains=20000)).double()
    v = all_vectors(4).double()[[0, 1, 3, 15]]
    (net(v).mean() + net.log_partition()).backward()
    expected = net.weight.grad.numpy().copy()
    net.zero_grad()
    first = net.chains.numpy().copy()
    net.loss(v, steps=20).backward()
    np.testing.assert_allclose(net.weight.grad.numpy(), expected, atol=0.03)
    assert np.abs(expected).max() > 0.1
    assert (net.chains.numpy() != first).any()
    assert net.state_dict()["chains"].shape == (20000, 4)
    again = models.RBM(4, 3, chains=20000)
    again.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(again.chains.numpy(), net.chains.numpy())


def test_gsn_chain() -> None:
    """A chain without noise is a function, and the mean over its states is the probability of a vector."""
    net = scrambled(models.GSN(3, (4, 2, 3), corruption=0.0, noise=0.0, walkback=1)).double()
    v = all_vectors(3).double()
    states = [np.zeros((8, n)) for n in (4, 2, 3)]
    w = [part.weight.detach().numpy() for part in (*net.up, *net.down)]
    b = [part.bias.detach().numpy() for part in (*net.up, net.down[0])]
    first = np.tanh(v.numpy() @ w[0].T + states[1] @ w[4].T + b[0])
    third = np.tanh(states[1] @ w[2].T + b[2])
    assert third.shape == (8, 3)
    logits = first @ w[3].T + b[3]
    np.testing.assert_allclose(net(v)[0].detach().numpy(), logits, rtol=1e-9)
    _, layers = net._step(v, net._rest(8))
    second = np.tanh(first @ w[1].T + third @ w[5].T + b[1])
    for found, expected in zip(layers, (first, second, third)):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9)

    p = 1 / (1 + np.exp(-logits))
    probability = np.where(v.numpy()[:, None] == 1, p, 1 - p).prod(-1).mean(1)
    assert probability.sum() == pytest.approx(1)
    assert net.bits_per_pixel(v, net.chain(v, 1)).item() == pytest.approx(-np.log2(probability).mean() / 3)


def test_gsn_noise() -> None:
    xpnn.manual_seed(0)
    net = models.GSN(50, (3, 2), corruption=0.6)
    net.up[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].numpy()))
    seen: list[np.ndarray] = []
    net.chain(np.ones((400, 50)), 1)
    assert set(np.unique(seen[0])) == {0.0, 1.0}
    assert seen[0].mean() == pytest.approx(0.7, abs=0.02)  # of six tenths half become 0
    drawn = net.sample(20, 5)
    assert drawn.shape == (20, 50)
    assert set(drawn.numpy().ravel().tolist()) == {0.0, 1.0}


# --- all ---

ALL: dict[str, tuple[Callable[[], Any], float]] = {
    "MADE": (lambda: models.MADE(64, (100,)), 0.01),
    "NADE": (lambda: models.NADE(64, 30), 0.02),
    "PixelCNN": (lambda: models.PixelCNN(channels=8, blocks=2), 0.02),
    "PixelRNN": (lambda: models.PixelRNN(channels=8, layers=1), 0.02),
    "RBM": (lambda: models.RBM(64, 16), 0.05),
    "GSN": (lambda: models.GSN(64, (100,), corruption=0.2, walkback=3), 0.01),
}


@pytest.mark.parametrize("name", ALL)
def test_training_beats_independent_pixels(name: str) -> None:
    """Bits for a held-out pixel of digits after a short training, well below those of pixels alone."""
    xpnn.manual_seed(0)
    images, held_out = ((xpnn.as_tensor(Digits(train).data) > 0.5).float() for train in (True, False))
    p = (images.sum(0) + 1) / (len(images) + 2)
    alone = -(held_out * p.log2() + (1 - held_out) * (1 - p).log2()).mean().item()
    make, lr = ALL[name]
    net = make()
    whole = (lambda x: x.long()) if name.startswith("Pixel") else (lambda x: x)
    loss_of = net.loss if name in ("RBM", "GSN") else net.bits_per_pixel
    optimizer = optim.Adam(net.parameters(), lr=lr)
    for step in range(250):
        optimizer.zero_grad()
        loss_of(whole(images[step * 48 % 1392 :][:48])).backward()
        optimizer.step()
    for parameter in net.parameters():
        assert parameter.grad is not None
    with xpnn.no_grad():
        if name == "GSN":
            bits = net.bits_per_pixel(held_out, net.chain(images[:100], 30)[10:]).item()
        else:
            bits = net.bits_per_pixel(whole(held_out)).item()
    assert bits < 0.92 * alone, (bits, alone)


def test_arguments_of_densities() -> None:
    with pytest.raises(ArgumentError, match="expects at least 2 features, got 1"):
        models.MADE(1)
    with pytest.raises(ArgumentError, match="expects kind 'A' or 'B' and an odd kernel_size, got 'A' and 4"):
        models.pixelcnn.MaskedConv2d("A", 1, 1, 4)
    with pytest.raises(ArgumentError, match=r"expects kind 'A' or 'B' and an odd .* got 'A' and \(1, 2\)"):
        models.pixelcnn.MaskedConv2d("A", 1, 1, (1, 2))
    with pytest.raises(ArgumentError, match="PixelRNN expects at least 2 levels, got 1"):
        models.PixelRNN(levels=1)
    with pytest.raises(ArgumentError, match="expects features and hidden units, got 3 and 0"):
        models.NADE(3, 0)
    with pytest.raises(ArgumentError, match="expects units on both sides"):
        models.RBM(3, 3, chains=-1)
    with pytest.raises(ArgumentError, match="expects chains and steps of at least 1"):
        models.RBM(3, 3).annealed_log_partition(0)
    with pytest.raises(ArgumentError, match="a side of at most 24 units to add up over, got 30 and 25"):
        models.RBM(30, 25).log_partition()
    for wrong in ({"hidden": ()}, {"walkback": 0}, {"corruption": 1.5}):
        with pytest.raises(ArgumentError, match="expects a hidden layer, a step and a corruption"):
            models.GSN(3, **wrong)
