"""What can be hung into a training run."""

from xpnn.train.callbacks.base import Callback
from xpnn.train.callbacks.best import Best
from xpnn.train.callbacks.checkpoint import ModelCheckpoint
from xpnn.train.callbacks.early_stopping import EarlyStopping
from xpnn.train.callbacks.history_file import HistoryFile
from xpnn.train.callbacks.progress import ProgressBar

__all__ = [
    "Best",
    "Callback",
    "EarlyStopping",
    "HistoryFile",
    "ModelCheckpoint",
    "ProgressBar",
]
