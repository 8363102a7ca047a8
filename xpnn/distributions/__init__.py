"""Distributions to draw from and to train, with the names and arguments of `torch.distributions`."""

from xpnn.distributions.discrete import *
from xpnn.distributions.distribution import *
from xpnn.distributions.kl import *
from xpnn.distributions.normal import *
from xpnn.distributions.uniform import *
