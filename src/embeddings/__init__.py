"""Text in, unit vectors out.

This package will hold the ``Encoder`` protocol and its implementations: the transformer on this machine, replicas
in processes of their own, a remote service, and a weight-free fake. An encoder is given texts and returns
a float32 array of shape ``(n, dim)`` whose rows have unit length. It knows no file, no database and no
web framework: which text to encode, and where its vector is kept, is decided in ``indexing``.
"""
