"""What a user's type checker must know of xpnn; read by `mypy --strict`, see tests/test_typing.py."""

from __future__ import annotations

from typing import assert_type

import numpy as np

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.autograd import Tensor
from xpnn.autograd.size import Size
from xpnn.data import DataLoader, Digits


class Network(nn.Module):
    """A user's own module."""

    def __init__(self, width: int) -> None:
        self.first = nn.Linear(64, width)
        self.scale = nn.Parameter([1.0] * width)

    def forward(self, x: Tensor) -> Tensor:
        """A batch of images to features."""
        y = F.relu(self.first(x)) * self.scale
        assert_type(y, Tensor)
        return y


def functions(x: Tensor) -> None:
    """Functions of Tensors are Tensors; of arrays they are arrays."""
    assert_type(F.relu(x), Tensor)
    assert_type(F.linear(x, x), Tensor)
    assert_type(F.cross_entropy(x, x), Tensor)
    assert_type(xpnn.tensor([1.0]), Tensor)
    F.relu(np.ones(3)).astype("float64")


def methods_and_operators(x: Tensor) -> None:
    """Of Tensors come Tensors, and plain values where they leave."""
    assert_type(x + 1, Tensor)
    assert_type(2.0 * x, Tensor)
    assert_type(x @ x, Tensor)
    assert_type(-x, Tensor)
    assert_type(x**2, Tensor)
    assert_type(x > 0, Tensor)
    assert_type(x[0], Tensor)
    assert_type(x.sum(dim=1, keepdim=True), Tensor)
    assert_type(x.reshape(-1), Tensor)
    assert_type(x.float(), Tensor)
    assert_type(x.detach(), Tensor)
    assert_type(x.shape, Size)
    for row in x:
        assert_type(row, Tensor)


def gradients(x: Tensor) -> None:
    """A gradient is a Tensor once there is one."""
    x.sum().backward()
    assert_type(x.grad, Tensor | None)
    assert_type(xpnn.grad(x.sum(), [x]), tuple[Tensor, ...])


def modules(x: Tensor) -> None:
    """A module of Tensors gives Tensors; containers know what they hold."""
    model = nn.Sequential(nn.Linear(64, 8), nn.ReLU())
    assert_type(model(x), Tensor)
    assert_type(model[0], nn.Module)
    assert_type(model[1:], nn.Sequential)
    assert_type(Network(8)(x), Tensor)
    assert_type(nn.Linear(2, 2).weight, nn.Parameter)
    assert_type(nn.CrossEntropyLoss()(x, x), Tensor)
    assert_type(model.train(), nn.Sequential)
    for parameter in model.parameters():
        assert_type(parameter, nn.Parameter)


def training(model: nn.Module) -> float:
    """The loop of the README, which gives its last loss."""
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loss = xpnn.tensor(0.0)
    for images, labels in DataLoader(Digits(), batch_size=64, shuffle=True):
        assert_type(images, Tensor)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    return float(loss)
