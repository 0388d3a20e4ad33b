"""Text in, unit vectors out.

An ``Encoder`` is given texts and returns a float32 array of shape ``(n, dimension)`` whose rows have unit length. Here
are the contract, the models that are known by name, the transformer on this machine, and a weight-free encoder. The
package knows no database and no web framework, and no file but those of models: which text to encode, and where its
vector is kept, is decided in ``indexing``. Importing it loads neither torch nor transformers.
"""

from __future__ import annotations

from embeddings.counters import EncoderCounters, counted
from embeddings.encoder import Encoder, EncoderSpec, TextKind, Vectors
from embeddings.errors import (
    EmbeddingsError,
    EncodeFailed,
    EncoderLost,
    ModelRefused,
    ModelUnavailable,
    ReplicasRefused,
)
from embeddings.hashing import HASHING_DIMENSION, HashingEncoder
from embeddings.hub import OnProgress
from embeddings.opening import open_encoder
from embeddings.resolving import (
    AUTO,
    KnownModel,
    ResolvedModel,
    fetch,
    installed_models,
    known_models,
    resolve,
    resolved_from_json,
)
from embeddings.specs import ModelSpec, model_named, model_specs

__all__ = [
    "AUTO",
    "HASHING_DIMENSION",
    "EmbeddingsError",
    "EncodeFailed",
    "Encoder",
    "EncoderCounters",
    "EncoderLost",
    "EncoderSpec",
    "HashingEncoder",
    "KnownModel",
    "ModelRefused",
    "ModelSpec",
    "ModelUnavailable",
    "OnProgress",
    "ReplicasRefused",
    "ResolvedModel",
    "TextKind",
    "Vectors",
    "counted",
    "fetch",
    "installed_models",
    "known_models",
    "model_named",
    "model_specs",
    "open_encoder",
    "resolve",
    "resolved_from_json",
]
