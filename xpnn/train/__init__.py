"""Training: the Trainer with its callbacks, and compiled steps."""

from xpnn.train.callbacks import Best, Callback, EarlyStopping, HistoryFile, ModelCheckpoint
from xpnn.train.compile import compile
from xpnn.train.history import History
from xpnn.train.interrupt import Interrupted, Terminated
from xpnn.train.meters import Meters
from xpnn.train.progress import ProgressBar
from xpnn.train.trainer import Trainer

__all__ = [
    "Best",
    "Callback",
    "EarlyStopping",
    "History",
    "HistoryFile",
    "Interrupted",
    "Meters",
    "ModelCheckpoint",
    "ProgressBar",
    "Terminated",
    "Trainer",
    "compile",
]
