"""L3: optimizers, learning-rate schedules and gradient clipping."""

from xpnn.autograd.clip import *
from xpnn.optim import lr_scheduler as lr_scheduler
from xpnn.optim.adadelta import *
from xpnn.optim.adafactor import *
from xpnn.optim.adagrad import *
from xpnn.optim.adam import *
from xpnn.optim.adamax import *
from xpnn.optim.asgd import *
from xpnn.optim.hooks import *
from xpnn.optim.lamb import *
from xpnn.optim.lars import *
from xpnn.optim.lbfgs import *
from xpnn.optim.lion import *
from xpnn.optim.lr_scheduler import *
from xpnn.optim.muon import *
from xpnn.optim.nadam import *
from xpnn.optim.optimizer import *
from xpnn.optim.radam import *
from xpnn.optim.rmsprop import *
from xpnn.optim.rprop import *
from xpnn.optim.sgd import *
from xpnn.optim.sparse_adam import *
