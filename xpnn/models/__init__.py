"""Networks: classes, functions that make them, and `create`, which takes a name."""

from xpnn.models.lenet import LeNet, SmallLeNet, lenet
from xpnn.models.mlp import MLP, mlp
from xpnn.models.registry import create, input_shape, names, register
from xpnn.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from xpnn.models.resnet_small import (
    PaddedShortcut,
    SmallResNet,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
)

__all__ = [
    "MLP",
    "BasicBlock",
    "Bottleneck",
    "LeNet",
    "PaddedShortcut",
    "ResNet",
    "SmallLeNet",
    "SmallResNet",
    "create",
    "input_shape",
    "lenet",
    "mlp",
    "names",
    "register",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
]
