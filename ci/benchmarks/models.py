"""One training step of each network of `xpnn.models`, at a small size, beside its twin in PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import twins
from benchmarks.frameworks import THREADS, Step, need
from benchmarks.workloads import initial_values

COMPETITORS = ("numpy", "pytorch")
COMPARED_LOSSES = 2
# At which rounding does not drive the second loss of a deep net apart.
OPTIMIZER = {"lr": 1e-4, "momentum": 0.9}

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Net:
    """A network, what it is given, and its loss.

    Attributes:
        title: with the sizes of the step.
        file: of `xpnn.models`; and torchvision's, where it has the network, as "resnet/resnet".
        make: `make(file)` makes the network, or several as an `nn.ModuleList`.
        inputs: `inputs(rng)` makes the arrays of a step.
        loss: `loss(file, F, model, *inputs)`.
        draws: whether the loss depends on random numbers, which are each library's own.
    """

    title: str
    file: str
    make: Callable[[Any], Any]
    inputs: Callable[[Any], Arrays]
    loss: Callable[..., Any]
    draws: bool = False


def prepare(competitor: str, name: str) -> tuple[dict[str, Any], Step]:
    """For `process.serve`: the first losses, without dropout, and the step to be timed, which has it."""
    import numpy as np

    net = NETS[name]
    ours, _, theirs = net.file.partition("/")
    if competitor == "pytorch":
        need("torch", "PyTorch")
        import torch as library

        library.set_num_threads(THREADS)
        library.manual_seed(0)
        array, F = library.tensor, library.nn.functional
        file = twins.torchvision_file(theirs) if theirs else twins.file_on_torch(ours)
    else:
        import xpnn as library

        library.set_backend(competitor)
        array, F = library.tensor, library.nn.functional
        file = importlib.import_module(f"xpnn.models.{ours}")

    model = net.make(file)
    for key, parameter in model.named_parameters():
        parameter.data = array(initial_values(key, tuple(parameter.shape)))
    inputs = [array(x) for x in net.inputs(np.random.default_rng(0))]
    optimizer = library.optim.SGD(model.parameters(), **OPTIMIZER)

    def step(_: int) -> float:
        optimizer.zero_grad()
        loss = net.loss(file, F, model, *inputs)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    chances = {module: module.p for module in model.modules() if hasattr(module, "p")}
    for module in chances:
        module.p = 0.0
    losses = [step(i) for i in range(COMPARED_LOSSES)]
    for module, chance in chances.items():
        module.p = chance
    return {"losses": [] if net.draws else losses}, step


def normal(rng: Any, *shape: int) -> Any:
    return rng.standard_normal(shape).astype("float32")


def classified(file: Any, F: Any, model: Any, x: Any, y: Any) -> Any:
    """Cross entropy; where there are auxiliary classifiers, theirs by a third."""
    scores = model(x)
    if isinstance(scores, tuple):
        return F.cross_entropy(scores[0], y) + 0.3 * sum(F.cross_entropy(other, y) for other in scores[1:])
    return F.cross_entropy(scores, y)


def classifier(file: str, name: str, batch: int, *shape: int, **options: Any) -> Net:
    """A network of the registry with 10 classes, on images (channels, rows, columns)."""
    return Net(
        f"{name}, {batch} x {'x'.join(map(str, shape))}",
        file,
        lambda module: getattr(module, name)(num_classes=10, **options),
        lambda rng: (normal(rng, batch, *shape), rng.integers(0, 10, batch)),
        classified,
    )


def segmenter(title: str, file: str, make: Callable[[Any], Any], batch: int = 4, side: int = 64) -> Net:
    """A network that gives each cell one of five classes."""
    return Net(
        f"{title}, {batch} x 3x{side}x{side}",
        file,
        make,
        lambda rng: (normal(rng, batch, 3, side, side), rng.integers(0, 5, (batch, side, side))),
        classified,
    )


def coder(title: str, name: str, convolutional: bool) -> Net:
    def loss(file: Any, F: Any, model: Any, x: Any) -> Any:
        if name == "VAE":
            return model.loss(x)
        return F.binary_cross_entropy_with_logits(model(x), x)

    return Net(
        f"{title}, 64 x 1x28x28",
        "vae",
        lambda file: getattr(file, name)((1, 28, 28), 16, 32 if convolutional else 400, convolutional),
        lambda rng: (rng.random((64, 1, 28, 28), dtype="float32"),),
        loss,
        draws=name == "VAE",
    )


def adversaries(file: Any, F: Any, model: Any, real: Any, noise: Any) -> Any:
    """Both losses in one step; what the discriminator gets of the generator's is left in its gradient."""
    generator, discriminator = model
    fake = generator(noise)
    judged = file.discriminator_loss(discriminator(real), discriminator(fake.detach()))
    return judged + file.generator_loss(discriminator(fake))


