"""Shapes: cells around an input, and other ways to arrange it."""

from xpnn.functional.shape.padding import *
