"""Losses as modules. Formulas and gradients stand with the functions in `functional`."""

from xpnn.nn.loss.adaptive_softmax import *
from xpnn.nn.loss.binary import *
from xpnn.nn.loss.cross_entropy import *
from xpnn.nn.loss.ctc import *
from xpnn.nn.loss.divergence import *
from xpnn.nn.loss.likelihood import *
from xpnn.nn.loss.margin import *
from xpnn.nn.loss.regression import *
from xpnn.nn.loss.similarity import *
