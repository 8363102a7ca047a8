"""L3: optimizers, learning-rate schedules and gradient clipping."""

from xpnn.optim import lr_scheduler as lr_scheduler
from xpnn.optim.adam import *
from xpnn.optim.clip import *
from xpnn.optim.lr_scheduler import *
from xpnn.optim.optimizer import *
from xpnn.optim.sgd import *
