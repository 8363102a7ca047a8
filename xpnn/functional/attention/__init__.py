"""Attention: values mixed by how well keys answer queries."""

from xpnn.functional.attention.multi_head import *
from xpnn.functional.attention.positions import *
from xpnn.functional.attention.scaled_dot_product import *
