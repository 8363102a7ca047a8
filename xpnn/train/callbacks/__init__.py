"""What can be hung into a training run."""

from xpnn.train.callbacks.base import Callback
from xpnn.train.callbacks.best import Best
from xpnn.train.callbacks.checkpoint import ModelCheckpoint
from xpnn.train.callbacks.early_stopping import EarlyStopping
from xpnn.train.callbacks.history_file import HistoryFile
from xpnn.train.callbacks.learning_rate import LearningRateMonitor
from xpnn.train.callbacks.model_summary import ModelSummary
from xpnn.train.callbacks.nan_guard import NaNGuard
from xpnn.train.callbacks.progress import ProgressBar
from xpnn.train.callbacks.schedules import GradientAccumulationScheduler, LambdaCallback
from xpnn.train.callbacks.statistics import ActivationStatistics, GradientStatistics
from xpnn.train.callbacks.weight_averaging import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)

__all__ = [
    "ActivationStatistics",
    "Best",
    "Callback",
    "EMAWeightAveraging",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "GradientStatistics",
    "HistoryFile",
    "LambdaCallback",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "NaNGuard",
    "ProgressBar",
    "StochasticWeightAveraging",
    "WeightAveraging",
]
