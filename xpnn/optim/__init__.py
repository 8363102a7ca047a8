"""L3: optimizers, learning-rate schedules and gradient clipping."""

from xpnn.optim import lr_scheduler
from xpnn.optim.adam import Adam, AdamW
from xpnn.optim.clip import clip_grad_norm_, clip_grad_value_
from xpnn.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    Warmup,
)
from xpnn.optim.optimizer import Optimizer
from xpnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "Warmup",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
