"""Fourier transforms with gradients, under the names and with the arguments of PyTorch's `torch.fft`."""

from xpnn.autograd.functions.fourier import *
