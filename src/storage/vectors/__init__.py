"""Vector stores: a protocol, and its implementations.

``MemoryStore`` and ``LocalStore`` are loaded when they are first asked for: they need numpy and usearch, which commands
that search no vectors do not pay for.
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

if TYPE_CHECKING:
    from storage.vectors.local import LocalStore
    from storage.vectors.memory import MemoryStore

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
]


def __getattr__(name: str) -> Any:
    if name == "MemoryStore":
        from storage.vectors.memory import MemoryStore  # noqa: PLC0415

        return MemoryStore
    if name == "LocalStore":
        from storage.vectors.local import LocalStore  # noqa: PLC0415

        return LocalStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
