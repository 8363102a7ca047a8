"""Normalisation: shift and scale so that mean and variance no longer depend on the layers before."""

from xpnn.functional.norm.batch import *
from xpnn.functional.norm.group import *
from xpnn.functional.norm.instance import *
from xpnn.functional.norm.layer import *
from xpnn.functional.norm.response import *
from xpnn.functional.norm.rms import *
