"""The version of xpnn, in the one place where it is written."""

__version__ = "0.1.0"

cuda = None  # of PyTorch: the CUDA that it was built with; xpnn takes the array library's
