"""Keeps the text index following the catalog: new chunks after their commit, deletions after those, in order.

What a commit added comes straight from memory. Whatever is missing (after a crash, a lost index, a full disk) is
read from the catalog again; the watermark in the index says from where.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Self, TypeVar

import structlog

from indexing.ingest.commit_pace import commit_patience
from indexing.ingest.stage_meters import FeedMeter
from indexing.ingest.text_documents import documents_of_commit, documents_of_rows
from indexing.ingest.text_lots import Lot, lots_of
from indexing.ingest.text_watermark import judged, watermark_of
from storage import (
    ClosableQueue,
    Collected,
    QueueClosed,
    TextIndex,
    TextIndexError,
    last_deletion,
    reach,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from storage import Incarnation, Reader, StoredChunk, Watermark

T = TypeVar("T")
log = structlog.get_logger(__name__)

QUEUED_LOTS = 4
"""More wait for a whole turn and its commit before their own, and nothing is faster for it."""
CHUNKS_A_PAGE = 2_000
CHUNKS_A_TURN = 1_000
CHUNKS_A_COMMIT = 600
"""So many are committed at once, however soon: a commit of 900 takes 0.2 s."""
ROOM_POLL_SECONDS = 1.0


class TextFeed:
    """Owns the text index's writer; one task and one thread feed it."""

    def __init__(
        self,
        path: Path,
        reader: Reader,
        incarnation: Incarnation,
        *,
        commit_interval: float,
        heap_bytes: int,
        threads: int,
        on_searchable: Callable[[Mapping[str, int]], None] | None = None,
    ) -> None:
        """Prepare to feed the index in ``path``; ``commit_interval`` in seconds."""
        self._path = path
        self._reader = reader
        self._incarnation = incarnation
        self._interval = commit_interval
        self._heap_bytes = heap_bytes
        self._index_threads = threads
        self._on_searchable = on_searchable
        self._queue: ClosableQueue[Lot] = ClosableQueue(QUEUED_LOTS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="text-index")
        self._task: asyncio.Task[None] | None = None
        self._index: TextIndex | None = None
        self._applied_chunk = 0
        self.applied_deletion = 0
        """Id of the last deletion that is committed in the index."""
        self._uncommitted: Counter[str] = Counter()
        self._commit_seconds = self._committed_at = 0.0
        self._handed_in = self._taken = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._between_commits = asyncio.Event()
        self._between_commits.set()
        self._failure: BaseException | None = None
        self.meter = FeedMeter()
        self.rebuilt = ""
        """Why the index was rebuilt at the start; empty if it was not."""

    @property
    def index(self) -> TextIndex:
        """The open index."""
        assert self._index is not None  # noqa: S101  (inside the context)
        return self._index

    @property
    def waiting(self) -> int:
        """Lots of changes that wait for their turn."""
        return self._queue.qsize()

    async def __aenter__(self) -> Self:
        """Open the index, repaired from the catalog, and begin to follow."""
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        self._task = asyncio.create_task(self._run(), name="text-feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what was handed in, then close."""
        await self._queue.close()
        if self._task is not None:
            await asyncio.shield(asyncio.wait([self._task]))
        await self._close()
        self._check()

    async def follow(self, results: Sequence[object]) -> None:
        """Take over what a group of catalog commits added and removed; waits while the index lags behind."""
        since = monotonic()
        for lot in lots_of(results, since):
            await self._put(lot)

    async def settled(self) -> None:
        """Wait until everything handed in so far is findable."""
        await self._settled.wait()
        self._check()

    async def keeps_up(self) -> None:
        """Wait while a commit of the index goes on.

        What the catalog commits meanwhile would wait for that commit, and for its own.
        """
        await self._between_commits.wait()

    async def _put(self, lot: Lot) -> None:
        self._handed_in += 1
        self._settled.clear()
        began = monotonic()
        try:
            await self._queue.put(lot)
        except QueueClosed:
            self._settled.set()  # nobody takes it any more; whoever waits is told why
            self._check()
            raise
        self.meter.hand_in_wait_seconds += monotonic() - began

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _open(self) -> None:
        """Open the index and apply what it lacks; one that cannot be used, or not be trusted, is made anew."""
        try:
            mark, why_not = await self._open_and_judge()
            if mark is not None:
                self._applied_chunk, self.applied_deletion = mark.chunk_id, mark.deletion
                await self._catch_up()
                return
        except TextIndexError as error:
            why_not = str(error)
        await self._start_over(why_not)
        await self._catch_up()

    async def _open_and_judge(self) -> tuple[Watermark | None, str]:
        """Return the watermark if everything past it can be applied, else why not (empty where that is no news)."""
        if not await self._in_thread(self._path.exists):
            return None, "" if self._incarnation.is_first else "it was missing"
        self._index = await self._in_thread(self._open_index)
        mark = await self._in_thread(self._index.watermark)
        return await judged(mark, self._reader, self._incarnation)

    async def _start_over(self, reason: str) -> None:
        if reason:
            log.warning("text.rebuild", path=str(self._path), reason=reason)
        self.rebuilt = reason
        if self._index is not None:
            with suppress(TextIndexError):
                await self._in_thread(self._index.close)
        reach("text.wipe")
        await self._in_thread(lambda: TextIndex.wipe(self._path))
        self._index = await self._in_thread(self._open_index)
        # What was deleted before the chunks are read is not among them, and those rows of ``deletions`` may be gone.
        self._applied_chunk, self.applied_deletion = 0, await self._reader.run(last_deletion)

    def _open_index(self) -> TextIndex:
        return TextIndex.open(self._path, heap_bytes=self._heap_bytes, threads=self._index_threads)

    async def _catch_up(self) -> None:
        """Apply everything in the catalog past the watermark, in order."""
        while True:
            chunks, texts = await self._reader.chunks_after(self._applied_chunk, CHUNKS_A_PAGE)
            if not chunks:
                break
            await self._in_thread(partial(self._add_rows, chunks, texts))
            self._applied_chunk = chunks[-1].chunk_id
        while deletions := await self._reader.deletions_after(self.applied_deletion, CHUNKS_A_PAGE):
            await self._in_thread(partial(self.index.delete, [chunk_id for _, chunk_id in deletions]))
            self.applied_deletion = deletions[-1][0]
        await self._in_thread(self._commit)

    async def _run(self) -> None:
        try:
            await self._feed()
        except BaseException as error:  # noqa: BLE001  (task boundary: raised to whoever hands in or waits)
            self._failure = error
        finally:
            await self._queue.close()
            self._settled.set()

    async def _feed(self) -> None:
        deadline: float | None = None
        while (group := await self._next(deadline)) is not None:
            self._taken += len(group)
            if group and deadline is None:
                # Since its own commit: what came during ours has waited as long as that took.
                since = group[0].since
                deadline = since + commit_patience(self._interval, self._commit_seconds, since - self._committed_at)
            try:
                await self._in_thread(partial(self._apply, group))
                if deadline is not None and (monotonic() >= deadline or self._uncommitted.total() >= CHUNKS_A_COMMIT):
                    await self._commit_and_tell()
                    deadline = None
            except TextIndexError as error:
                await self._recover(error)
                deadline = None
        if deadline is not None:
            await self._commit_and_tell()

    async def _next(self, deadline: float | None) -> list[Lot] | None:
        """Return what has been handed in, nothing at the deadline, None when there will be no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - monotonic())):
                if not await self._queue.ready():
                    return None
        group: list[Lot] = []
        chunks = 0
        # No more than the commit of the first can wait for.
        while chunks < CHUNKS_A_TURN and not self._queue.empty():
            group.append(self._queue.get_nowait())
            chunks += group[-1].chunks
        return group

    async def _commit_and_tell(self) -> None:
        began = monotonic()
        self._between_commits.clear()
        try:
            await self._in_thread(self._commit)
        finally:
            self._between_commits.set()
        self._committed_at = monotonic()
        self._commit_seconds = self._committed_at - began
        self.meter.commits += 1
        self.meter.commit_seconds += self._commit_seconds
        added, self._uncommitted = self._uncommitted, Counter()
        if self._on_searchable is not None and added:
            self._on_searchable(added)
        self._settle()

    async def _recover(self, error: TextIndexError) -> None:
        """Open the index again and catch up from the catalog, as soon as there is room."""
        self.meter.errors += 1
        log.warning("text.failed", path=str(self._path), error=str(error))
        while True:
            try:
                await self._in_thread(self.index.close)
            except TextIndexError as close_error:
                log.info("text.close_failed", error=str(close_error))
            self.meter.retries += 1
            try:
                await self._open()
            except TextIndexError as again:
                if not await self._in_thread(self._is_full):
                    raise
                log.info("text.waits_for_room", error=str(again))
                await asyncio.sleep(ROOM_POLL_SECONDS)
                continue
            self._uncommitted.clear()
            self._settle()
            return

    def _settle(self) -> None:
        # An empty queue would not do: whoever waits for room in it has handed in as well.
        if self._taken == self._handed_in:
            self._settled.set()

    def _is_full(self) -> bool:
        free = os.statvfs(self._path.parent)
        return free.f_bavail * free.f_frsize < self._heap_bytes

    def _apply(self, group: Sequence[Lot]) -> None:
        began = monotonic()
        for change in (change for lot in group for change in lot.changes):
            reach("text.apply")
            if isinstance(change, Collected):
                self.index.delete(change.chunk_ids)
                self.meter.deletions += len(change.chunk_ids)
                self.applied_deletion = max(self.applied_deletion, change.last_deletion)
            elif change.first_chunk_id > self._applied_chunk:
                documents = documents_of_commit(change)
                self.index.add(documents)
                self._applied_chunk = change.first_chunk_id + len(documents) - 1
                self._uncommitted[change.repository] += len(documents)
                self.meter.chunks += len(documents)
        self.meter.apply_seconds += monotonic() - began

    def _add_rows(self, chunks: Sequence[StoredChunk], texts: Mapping[int, bytes]) -> None:
        reach("text.catch_up")
        self.index.add(documents_of_rows(chunks, texts))

    def _commit(self) -> None:
        reach("text.commit")
        self.index.commit(watermark_of(self._incarnation, self._applied_chunk, self.applied_deletion))
        reach("text.committed")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _close(self) -> None:
        if self._index is not None:
            index, self._index = self._index, None
            await self._in_thread(index.close)
        await asyncio.to_thread(self._thread.shutdown)
