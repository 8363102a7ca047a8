"""What networks need beside modules: sequences of several lengths."""

from xpnn.nn.utils import rnn

__all__ = ["rnn"]
