"""Learning-rate schedules that multiply up, and can be resumed, combined and compiled."""

from xpnn.optim.lr_scheduler.combine import *
from xpnn.optim.lr_scheduler.cosine import *
from xpnn.optim.lr_scheduler.cycle import *
from xpnn.optim.lr_scheduler.decay import *
from xpnn.optim.lr_scheduler.function import *
from xpnn.optim.lr_scheduler.one_cycle import *
from xpnn.optim.lr_scheduler.plateau import *
from xpnn.optim.lr_scheduler.schedule import *
from xpnn.optim.lr_scheduler.schedule import LRScheduler as _LRScheduler  # noqa: F401 - its older name
from xpnn.optim.lr_scheduler.swa import *
