"""Networks that torchvision has not in our form: against the same spelled with PyTorch, and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models, nn
from xpnn.backend import ArgumentError, ShapeError
from xpnn.models import gan, vae


def torch_state(model: nn.Module, torch: Any) -> dict[str, Any]:
    """The weights as PyTorch's; running statistics that are not 0 and 1."""
    rng = np.random.default_rng(0)
    state = {}
    for key, value in model.state_dict().items():
        shift = rng.random(value.shape) if "running" in key else 0
        state[key] = torch.tensor(value.numpy() + shift)
    model.load_state_dict({key: value.numpy() for key, value in state.items()})
    return state


def size_of(model: nn.Module) -> int:
    return sum(p.size for p in model.parameters())


def test_nanogpts_count() -> None:
    """10.65 million for characters, without positions."""
    gpt = models.GPT(vocab_size=65, block_size=256, n_layer=6, n_head=6, n_embd=384, bias=False)
    assert size_of(gpt) - 256 * 384 == 10_646_784


# --- segmentation ---


@pytest.mark.parametrize("batch_norm", [False, True])
def test_unet_against_torch(batch_norm: bool) -> None:
    torch = pytest.importorskip("torch")
    net = models.UNet(2, 3, channels=4, depth=2, batch_norm=batch_norm).double().eval()
    state = torch_state(net, torch)

    def block(x: Any, path: str) -> Any:
        for conv, norm in ((0, 1), (3, 4)) if batch_norm else ((0, 1), (2, 3)):
            x = torch.conv2d(x, state[f"{path}.{conv}.weight"], state.get(f"{path}.{conv}.bias"), padding=1)
            if batch_norm:
                names = ("running_mean", "running_var", "weight", "bias")
                x = torch.nn.functional.batch_norm(x, *[state[f"{path}.{norm}.{n}"] for n in names])
            x = x.relu()
        return x

    image = np.random.default_rng(1).standard_normal((2, 2, 8, 12))
    first = block(torch.tensor(image), "down.0")
    second = block(torch.max_pool2d(first, 2), "down.1")
    x = block(torch.max_pool2d(second, 2), "down.2")
    for i, passed in enumerate((second, first)):
        x = torch.conv_transpose2d(x, state[f"upsample.{i}.weight"], state[f"upsample.{i}.bias"], stride=2)
        x = block(torch.cat([passed, x], 1), f"up.{i}")
    expected = torch.conv2d(x, state["head.weight"], state["head.bias"])
    np.testing.assert_allclose(net(image).detach().numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(ShapeError, match="expects sides that are multiples of 4"):
        net(image[:, :, :7])


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_fcn_against_torch(stride: int) -> None:
    torch = pytest.importorskip("torch")
    net = models.FCN(3, stride, depth=11, hidden=8).double().eval()
    state = torch_state(net, torch)
    for key in state:
        if "shortcuts" in key:
            state[key] = torch.rand(state[key].shape, dtype=torch.float64)
    net.load_state_dict({key: value.numpy() for key, value in state.items()})
    image = np.random.default_rng(1).standard_normal((1, 3, 70, 64))
    x, maps = torch.tensor(image), []
    for i, count in enumerate((1, 1, 2, 2, 2)):
        for j in range(count):
            path = f"stages.{i}.{2 * j}"
            x = torch.conv2d(x, state[f"{path}.weight"], state[f"{path}.bias"], padding=1).relu()
        x = torch.max_pool2d(x, 2)
        maps.append(x)
    for i, padding in ((0, 3), (3, 0), (6, 0)):
        path = f"classifier.{i}"
        x = torch.conv2d(x, state[f"{path}.weight"], state[f"{path}.bias"], padding=padding)
        x = x.relu() if i < 6 else x

    def enlarged(x: Any, size: Any) -> Any:
        return torch.nn.functional.interpolate(x, size=tuple(size), mode="bilinear")

    for i in {32: (), 16: (3,), 8: (3, 2)}[stride]:
        path = f"shortcuts.{i}"
        x = enlarged(x, maps[i].shape[2:]) + torch.conv2d(
            maps[i], state[f"{path}.weight"], state[f"{path}.bias"]
        )
    expected = enlarged(x, image.shape[2:])
    np.testing.assert_allclose(net(image).detach().numpy(), expected.numpy(), rtol=1e-8, atol=1e-10)
    with pytest.raises(ArgumentError, match="expects stride 32, 16 or 8, got 4"):
        models.FCN(3, 4)


def test_segnet_puts_values_back_where_they_were() -> None:
    net = models.SegNet(4, 3, channels=(4, 8), counts=(2, 3))
    assert net(xpnn.randn(2, 3, 9, 13)).shape == (2, 4, 9, 13)
    paths = [(conv.in_channels, conv.out_channels) for conv in net.modules() if isinstance(conv, nn.Conv2d)]
    assert paths == [(3, 4), (4, 4), (4, 8), (8, 8), (8, 8), (8, 8), (8, 8), (8, 4), (4, 4), (4, 4)]
    net = models.SegNet(1, 1, channels=(1,), counts=(1,)).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    image = xpnn.tensor([[[[1.0, 2.0], [5.0, 3.0]]]])
    np.testing.assert_allclose(net(image).detach().numpy(), [[[[0, 0], [5, 0]]]])


def test_every_net_for_segmentation_trains(backend: Any) -> None:
    nets = (
        models.UNet(1, 3, channels=2, depth=1),
        models.FCN(3, 8, depth=11, hidden=2, in_channels=1),
        models.SegNet(3, 1, channels=(2, 2), counts=(1, 1)),
    )
    images = backend.array(np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype("float32"))
    cells = backend.array(np.random.default_rng(1).integers(0, 3, (1, 32, 32)))
    for net in nets:
        F.cross_entropy(net(images), cells).backward()
        assert all(p.grad is not None for p in net.parameters())


# --- autoencoders ---


@pytest.mark.parametrize("convolutional", [False, True])
def test_vae_against_torch(convolutional: bool) -> None:
    torch = pytest.importorskip("torch")
    net = models.VAE((1, 8, 4), 3, hidden=6, convolutional=convolutional).double()
    images = xpnn.tensor(np.random.default_rng(0).random((5, 1, 8, 4)))
    xpnn.manual_seed(1)
    loss = net.loss(images, beta=0.7)
    xpnn.manual_seed(1)
    logits, mean, log_variance = (torch.tensor(x.detach().numpy()) for x in net(images))
    target = torch.tensor(images.numpy())
    pixels = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum()
    assert loss.item() == pytest.approx(((pixels + 0.7 * kl) / 5).item(), rel=1e-9)
    loss.backward()
    assert all(p.grad.numpy().any() for p in net.parameters())
    codes = xpnn.randn(2, 3, dtype=xpnn.float64)
    np.testing.assert_allclose(F.sigmoid(net.decode(codes)).detach().numpy().shape, (2, 1, 8, 4))


def test_codes_are_drawn_with_their_variance() -> None:
    net = models.VAE((1, 2, 2), 1)
    mean, log_variance = xpnn.full((20000, 1), 2.0), xpnn.full((20000, 1), np.log(9.0))
    net.encode = lambda images: (mean, log_variance)
    seen = []
    net.decode = lambda codes: seen.append(codes) or codes
    net(xpnn.zeros(1))
    assert seen[0].mean().item() == pytest.approx(2, abs=0.1)
    assert seen[0].std().item() == pytest.approx(3, abs=0.1)


def test_autoencoder() -> None:
    net = models.Autoencoder((2, 8, 8), 3, convolutional=True)
    images = xpnn.rand(4, 2, 8, 8)
    assert net(images).shape == (4, 2, 8, 8)
    assert net.encoder(images).shape == (4, 3)
    with pytest.raises(ArgumentError, match="expects sides that are multiples of 4"):
        models.Autoencoder((1, 6, 8), 2, convolutional=True)
    zero = vae.kl_to_unit_normal(xpnn.zeros(2, 3), xpnn.zeros(2, 3))
    assert zero.tolist() == [0, 0]


# --- adversarial nets ---


@pytest.mark.parametrize("side", [8, 16, 64])
@pytest.mark.parametrize("classes", [0, 3])
def test_generator_and_discriminator(side: int, classes: int) -> None:
    maker = models.Generator(5, 2, side, width=4, num_classes=classes)
    judge = models.Discriminator(2, side, width=4, num_classes=classes)
    labels = (xpnn.tensor([0, 2, 1]),) if classes else ()
    images = maker(xpnn.randn(3, 5), *labels)
    assert images.shape == (3, 2, side, side)
    assert abs(images).max().item() <= 1
    score = judge(images, *labels)
    assert score.shape == (3,)
    gan.generator_loss(score).backward()
    assert all(p.grad is not None for p in [*maker.parameters(), *judge.parameters()])


def test_losses_of_adversarial_nets() -> None:
    torch = pytest.importorskip("torch")
    real, fake = np.random.default_rng(0).standard_normal((2, 6)) * 3
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    expected = bce(torch.tensor(real), ones) + bce(torch.tensor(fake), zeros)
    assert gan.discriminator_loss(xpnn.tensor(real), xpnn.tensor(fake)).item() == pytest.approx(
        expected.item()
    )
    expected = bce(torch.tensor(fake), ones)
    assert gan.generator_loss(xpnn.tensor(fake)).item() == pytest.approx(expected.item())
    with pytest.raises(ArgumentError, match="expects a side of 8, 16, 32"):
        models.Generator(side=24)


def test_gradient_penalty_of_a_linear_critic() -> None:
    """|w| is the gradient's norm everywhere, so that the penalty is (|w| - 1)^2 and its gradient is known."""
    w = xpnn.tensor([3.0, 4.0], requires_grad=True)
    real, fake = xpnn.randn(5, 2), xpnn.randn(5, 2)
    penalty = gan.gradient_penalty(lambda x: x @ w, real, fake)
    assert penalty.item() == pytest.approx(16)
    penalty.backward()
    np.testing.assert_allclose(w.grad.numpy(), 8 * np.asarray([0.6, 0.8]), rtol=1e-5)


# --- a language model ---


@pytest.mark.parametrize("bias", [False, True])
def test_gpt_against_torch(bias: bool) -> None:
    torch = pytest.importorskip("torch")
    net = models.GPT(11, 8, n_layer=2, n_head=2, n_embd=6, bias=bias).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    state = {key: torch.tensor(value.numpy()) for key, value in net.state_dict().items()}
    assert ("transformer.h.0.ln_1.bias" in state) == bias
    tokens = np.random.default_rng(0).integers(0, 11, (3, 7))

    def linear(x: Any, path: str) -> Any:
        return torch.nn.functional.linear(x, state[f"{path}.weight"], state.get(f"{path}.bias"))

    def norm(x: Any, path: str) -> Any:
        return torch.nn.functional.layer_norm(x, (6,), state[f"{path}.weight"], state.get(f"{path}.bias"))

    x = state["transformer.wte.weight"][torch.tensor(tokens)] + state["transformer.wpe.weight"][:7]
    for i in range(2):
        path = f"transformer.h.{i}"
        heads = linear(norm(x, f"{path}.ln_1"), f"{path}.attn.c_attn").split(6, dim=2)
        q, k, v = (part.reshape(3, 7, 2, 3).transpose(1, 2) for part in heads)
        scores = (q @ k.mT / 3**0.5).masked_fill(torch.ones(7, 7).tril() == 0, -torch.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(3, 7, 6)
        x = x + linear(y, f"{path}.attn.c_proj")
        hidden = torch.nn.functional.gelu(linear(norm(x, f"{path}.ln_2"), f"{path}.mlp.c_fc"))
        x = x + linear(hidden, f"{path}.mlp.c_proj")
    expected = norm(x, "transformer.ln_f") @ state["lm_head.weight"].T
    scores = net(xpnn.tensor(tokens))
    np.testing.assert_allclose(scores.detach().numpy(), expected.numpy(), rtol=1e-8)
    targets = np.where(tokens == 3, -1, tokens)
    loss = torch.nn.functional.cross_entropy(
        expected.reshape(-1, 11), torch.tensor(targets).reshape(-1), ignore_index=-1
    )
    assert net.loss(xpnn.tensor(tokens), xpnn.tensor(targets)).item() == pytest.approx(loss.item())


def test_generation_is_that_without_a_cache(backend: Any) -> None:
    net = models.GPT(11, 6, n_layer=2, n_head=2, n_embd=8, dropout=0.5)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7)
    start = backend.array(np.random.default_rng(0).integers(0, 11, (3, 2)))
    tokens = xpnn.Tensor(start)
    written = net.generate(tokens, 9, temperature=0)
    assert net.training
    net.eval()
    with xpnn.no_grad():
        for _ in range(9):
            best = net(tokens[:, -6:])[:, -1].argmax(-1)
            tokens = xpnn.cat([tokens, best[:, None]], 1)
    np.testing.assert_array_equal(backend.numpy(written), backend.numpy(tokens))
    with pytest.raises(ShapeError, match=r"expects 6 steps at most, got 11.*tokens\[:, -model.block_size"):
        net(tokens)


def test_sampling() -> None:
    """Shares of 20000 draws against the probabilities that each rule leaves."""
    p = np.asarray([0.5, 0.25, 0.15, 0.1])
    scores = xpnn.tensor(np.tile(np.log(p[[2, 0, 3, 1]]), (20000, 1)).astype("float32"))
    where = [1, 3, 0, 2]  # of the best, the second ...

    def shares(**options: Any) -> np.ndarray:
        return (np.bincount(models.sample_tokens(scores, **options).numpy(), minlength=4) / 20000)[where]

    np.testing.assert_allclose(shares(), p, atol=0.02)
    np.testing.assert_allclose(shares(top_k=2), [2 / 3, 1 / 3, 0, 0], atol=0.02)
    np.testing.assert_allclose(shares(top_p=0.74), [2 / 3, 1 / 3, 0, 0], atol=0.02)
    np.testing.assert_allclose(shares(top_p=0.76), p[:3].tolist() / p[:3].sum() @ np.eye(3, 4), atol=0.02)
    np.testing.assert_allclose(shares(top_p=0.01), [1, 0, 0, 0])
    np.testing.assert_allclose(shares(temperature=0.5), p**2 / (p**2).sum(), atol=0.02)
    np.testing.assert_allclose(shares(temperature=0), [1, 0, 0, 0])
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            models.sample_tokens(scores, **wrong)
