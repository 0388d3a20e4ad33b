"""The stages between a pending point and its stored vector.

    catalog ──► prepare ──► encode ─────►  store ──► catalog
                texts, cache      missing texts         upsert, acknowledge

While a batch is encoded the next one is prepared and the last one stored. A point is in one batch at a time, and one
stage alone calls the store, so that what happens to a chunk happens in order.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from indexing.vectorize.batches import batch_size, compose, take
from indexing.vectorize.deliver import Interrupted
from indexing.vectorize.encode import encode_texts
from indexing.vectorize.meter import COUNTED_EVERY_SECONDS
from indexing.vectorize.records import Removal, Work
from indexing.vectorize.settle import Outcome, batch_of, settle
from storage import ClosableQueue, deleting_points, hits, pending_points, point_counts, reach

if TYPE_CHECKING:
    from embeddings import Encoder
    from indexing.vectorize.deliver import Delivery, Patience
    from indexing.vectorize.meter import Meter
    from indexing.vectorize.records import VectorizeSettings
    from indexing.vectorize.vector_cache import VectorCache
    from storage import CollectionRow, PendingPoint, Reader, Writer

log = structlog.get_logger(__name__)

ACKNOWLEDGE_SECONDS = 0.1
"""That an acknowledgement waits for what is indexed beside it: each commit then makes a segment of the text index."""


class Pipeline:
    """Works off the points of one collection until it is told to stop."""

    def __init__(
        self,
        row: CollectionRow,
        encoder: Encoder,
        *,
        writer: Writer,
        reader: Reader,
        cache: VectorCache,
        delivery: Delivery,
        patience: Patience,
        meter: Meter,
        settings: VectorizeSettings,
    ) -> None:
        """Prepare; nothing is read before `run`."""
        self._row = row
        self._encoder = encoder
        self._writer = writer
        self._reader = reader
        self._cache = cache
        self._delivery = delivery
        self._patience = patience
        self._meter = meter
        self._settings = settings
        self._prepared: ClosableQueue[Work] = ClosableQueue(1)
        self._ready: ClosableQueue[Work | Removal] = ClosableQueue(1)
        self._encoders = max(1, min(settings.parallel_batches, encoder.spec.max_in_flight))
        self._busy: set[int] = set()
        self._claims: dict[bytes, Work] = {}
        self._attempts: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self.wanted_again: frozenset[bytes] = frozenset()
        """External ids that a repair wants again: encoding them is worth a word."""
        self.idle = asyncio.Event()
        """Set while nothing is pending; also when the work is over."""
        self.swept = asyncio.Event()
        """Set while no vector waits to be removed; also when the work is over."""
        self._removals = 0
        self.complete = False
        """Whether nothing was pending when `idle` was set."""

    async def run(self) -> None:
        """Work until `stop`. Raises, in an ``ExceptionGroup``, what makes it impossible to go on."""
        self._meter.work()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prepare())
            for _ in range(self._encoders):
                group.create_task(self._encode(group))
            group.create_task(self._store())

    def nudge(self) -> None:
        """Look at the catalog again."""
        self.idle.clear()
        self.swept.clear()
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True
        self.complete = False
        self._wake.set()

    async def _prepare(self) -> None:
        try:
            while not self._stopping:
                self._wake.clear()
                # Read before the catalog is: a batch that is acknowledged meanwhile must not be seen as pending again.
                busy = frozenset(self._busy)
                await self._count()
                found_removal = await self._prepare_removal(busy)
                if not found_removal and not self._removals:
                    self.swept.set()
                found_points = await self._prepare_points(busy)
                if not found_removal and not found_points:
                    await self._rest()
        finally:
            await self._prepared.close()

    async def _rest(self) -> None:
        if not self._busy and not self._wake.is_set():
            self.complete = not self._stopping
            self.wanted_again = frozenset()
            self._meter.rest()
            self.idle.set()
        await self._wake.wait()
        self._meter.work()

    async def _count(self) -> None:
        if self._meter.is_stale():
            began = monotonic()
            states = await point_counts(self._reader, self._row.id)
            self._meter.count(states, monotonic() - began)

    async def _prepare_removal(self, busy: frozenset[int]) -> bool:
        most = self._settings.batch_chunks
        points = tuple(await deleting_points(self._reader, self._row.id, most, busy))
        if points:
            removal = Removal(points)
            self._busy.update(removal.chunk_ids)
            self._removals += 1
            await self._ready.put(removal)
        return bool(points)

    async def _prepare_points(self, busy: frozenset[int]) -> bool:
        await self._reader.quiet()
        most = batch_size(self._settings, self._meter.texts_a_second)
        # Also without what became busy since: a chunk whose removal was just handed over may have been revived.
        rows = await pending_points(self._reader, self._row.id, most, busy | self._busy)
        points = take(rows, most, self._settings.batch_bytes)
        if not points:
            return False
        reach("vectorize.pending")
        self._busy.update(point.chunk_id for point in points)
        await self._hand_over(await self._look_up(points))
        return True

    async def _hand_over(self, work: Work) -> None:
        """Wait for an encoder to have room; a slow model must not make the backlog that is shown an old one."""
        handing = asyncio.ensure_future(self._prepared.put(work))
        try:
            while not handing.done():
                await asyncio.wait((handing,), timeout=COUNTED_EVERY_SECONDS)
                await self._count()
            await handing
        finally:
            handing.cancel()

    async def _look_up(self, points: list[PendingPoint]) -> Work:
        shown = await hits.texts_of(self._reader, {point.cut_id for point in points})
        texts = {cut_id: each.text for cut_id, each in shown.items()}
        work, by_hash = await asyncio.to_thread(compose, points, texts)
        # What a batch before this one is about to encode is in no cache yet. Asked before the cache is: the other way
        # round, a text that is cached in between would be encoded twice.
        work.borrowed = {each: self._claims[each] for each in by_hash if each in self._claims}
        wanted = [each for each in by_hash if each not in work.borrowed]
        work.vectors = await self._cache.get(self._row.fingerprint, wanted)
        work.missing = {each: by_hash[each] for each in wanted if each not in work.vectors}
        self._claims.update(dict.fromkeys(work.missing, work))
        self._meter.count_cached(len(points) - len(work.missing))
        self._say_if_encoded_again(work)
        return work

    def _say_if_encoded_again(self, work: Work) -> None:
        if not self.wanted_again or not work.missing:
            return
        again = [
            point.external_id
            for point, each in zip(work.points, work.hashes, strict=True)
            if each in work.missing and point.external_id in self.wanted_again
        ]
        if again:
            log.warning(
                "vectors.encoded_again",
                collection=self._row.name,
                reason="the store lacked them, and so does the embedding cache",
            )
            self.wanted_again = frozenset()

    async def _encode(self, group: asyncio.TaskGroup) -> None:
        caching: asyncio.Task[None] | None = None
        try:
            async for work in self._prepared:
                if not self._stopping and work.missing:
                    await self._encode_missing(work)
                    # The store may be away for long, and a text that was encoded should not wait for it to be cached.
                    # Never more than one batch behind: what is encoded and not cached is what a kill costs.
                    if caching is not None:
                        await caching
                    work.caching = caching = group.create_task(self._cache_fresh(work))
                work.encoded.set()
                await self._hand_on(work)
        finally:
            self._encoders -= 1
            if self._encoders == 0:
                await self._ready.close()

    async def _hand_on(self, work: Work) -> None:
        began = monotonic()
        await self._ready.put(work)
        self._meter.work_done.handing_on_seconds += monotonic() - began

    async def _encode_missing(self, work: Work) -> None:
        began = monotonic()
        work.fresh, work.refused = await encode_texts(self._encoder, work.missing, self._meter.work_done)
        self._meter.encoded_texts(len(work.missing), monotonic() - began)
        work.vectors |= work.fresh
        reach("vectorize.encoded")

    async def _cache_fresh(self, work: Work) -> None:
        await self._cache.put(self._row.fingerprint, work.fresh)
        reach("vectorize.cached")

    async def _store(self) -> None:
        async for item in self._ready:
            await self._reader.quiet()
            try:
                if isinstance(item, Removal):
                    await self._remove(item)
                else:
                    await self._keep(item)
            except Interrupted:
                continue
            finally:
                self._let_go(item)

    def _let_go(self, item: Work | Removal) -> None:
        self._busy.difference_update(item.chunk_ids)
        if isinstance(item, Work):
            for each in item.missing:
                self._claims.pop(each, None)
        else:
            self._removals -= 1
        self._wake.set()

    async def _remove(self, removal: Removal) -> None:
        with self._meter.storing():
            await self._delivery.remove([external_id for _, external_id, _ in removal.points])
        self._meter.work_done.removed += len(removal.points)
        reach("vectorize.deleted")
        await self._writer.apply(partial(settle, self._row.id, Outcome(removed=removal.points)))

    async def _keep(self, work: Work) -> None:
        for each, lender in work.borrowed.items():
            await lender.encoded.wait()
            if each in lender.vectors:
                work.vectors[each] = lender.vectors[each]
            elif each in lender.refused:
                work.refused[each] = lender.refused[each]
        if work.caching is not None:
            await work.caching
        batch = batch_of(work)
        held: frozenset[bytes] = frozenset()
        if batch.ids:
            with self._meter.storing():
                held = await self._delivery.store(batch)
            reach("vectorize.upserted")
        outcome = Outcome.of(work, held, frozenset(batch.ids), self._attempts, self._settings.most_attempts)
        acknowledge = partial(settle, self._row.id, outcome)
        await self._writer.apply(acknowledge, patience=ACKNOWLEDGE_SECONDS)
        reach("vectorize.acknowledged")
        self._meter.settled(stored=len(outcome.stored), failed=len(outcome.failed))
        if outcome.left_out:
            reason = f"the store left {outcome.left_out} of {len(batch.ids)} points out of its answer"
            await self._patience.wait(reason, in_doubt=False)
