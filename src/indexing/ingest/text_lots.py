"""What commits of the catalog hand to the text index, in lots: files go together, and no lot is long to add. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from storage import Collected, Committed, NewChunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Change: TypeAlias = NewChunks | Collected

CHUNKS_A_LOT: Final = 200
"""A lot is complete with so many: one after the other, small files cost a change of threads each."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Changes of one group of commits, or some of them."""

    changes: tuple[Change, ...]
    chunks: int
    """that they add"""
    since: float
    """``monotonic`` at their commit"""


def lots_of(results: Sequence[object], since: float) -> Iterator[Lot]:
    """What a group of commits added and removed, in order; a result may be a list of results."""
    changes: list[Change] = []
    chunks = 0
    for result in results:
        for each in result if isinstance(result, list) else [result]:
            if isinstance(each, Committed) and each.added is not None and each.added.chunks:
                changes.append(each.added)
                chunks += len(each.added.chunks)
            elif isinstance(each, Collected) and each.chunk_ids:
                changes.append(each)
            if chunks >= CHUNKS_A_LOT:
                yield Lot(tuple(changes), chunks, since)
                changes, chunks = [], 0
    if changes:
        yield Lot(tuple(changes), chunks, since)
