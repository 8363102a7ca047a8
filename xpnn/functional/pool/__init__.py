"""Pooling: one value for each window, channel by channel."""

from xpnn.functional.pool.adaptive import *
from xpnn.functional.pool.average import *
from xpnn.functional.pool.maximum import *
