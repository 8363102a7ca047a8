"""Normalisation as modules."""

from xpnn.nn.norm.batch import *
from xpnn.nn.norm.group import *
from xpnn.nn.norm.instance import *
from xpnn.nn.norm.layer import *
from xpnn.nn.norm.lazy import *
from xpnn.nn.norm.response import *
from xpnn.nn.norm.rms import *
from xpnn.nn.norm.sync import *
