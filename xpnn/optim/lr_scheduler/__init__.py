"""Learning-rate schedules, as closed forms that can be resumed, combined and compiled."""

from xpnn.optim.lr_scheduler.combine import *
from xpnn.optim.lr_scheduler.one_cycle import *
from xpnn.optim.lr_scheduler.plateau import *
from xpnn.optim.lr_scheduler.schedule import *
