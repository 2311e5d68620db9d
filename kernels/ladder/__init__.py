"""The same operation again and again, each time faster: one file an operation, one function a rung.

The first line of a rung's docstring says what has changed since the one before. All rungs of an operation take the same
arguments, and each is tested against the first: the formula of :mod:`kernels.reference`.
"""
