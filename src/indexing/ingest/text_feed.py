"""Keeps the text index following the catalog: new chunks, deletions after those, in order, each commit after its own.

What a transaction of the catalog adds comes straight from memory, while it is still open: then the index's own commit,
which follows the catalog's, is short. Whatever is missing (after a crash, a lost index, a full disk) is read from the
catalog again; the watermark in the index says from where.
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

from indexing.ingest.stage_meters import FeedMeter
from indexing.ingest.text_documents import documents_of_commit, documents_of_rows
from indexing.ingest.text_lots import Lot, Mark, Undo, lots_of
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

    from storage import Given, Incarnation, Reader, StoredChunk, Watermark

T = TypeVar("T")
log = structlog.get_logger(__name__)

QUEUED_LOTS = 4
CHUNKS_A_PAGE = 2_000
BYTES_A_COMMIT = 2_000_000
"""A commit is due with so many bytes of text, with the change that it ends in some 2,000 chunks: it takes 0.1 s.

Each writes a segment, of which tantivy merges eight at once. If those come to less than 17,000 chunks, the next small
ones are merged with them once more (``log_merge_policy.rs``).
"""
ROOM_POLL_SECONDS = 1.0


class TextFeed:
    """Owns the text index's writer; one task and one thread feed it."""

    def __init__(
        self,
        path: Path,
        reader: Reader,
        incarnation: Incarnation,
        *,
        heap_bytes: int,
        threads: int,
        on_searchable: Callable[[Mapping[str, int]], None] | None = None,
    ) -> None:
        """Prepare to feed the index in ``path``."""
        self._path = path
        self._reader = reader
        self._incarnation = incarnation
        self._heap_bytes = heap_bytes
        self._index_threads = threads
        self._on_searchable = on_searchable
        self._queue: ClosableQueue[Lot | Mark | Undo] = ClosableQueue(QUEUED_LOTS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="text-index")
        self._task: asyncio.Task[None] | None = None
        self._index: TextIndex | None = None
        self._applied_chunk = 0
        self.applied_deletion = 0
        """Id of the last deletion that is committed in the index."""
        self._uncommitted: Counter[str] = Counter()
        self._is_behind = False
        """Whether the index failed since its last commit; then it is opened again at the next."""
        self._given = 0
        """Size of what was handed in of the open transaction"""
        self._last_mark: Mark | None = None
        self._idle = asyncio.Event()
        self._idle.set()
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

    async def take(self, results: Sequence[object]) -> Given:
        """Take over what changes of the open transaction add and remove; waits while the index lags behind.

        Returns how much of the transaction waits to be committed.
        """
        for lot in lots_of(results):
            self._given += lot.size
            await self._put(lot)
        return "enough" if self._given >= BYTES_A_COMMIT else "some" if self._given else "nothing"

    async def caught_up(self) -> None:
        """Wait until the index holds all that was handed in, and commits nothing.

        What the catalog commits before that would have to wait until it is found.
        """
        began = monotonic()
        await self._idle.wait()
        self.meter.hand_in_wait_seconds += monotonic() - began

    async def confirm(self) -> None:
        """Let what was handed in become findable: its transaction is committed. Returns once it is.

        The next transaction is not begun meanwhile: it would only take the processor from the commit of the index.
        """
        self._check()
        if self._given:
            self._given = 0
            self._last_mark = Mark()
            await self._put(self._last_mark)
            await self._last_mark.done.wait()
            self._check()

    async def withdraw(self) -> None:
        """Forget what was handed in: its transaction is undone."""
        if self._given:
            self._given = 0
            await self._put(Undo())

    async def settled(self) -> None:
        """Wait until everything confirmed so far is findable."""
        if self._last_mark is not None:
            await self._last_mark.done.wait()
        self._check()

    async def _put(self, item: Lot | Mark | Undo) -> None:
        self._idle.clear()
        began = monotonic()
        try:
            await self._queue.put(item)
        except QueueClosed:
            # Nobody takes it any more. Whoever waits is told why, once its transaction is committed.
            self._end()
        self.meter.hand_in_wait_seconds += monotonic() - began

    def _end(self) -> None:
        self._idle.set()
        if self._last_mark is not None:
            self._last_mark.done.set()

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
            async for item in self._queue:
                await self._do(item)
                if self._queue.empty():
                    self._idle.set()
        except BaseException as error:  # noqa: BLE001  (task boundary: raised to whoever confirms or waits)
            self._failure = error
        finally:
            await self._queue.close()
            self._end()

    async def _do(self, item: Lot | Mark | Undo) -> None:
        try:
            match item:
                case Lot() if not self._is_behind:
                    await self._in_thread(partial(self._apply, item))
                case Mark() if not self._is_behind:
                    await self._commit_and_tell()
                case Mark() | Undo():
                    await self._open_again()
        except TextIndexError as error:
            self.meter.errors += 1
            log.warning("text.failed", path=str(self._path), error=str(error))
            if isinstance(item, Lot):
                # What the open transaction holds can be read from the catalog once it is committed.
                self._is_behind = True
            else:
                await self._open_again()
        if isinstance(item, Mark):
            item.done.set()

    async def _commit_and_tell(self) -> None:
        began = monotonic()
        await self._in_thread(self._commit)
        self.meter.commits += 1
        self.meter.commit_seconds += monotonic() - began
        added, self._uncommitted = self._uncommitted, Counter()
        if self._on_searchable is not None and added:
            self._on_searchable(added)

    async def _open_again(self) -> None:
        """Open the index again without what was not committed and catch up, as soon as there is room.

        Not before: an index that cannot be written would be taken for one that has to be made anew. If it is to be
        closed instead, the next start catches up.
        """
        self._is_behind = True
        while self._is_behind:
            try:
                await self._in_thread(self.index.close)
            except TextIndexError as close_error:
                log.info("text.close_failed", error=str(close_error))
            if not await self._has_room():
                return
            self.meter.retries += 1
            try:
                await self._open()
            except TextIndexError:
                if not await self._in_thread(self._is_full):
                    raise
                continue
            self._uncommitted.clear()
            self._is_behind = False

    async def _has_room(self) -> bool:
        """Wait for room on the disk; False when the index is to be closed before there is any."""
        waits = False
        while await self._in_thread(self._is_full):
            if self._queue.closed:
                return False
            if not waits:
                log.info("text.waits_for_room", path=str(self._path))
            waits = True
            await asyncio.sleep(ROOM_POLL_SECONDS)
        return True

    def _is_full(self) -> bool:
        free = os.statvfs(self._path.parent)
        return free.f_bavail * free.f_frsize < self._heap_bytes

    def _apply(self, lot: Lot) -> None:
        began = monotonic()
        for change in lot.changes:
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
