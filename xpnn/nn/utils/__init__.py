"""What networks need beside modules: sequences of several lengths."""

from xpnn.nn.utils import rnn as rnn