def pair(file: Any) -> Any:
    return file.nn.ModuleList([file.Generator(32, width=16), file.Discriminator(width=16)])


def critic(file: Any, F: Any, model: Any, real: Any, fake: Any) -> Any:
    return model(fake).mean() - model(real).mean() + 10 * file.gradient_penalty(model, real, fake)


def likelihood(file: Any, F: Any, model: Any, x: Any) -> Any:
    return model.bits_per_pixel(x)


def own_loss(file: Any, F: Any, model: Any, *inputs: Any) -> Any:
    return model.loss(*inputs)


def maps_and_heads(file: Any, F: Any, model: Any, x: Any, labels: Any, codes: Any) -> Any:
    """Simple losses of the detector's outputs, as its own need torchvision's compiled operators."""
    out = model(x)
    return F.binary_cross_entropy_with_logits(out.scores, labels) + F.smooth_l1_loss(out.codes, codes)


def reader(name: str, kind: str, **options: Any) -> Net:
    """A network for sequences of 24 tokens of 100, some of them shorter."""

    def loss(file: Any, F: Any, model: Any, tokens: Any, labels: Any) -> Any:
        scores = model(tokens)
        return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels)

    def inputs(rng: Any) -> Arrays:
        tokens = rng.integers(1, 100, (32, 24))
        tokens[::4, 16:] = 0
        return tokens, rng.integers(0, 8, 32 if name == "SequenceClassifier" else 32 * 24)

    words = f"{kind}{', both directions' if options.get('bidirectional') else ''}"
    return Net(
        f"{name}, {words}, 32 x 24",
        "sequences",
        lambda file: getattr(file, name)(100, 8, 64, kind, **options),
        inputs,
        loss,
    )


def translator(attention: str) -> Net:
    return Net(
        f"Seq2Seq, {attention} attention, 32 x 10",
        "seq2seq",
        lambda file: file.Seq2Seq(30, 64, attention),
        lambda rng: (rng.integers(3, 30, (32, 10)), rng.integers(3, 30, (32, 11))),
        own_loss,
    )


def strips(file: Any, F: Any, model: Any, x: Any, labels: Any, steps: Any, lengths: Any) -> Any:
    return F.ctc_loss(model(x), labels, steps, lengths)


def _strips(rng: Any) -> Arrays:
    labels = rng.integers(1, 11, (16, 5))
    return normal(rng, 16, 1, 20, 80), labels, rng.integers(20, 21, 16), rng.integers(5, 6, 16)


