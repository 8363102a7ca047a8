"""Kernels for CuPy: none yet, so that the references run as they are.

The reference convolution is im2col and one large product, which cuBLAS computes; fused kernels and cuDNN
belong here once they are measured on a GPU.
"""
