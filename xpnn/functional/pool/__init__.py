"""Pooling: one value for each window, channel by channel; and the way back."""

from xpnn.functional.pool.adaptive import *
from xpnn.functional.pool.average import *
from xpnn.functional.pool.fractional import *
from xpnn.functional.pool.maximum import *
from xpnn.functional.pool.power import *
from xpnn.functional.pool.unpool import *
