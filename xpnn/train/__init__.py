"""Training: the Trainer, its modules, callbacks and loggers, and compiled steps."""

from xpnn.train.callbacks import *
from xpnn.train.compile import compile as compile
from xpnn.train.data_module import DataModule as DataModule
from xpnn.train.history import History as History
from xpnn.train.hyperparameters import HyperParameters as HyperParameters
from xpnn.train.interrupt import Interrupted as Interrupted
from xpnn.train.interrupt import Terminated as Terminated
from xpnn.train.loggers import *
from xpnn.train.lr_finder import LRFinder as LRFinder
from xpnn.train.lr_finder import Tuner as Tuner
from xpnn.train.meters import Meters as Meters
from xpnn.train.module import TrainingModule as TrainingModule
from xpnn.train.trainer import Trainer as Trainer
