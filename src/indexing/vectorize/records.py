"""What the stages of vectorizing hand to each other, and what they say of themselves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from storage import PendingPoint, Vectors

State: TypeAlias = Literal["starting", "comparing", "working", "idle", "waiting", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class VectorizeSettings:
    """How much is in hand at once, and how long an answer of the store is waited for."""

    batch_chunks: int = 512
    """Most points in a batch."""
    parallel_batches: int = 2
    """Most batches that are with the encoder at once, where it takes several."""
    batch_bytes: int = 4 << 20
    """Most bytes of text in a batch of more than one point."""
    batch_seconds: float = 5.0
    """A slow encoder gets fewer points at once, so that a batch takes about this long: what a kill can cost."""
    least_chunks: int = 32
    """A batch is not made smaller than this for a slow encoder: it would have too little to sort by length."""
    settle_seconds: float = 60.0
    """How long a store's call without an answer may still take effect; 0 for a store in this process."""
    first_wait_seconds: float = 0.5
    """Before the first new attempt at a store that is unavailable; doubled for each further one."""
    longest_wait_seconds: float = 60.0
    most_attempts: int = 5
    """A point that the store leaves out of its answer this many times has failed."""
    compared_ids: int = 10_000
    """Ids in a page of a comparison."""


@dataclass(frozen=True, slots=True)
class VectorProgress:
    """How far the vectors of one collection are."""

    state: State
    detail: str
    """why it waits, compares or failed; empty otherwise"""
    pending: int
    stored: int
    failed: int
    encoded: int
    """texts encoded since the start"""
    from_cache: int
    """vectors taken from the cache, or from an equal text, since the start"""
    seconds: float
    """spent on work since the start, idling left out"""
    per_second: float | None
    """vectors made lately, encoded or from the cache; None before the first"""


@dataclass(slots=True, eq=False)
class Work:
    """A batch of points on its way to the store."""

    points: list[PendingPoint]
    pieces: list[str]
    """the code of each point"""
    hashes: list[bytes]
    """of each point's embedded text"""
    vectors: dict[bytes, Vectors] = field(default_factory=dict)
    """{hash: (dimension,)}, rounded as the cache rounds"""
    missing: dict[bytes, str] = field(default_factory=dict)
    """{hash: text} to encode"""
    borrowed: dict[bytes, Work] = field(default_factory=dict)
    """{hash: batch before this one that is about to encode the same text}"""
    refused: dict[bytes, str] = field(default_factory=dict)
    """{hash: why there is no vector}"""
    fresh: dict[bytes, Vectors] = field(default_factory=dict)
    """{hash: vector} that the cache lacks"""
    caching: asyncio.Task[None] | None = None
    """puts what is fresh into the cache"""
    encoded: asyncio.Event = field(default_factory=asyncio.Event)
    """set when nothing is missing any more, or the batch is given up"""

    @property
    def chunk_ids(self) -> list[int]:
        """Of its points."""
        return [point.chunk_id for point in self.points]


@dataclass(frozen=True, slots=True)
class Removal:
    """Points whose vectors are to go from the store."""

    points: tuple[tuple[int, bytes, int], ...]
    """(chunk_id, external id, seq)"""

    @property
    def chunk_ids(self) -> list[int]:
        """Of its points."""
        return [chunk_id for chunk_id, _, _ in self.points]
