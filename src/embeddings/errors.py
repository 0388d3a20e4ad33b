"""Every error that ``embeddings`` raises on purpose.

EmbeddingsError
├── ModelUnavailable    no model of that name is here, or it cannot be fetched; the message says what to do
├── ModelRefused        it is here, but must not or cannot be used: pickled weights, wrong hash, wrong shape, own code
├── ReplicasRefused     more encoder processes are asked for than the memory holds
├── EncoderLost         encoder processes die before they are ready, again and again: this encoder is of no use any more
└── EncodeFailed        the model was loaded, and encoding failed
"""

from __future__ import annotations


class EmbeddingsError(Exception):
    """Base of all errors of this package."""


class ModelUnavailable(EmbeddingsError):
    """The model is not on this machine and cannot be fetched."""


class ModelRefused(EmbeddingsError):
    """The files of the model must not or cannot be used."""


class ReplicasRefused(EmbeddingsError):
    """The memory does not hold as many encoder processes as are asked for."""


class EncoderLost(EmbeddingsError):
    """The encoder's processes cannot be kept alive, and no more are started."""


class EncodeFailed(EmbeddingsError):
    """The model could not encode the texts."""
