"""What goes into a vector store and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from storage.errors import VectorsRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
"""(n, dimension) or, for a query, (dimension,)"""

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """A collection: all vectors of one model in one store."""

    name: str
    """letters, digits, ``_``, ``-`` and ``.``; begins with a letter or digit"""
    dimension: int


@dataclass(frozen=True, slots=True)
class StoreMarker:
    """How much of which catalog a collection holds, as its owner says it."""

    catalog: str
    """uuid of the catalog"""
    incarnation: str
    """uuid of the owner's run that wrote it"""
    high_water: int
    """the highest ``seq`` of a point that was acknowledged when it was written"""


@dataclass(frozen=True, slots=True)
class PointPayload:
    """What a store knows about a vector: the filters, and what makes an object useful by itself.

    Embedded stores keep ``repository`` and ``language`` alone.
    """

    repository: str
    """uuid"""
    language: str
    path: str = ""
    start_line: int = 0
    """1-based, inclusive"""
    end_line: int = 0
    symbol: str = ""
    kind: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """Vectors under their external ids. Raises ``VectorsRefused`` where ids are doubled or lengths disagree."""

    ids: tuple[bytes, ...]
    """16 bytes each, no two alike"""
    vectors: Vectors
    """(len(ids), dimension)"""
    payloads: tuple[PointPayload, ...]

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.payloads) == len(self.vectors):
            raise VectorsRefused(
                f"{len(self.ids)} ids, {len(self.vectors)} vectors and {len(self.payloads)} payloads are not a batch; "
                "give one of each for every point",
            )
        check_ids(self.ids)
        if len(set(self.ids)) != len(self.ids):
            doubled = next(each for each in self.ids if self.ids.count(each) > 1)
            raise VectorsRefused(f"the id {doubled.hex()!r} is in the batch twice; give each id once")


class VectorHit(NamedTuple):
    """A vector near the query."""

    id: bytes
    score: float
    """cosine similarity"""


@dataclass(frozen=True, slots=True)
class VectorHits:
    """The nearest vectors, best first, ties by id."""

    hits: tuple[VectorHit, ...]
    exhausted: bool
    """no other vector passes the filters"""


def check_ids(ids: tuple[bytes, ...]) -> None:
    """Raise ``VectorsRefused`` unless each id has 16 bytes."""
    for each in ids:
        if len(each) != ID_BYTES:
            raise VectorsRefused(f"the id {each!r} has {len(each)} bytes; an external id has {ID_BYTES}")