NETS = {
    "lenet": classifier("lenet", "lenet", 64, 1, 28, 28),
    "mlp": classifier("mlp", "mlp", 64, 1, 28, 28),
    "alexnet": classifier("alexnet/alexnet", "alexnet", 8, 3, 64, 64),
    "alexnet_two_columns": classifier("alexnet", "alexnet_two_columns", 8, 3, 67, 67),
    "zfnet": classifier("alexnet", "zfnet", 8, 3, 64, 64),
    "vgg11": classifier("vgg/vgg", "vgg11", 8, 3, 32, 32),
    "vgg16_bn": classifier("vgg/vgg", "vgg16_bn", 8, 3, 32, 32),
    "small_vgg": classifier("vgg", "small_vgg", 32, 3, 32, 32),
    "googlenet": classifier("googlenet/googlenet", "googlenet", 8, 3, 64, 64),
    "resnet18": classifier("resnet/resnet", "resnet18", 8, 3, 64, 64),
    "resnet50": classifier("resnet/resnet", "resnet50", 8, 3, 64, 64),
    "resnet20": classifier("resnet_small", "resnet20", 32, 3, 32, 32),
    "densenet121": classifier("densenet/densenet", "densenet121", 8, 3, 64, 64),
    "small_densenet": classifier("densenet", "small_densenet", 32, 3, 32, 32),
    "mobilenet_v2": classifier("mobilenet_v2/mobilenetv2", "mobilenet_v2", 8, 3, 64, 64),
    "small_mobilenet_v2": classifier("mobilenet_v2", "small_mobilenet_v2", 32, 3, 32, 32),
    "efficientnet_b0": classifier("efficientnet/efficientnet", "efficientnet_b0", 8, 3, 64, 64),
    "shufflenet_v2": classifier("shufflenet_v2/shufflenetv2", "shufflenet_v2_x1_0", 8, 3, 64, 64),
    "convnext_tiny": classifier("convnext/convnext", "convnext_tiny", 8, 3, 64, 64),
    "vit_b_16": classifier("vit/vision_transformer", "vit_b_16", 4, 3, 64, 64, image_size=64),
    "small_vit": classifier("vit", "small_vit", 32, 3, 32, 32),
    "non_local": Net(
        "non-local block behind a convolution, 8 x 3x16x16",
        "non_local",
        lambda file: file.nn.Sequential(
            *(file.nn.Conv2d(3, 64, 3, padding=1), file.NonLocalBlock(64)),
            *(file.nn.AdaptiveAvgPool2d(1), file.nn.Flatten(), file.nn.Linear(64, 10)),
        ),
        lambda rng: (normal(rng, 8, 3, 16, 16), rng.integers(0, 10, 8)),
        classified,
    ),
    "fcn": segmenter("FCN-8s", "fcn", lambda file: file.FCN(5, hidden=512)),
    "segnet": segmenter(
        "SegNet, three stages", "segnet", lambda file: file.SegNet(5, 3, (32, 64, 128), (2, 2, 2))
    ),
    "unet": segmenter("U-Net, 16 channels", "unet", lambda file: file.UNet(3, 5, 16)),
    "detector": Net(
        "detector without masks, 8 x 3x64x64", "detector", lambda file: file.Detector(3, masks=False),
        lambda rng: (
            *(normal(rng, 8, 3, 64, 64), rng.integers(0, 2, (8, 320, 3)).astype("float32")),
            normal(rng, 8, 320, 4),
        ),
        maps_and_heads,
    ),
    "autoencoder": coder("autoencoder, linear", "Autoencoder", False),
    "vae": coder("VAE, linear", "VAE", False),
    "vae_conv": coder("VAE, convolutional", "VAE", True),
    "gan": Net(
        "DCGAN, both nets, 32 x 1x32x32", "gan", pair,
        lambda rng: (normal(rng, 32, 1, 32, 32), normal(rng, 32, 32)), adversaries,
    ),
    "wgan_gp": Net(
        "critic with gradient penalty, 32 x 1x32x32", "gan",
        lambda file: file.Discriminator(width=16, batch_norm=False),
        lambda rng: (normal(rng, 32, 1, 32, 32), normal(rng, 32, 1, 32, 32)), critic, draws=True,
    ),
    "pixelcnn": Net(
        "PixelCNN, 16 x 1x16x16", "pixelcnn", lambda file: file.PixelCNN(),
        lambda rng: (rng.integers(0, 2, (16, 1, 16, 16)),), likelihood,
    ),
    "made": Net(
        "MADE, 64 x 784", "made", lambda file: file.MADE(784),
        lambda rng: (rng.integers(0, 2, (64, 784)).astype("float32"),), likelihood,
    ),
    "nade": Net(
        "NADE, 32 x 64", "nade", lambda file: file.NADE(64),
        lambda rng: (rng.integers(0, 2, (32, 64)).astype("float32"),), likelihood,
    ),
    "pixelrnn": Net(
        "PixelRNN, 16 x 1x16x16", "pixelrnn", lambda file: file.PixelRNN(),
        lambda rng: (rng.integers(0, 2, (16, 1, 16, 16)),), likelihood,
    ),
    "rbm": Net(
        "Boltzmann machine, 64 x 784", "rbm", lambda file: file.RBM(784, 500),
        lambda rng: (rng.integers(0, 2, (64, 784)).astype("float32"),), own_loss, draws=True,
    ),
    "gsn": Net(
        "generative stochastic network, 64 x 784", "gsn", lambda file: file.GSN(784),
        lambda rng: (rng.integers(0, 2, (64, 784)).astype("float32"),), own_loss, draws=True,
    ),
    "skip_gram": Net(
        "skip-grams, 512 pairs of 1000 words", "word2vec", lambda file: file.SkipGram([1.0] * 1000),
        lambda rng: (rng.integers(0, 1000, 512), rng.integers(0, 1000, 512)), own_loss, draws=True,
    ),
    "mae": Net(
        "masked autoencoder, 16 x 3x32x32", "mae", lambda file: file.MaskedAutoencoder(),
        lambda rng: (normal(rng, 16, 3, 32, 32),), lambda file, F, model, x: model(x).loss, draws=True,
    ),
    "classifier_elman": reader("SequenceClassifier", "elman"),
    "classifier_gru": reader("SequenceClassifier", "gru"),
    "tagger_lstm": reader("Tagger", "lstm", bidirectional=True),
    "seq2seq_additive": translator("additive"),
    "seq2seq_dot": translator("dot"),
    "ctc": Net(
        "strip recogniser, CTC, 16 x 1x20x80", "ctc", lambda file: file.StripRecogniser(20, 11),
        _strips, strips,
    ),
    "gpt": Net(
        "GPT, 4 layers of 128, 8 x 64", "gpt", lambda file: file.GPT(100, 64, 4, 4, 128),
        lambda rng: (rng.integers(0, 100, (8, 64)), rng.integers(0, 100, (8, 64))),
        own_loss,
    ),
}  # fmt: skip
