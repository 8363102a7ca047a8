"""Learning-rate schedules, as closed forms that can be resumed, combined and compiled."""

from xpnn.optim.lr_scheduler.combine import SequentialLR, Warmup
from xpnn.optim.lr_scheduler.one_cycle import OneCycleLR
from xpnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from xpnn.optim.lr_scheduler.schedule import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    StepLR,
)

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "Warmup",
]
