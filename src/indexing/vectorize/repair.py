"""Whether a collection holds what the catalog says it does, and how it comes to.

The store's marker says which run of which owner left it, and how far the catalog's sequence was then. Only a marker of
the run before this one, written at its clean end and followed by no change, makes a comparison needless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import structlog

from storage import StoreMarker, expected_ids, point_counts, want_again, want_all_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.vectorize.deliver import Delivery
    from storage import Collection, CollectionRow, Incarnation, Reader, Writer

log = structlog.get_logger(__name__)

OPEN = 0
"""High-water mark of a run that has not ended: no clean end leaves it."""

REMEMBERED_IDS = 50_000
"""Ids that are wanted again are remembered up to this number, to say so if they have to be encoded again."""

Difference: TypeAlias = tuple[list[bytes], list[bytes]]
"""(ids that the store lacks, ids that the catalog does not list as stored)"""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a collection before anything is compared."""

    catalog: str
    """uuid of the catalog"""
    previous_run: str
    """uuid of the owner's run before this one; empty if there was none"""
    previous_run_ended: bool
    """whether it stopped cleanly"""
    sequence: int
    """the catalog's last ``seq`` when this run began"""
    listed: int
    """points that the catalog has as stored"""
    held: int
    """vectors in the store"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison has found and mended."""

    lacking: int
    """points that were stored, and are pending again"""
    unlisted: int
    """vectors that were removed from the store"""
    remembered: frozenset[bytes]
    """external ids of some of the lacking points"""


def why_compare(marker: StoreMarker | None, situation: Situation) -> str:
    """Say why a collection cannot be taken at its word; empty if it can."""
    if situation.listed == situation.held == 0:
        return ""
    if marker is None:
        return "the store has no marker"
    if marker.catalog != situation.catalog:
        return "the store was filled from another catalog"
    if not situation.previous_run_ended:
        return "the last run did not stop cleanly"
    if marker.incarnation != situation.previous_run:
        return "the store was not left by the last run"
    if marker.high_water != situation.sequence:
        return "the catalog has changed since the store was left"
    if situation.listed != situation.held:
        return f"the store holds {situation.held} vectors, and the catalog lists {situation.listed}"
    return ""


def compare_pages(listed: Sequence[bytes], held: Sequence[bytes], limit: int) -> tuple[Difference, bytes | None]:
    """Compare the next ascending ids of both sides, at most ``limit`` each, as far as both are known.

    Returns the difference, and the id from which on to go on: None at the end of both.
    """
    ends = [page[-1] for page in (listed, held) if len(page) == limit]
    if not ends:
        return (_without(listed, held), _without(held, listed)), None
    through = min(ends)
    ours = [each for each in listed if each <= through]
    theirs = [each for each in held if each <= through]
    return (_without(ours, theirs), _without(theirs, ours)), through


async def differences(
    collection: Collection, row: CollectionRow, reader: Reader, *, page: int
) -> AsyncIterator[Difference]:
    """Compare both ways, a page of ids after the other; changes nothing.

    Nothing else may put vectors into the collection meanwhile: what is stored but not acknowledged is unlisted.
    """
    after: bytes | None = None
    while True:
        listed = await expected_ids(reader, row.id, after, page)
        held = await collection.ids(after, page)
        difference, after = compare_pages(listed, held, page)
        if any(difference):
            yield difference
        if after is None:
            return


async def compare(
    collection: Collection, row: CollectionRow, *, reader: Reader, writer: Writer, delivery: Delivery, page: int
) -> Comparison:
    """Bring catalog and collection to agree: unlisted vectors go, lacking points are wanted again.

    May be interrupted and repeated at any point. Raises the errors of the store and of the catalog.
    """
    if await collection.count() == 0:
        listed = await expected_ids(reader, row.id, None, REMEMBERED_IDS)
        lacking = await writer.apply(partial(want_all_again, collection_id=row.id))
        return Comparison(lacking, 0, frozenset(listed))
    lacking = unlisted = 0
    remembered: set[bytes] = set()
    async for missing, strange in differences(collection, row, reader, page=page):
        if missing:
            lacking += await writer.apply(partial(want_again, collection_id=row.id, external_ids=missing))
            remembered.update(missing[: REMEMBERED_IDS - len(remembered)])
        if strange:
            await delivery.remove(strange)
            unlisted += len(strange)
    return Comparison(lacking, unlisted, frozenset(remembered))


async def situation_of(
    collection: Collection, row: CollectionRow, reader: Reader, run: Incarnation, *, sequence: int
) -> Situation:
    """Look at a collection in an owner's run that began when the catalog's sequence was at ``sequence``."""
    counts = await point_counts(reader, row.id)
    previous = await reader.query("SELECT uuid FROM incarnations WHERE id < ? ORDER BY id DESC LIMIT 1", (run.id,))
    return Situation(
        catalog=run.catalog,
        previous_run=previous[0][0] if previous else "",
        previous_run_ended=run.stopped_cleanly_before,
        sequence=sequence,
        listed=counts.get("stored", 0),
        held=await collection.count(),
    )


async def last_seq(reader: Reader) -> int:
    """Return the last number that the catalog's sequence gave."""
    return int((await reader.query("SELECT value FROM sequence"))[0][0])


def _without(ids: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    known = frozenset(others)
    return [each for each in ids if each not in known]
