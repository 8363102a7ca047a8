"""Activation functions: of single elements, of halves and groups, and softmax."""

from xpnn.functional.activation.exponential import *
from xpnn.functional.activation.gated import *
from xpnn.functional.activation.gelu import *
from xpnn.functional.activation.gumbel import *
from xpnn.functional.activation.hard import *
from xpnn.functional.activation.rectified import *
from xpnn.functional.activation.reversal import *
from xpnn.functional.activation.sigmoid import *
from xpnn.functional.activation.softmax import *
