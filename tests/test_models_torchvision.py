"""Networks that torchvision has, too: its state dicts load as they are, and give the same numbers."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import model_table
import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import models

# The file of torchvision.models, and the side of the images.
NETS = {
    "alexnet": ("alexnet", 80),
    "vgg11": ("vgg", 40),
    "vgg16_bn": ("vgg", 40),
    "googlenet": ("googlenet", 64),
    "resnet18": ("resnet", 64),
    "resnet50": ("resnet", 64),
    "mobilenet_v2": ("mobilenetv2", 64),
    "densenet121": ("densenet", 64),
    "convnext_tiny": ("convnext", 64),
    "efficientnet_b0": ("efficientnet", 64),
    "shufflenet_v2_x0_5": ("shufflenetv2", 64),
    "shufflenet_v2_x1_0": ("shufflenetv2", 64),
    "vit_b_16": ("vision_transformer", 32),
}
QUICK = ("shufflenet_v2_x0_5", "mobilenet_v2", "resnet18")


@pytest.fixture(scope="module")
def torchvision_models() -> Iterator[Any]:
    """Imports a file of torchvision.models, and not the package, which wants compiled operators."""
    pytest.importorskip("torch")
    found = importlib.util.find_spec("torchvision")
    if found is None:
        pytest.skip("torchvision is not installed")
    before = {name for name in sys.modules if name.startswith("torchvision")}
    for name in ("torchvision", "torchvision.models"):
        package = types.ModuleType(name)
        package.__path__ = [
            place + name.removeprefix("torchvision").replace(".", "/")
            for place in found.submodule_search_locations
        ]
        sys.modules[name] = package
    yield lambda name: importlib.import_module(f"torchvision.models.{name}")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        if name not in before:
            del sys.modules[name]


@pytest.mark.parametrize("name", model_table.TORCHVISION)
def test_counts_are_those_of_its_table(name: str, torchvision_models: Any) -> None:
    file = torchvision_models("resnet" if "resnet" in name else "vgg" if "vgg" in name else NETS[name][0])
    (weights,) = (part for key, part in vars(file).items() if key.lower() == f"{name}_weights")
    published = f"{next(iter(weights)).meta['num_params']:,}"
    row = model_table.ROWS[name]
    assert published == row.published
    assert name == "googlenet" or published == f"{row.count:,}"


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_a_state_dict_of_torchvision(name: str, torchvision_models: Any) -> None:
    """Keys in their order; scores and, through the whole network in training, gradients."""
    import torch

    file, side = NETS[name]
    classes = 7
    options = {"image_size": side} if file == "vision_transformer" else {}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(torchvision_models(file), name)(num_classes=classes, **options)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, 3, side, side)).astype(np.float32)
    labels = rng.integers(0, classes, 4)
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            if "layer_scale" in key:
                parameter.fill_(0.5)  # of 1e-6 would nothing be seen
            elif "heads" in key or (file in ("googlenet", "vgg") and "weight" in key and parameter.ndim > 1):
                # signals that neither die out nor grow
                torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        for module in theirs.modules():
            module.p = 0.0  # of dropout and stochastic depth: random numbers are each library's own
            module.momentum = None  # running statistics are the average of what was seen
        theirs.train()(torch.tensor(images))
    mine = models.create(name, num_classes=classes, **options)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for module in mine.modules():
        if hasattr(module, "p"):
            module.p = 0.0
        if hasattr(module, "momentum"):
            module.momentum = None

    with torch.no_grad(), xpnn.no_grad():
        expected = theirs.eval()(torch.tensor(images)).numpy()
        scores = mine.eval()(xpnn.tensor(images)).numpy()
    assert expected.std() > 1e-2
    np.testing.assert_allclose(scores, expected, atol=1e-4 * max(1, abs(expected).max()))

    def loss_of(scores: Any, labels: Any, cross_entropy: Any) -> Any:
        if not isinstance(scores, tuple):
            return cross_entropy(scores, labels)
        logits, second, first = scores  # GoogLeNet's, with its auxiliary classifiers
        return cross_entropy(logits, labels) + 0.3 * (
            cross_entropy(first, labels) + cross_entropy(second, labels)
        )

    theirs.double().train()
    mine.double().train()
    loss = loss_of(
        theirs(torch.tensor(images).double()), torch.tensor(labels), torch.nn.functional.cross_entropy
    )
    loss.backward()
    own = loss_of(mine(xpnn.tensor(images).double()), xpnn.tensor(labels), F.cross_entropy)
    own.backward()
    assert own.item() == pytest.approx(loss.item(), rel=1e-9)
    gradients = {key: parameter.grad for key, parameter in mine.named_parameters()}
    for key, parameter in theirs.named_parameters():
        size = max(parameter.grad.abs().max().item(), 1e-6)
        assert abs(gradients[key].numpy() - parameter.grad.numpy()).max() < 1e-6 * size, key
