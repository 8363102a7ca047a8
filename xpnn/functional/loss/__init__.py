"""Losses: how far an output is from what it should be."""

from xpnn.functional.loss.binary import *
from xpnn.functional.loss.cross_entropy import *
from xpnn.functional.loss.ctc import *
from xpnn.functional.loss.divergence import *
from xpnn.functional.loss.likelihood import *
from xpnn.functional.loss.margin import *
from xpnn.functional.loss.overlap import *
from xpnn.functional.loss.probabilities import *
from xpnn.functional.loss.regression import *
from xpnn.functional.loss.similarity import *
