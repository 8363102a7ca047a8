"""Faster versions of single primitives, one package for each backend; imports `xpnn.backend` only.

A package is imported at the first use of its backend. The reference version of each primitive, in
`xpnn/functional`, says what a kernel has to compute, and is what the tests hold it against.
"""
