"""Convolution: the weighted sum of what a small kernel covers, at each place that it slides over."""

from xpnn.functional.conv.convolution import *
from xpnn.functional.conv.transposed import *
