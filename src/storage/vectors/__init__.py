"""Vector stores: a protocol, and its implementations.

The stores are loaded when they are first asked for: they need numpy, usearch or a client, which commands that search
no vectors do not pay for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.vectors.local_policy import LocalOptions
from storage.vectors.protocol import Collection, VectorStore
from storage.vectors.records import (
    CollectionSpec,
    PointPayload,
    StoreMarker,
    VectorBatch,
    VectorHit,
    VectorHits,
    Vectors,
)
from storage.vectors.weaviate_options import WeaviateOptions

if TYPE_CHECKING:
    from storage.vectors.local import LocalStore
    from storage.vectors.memory import MemoryStore
    from storage.vectors.weaviate import WeaviateStore

__all__ = [
    "Collection",
    "CollectionSpec",
    "LocalOptions",
    "LocalStore",
    "MemoryStore",
    "PointPayload",
    "StoreMarker",
    "VectorBatch",
    "VectorHit",
    "VectorHits",
    "VectorStore",
    "Vectors",
    "WeaviateOptions",
    "WeaviateStore",
]


def __getattr__(name: str) -> Any:
    if name == "MemoryStore":
        from storage.vectors.memory import MemoryStore  # noqa: PLC0415

        return MemoryStore
    if name == "LocalStore":
        from storage.vectors.local import LocalStore  # noqa: PLC0415

        return LocalStore
    if name == "WeaviateStore":
        from storage.vectors.weaviate import WeaviateStore  # noqa: PLC0415

        return WeaviateStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
