"""Where the measures of a run are written: CSV, JSONL, TensorBoard."""

from xpnn.train.loggers.base import Logger
from xpnn.train.loggers.tables import CSVLogger, JSONLLogger
from xpnn.train.loggers.tensorboard import TensorBoardLogger

__all__ = ["CSVLogger", "JSONLLogger", "Logger", "TensorBoardLogger"]
