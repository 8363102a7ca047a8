"""Losses: how far an output is from what it should be."""

from xpnn.functional.loss.binary import *
from xpnn.functional.loss.cross_entropy import *
from xpnn.functional.loss.divergence import *
from xpnn.functional.loss.regression import *
