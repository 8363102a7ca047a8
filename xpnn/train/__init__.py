"""Training: the Trainer with its callbacks, and compiled steps."""

from xpnn.train.compile import compile

__all__ = ["compile"]
