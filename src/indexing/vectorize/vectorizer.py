"""The task behind one collection: compared with the catalog at the start, then kept in step with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import structlog

from indexing.task_end import ended
from indexing.vectorize.deliver import Delivery, Interrupted, Patience
from indexing.vectorize.meter import Meter
from indexing.vectorize.pipeline import Pipeline
from indexing.vectorize.records import VectorizeSettings, VectorProgress
from indexing.vectorize.repair import OPEN, compare, last_seq, situation_of, why_compare
from storage import StoreMarker, VectorStoreError, VectorStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from embeddings import Encoder
    from indexing.vectorize.vector_cache import VectorCache
    from indexing.vectorize.work_meter import VectorWork
    from storage import Collection, CollectionRow, Incarnation, Reader, Writer

log = structlog.get_logger(__name__)


class Vectorizer:
    """Keeps one collection in step with the catalog, from the start of its context to the end."""

    def __init__(
        self,
        row: CollectionRow,
        collection: Collection,
        encoder: Encoder,
        *,
        writer: Writer,
        reader: Reader,
        cache: VectorCache,
        incarnation: Incarnation,
        settings: VectorizeSettings | None = None,
        work: VectorWork | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; ``pause`` waits for a number of seconds between attempts at a store that is unavailable.

        What is done is added to ``work``.
        """
        self.row = row
        self._collection = collection
        self._writer = writer
        self._reader = reader
        self._incarnation = incarnation
        self._settings = settings or VectorizeSettings()
        self._meter = Meter(work)
        self._patience = Patience(self._settings, pause=pause, tell=self._meter.tell, meter=self._meter.work_done)
        self._delivery = Delivery(collection, self._patience)
        self._pipeline = Pipeline(
            row,
            encoder,
            writer=writer,
            reader=reader,
            cache=cache,
            delivery=self._delivery,
            patience=self._patience,
            meter=self._meter,
            settings=self._settings,
        )
        self._sequence = 0
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to work, in a task of its own. Raises the errors of the catalog."""
        # Before any job of this run takes a number: those do not speak against the marker.
        self._sequence = await last_seq(self._reader)
        self._task = asyncio.create_task(self._run(), name=f"vectorize-{self.row.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop after the batch in hand."""
        await self.stop()

    @property
    def progress(self) -> VectorProgress:
        """How far the work is; ``pending`` is as of about a second ago."""
        return self._meter.progress()

    @property
    def failure(self) -> Exception | None:
        """What ended the work before it was told to stop."""
        return self._failure

    def nudge(self) -> None:
        """Look at the catalog again: something was committed, or became urgent."""
        # After the end nobody would say once more that there is nothing to wait for.
        if self._task is None or not self._task.done():
            self._pipeline.nudge()

    async def drained(self) -> bool:
        """Wait until no point is pending; False if the work was stopped before. Raises what made it fail."""
        self.nudge()
        await self._pipeline.idle.wait()
        if self._failure is not None:
            raise self._failure
        return self._pipeline.complete

    async def swept(self) -> None:
        """Wait until no vector waits to be removed, or the work is over."""
        if self._task is not None and not self._task.done():
            self.nudge()
            await self._pipeline.swept.wait()

    def stop_soon(self) -> None:
        """Let the work end after what is being encoded or stored; what is merely prepared stays pending."""
        self._pipeline.stop()
        self._patience.stop()

    async def stop(self) -> None:
        """Let the work end as `stop_soon` does, and wait for it.

        Cancelled, it ends at once: all that is in hand stays pending.
        """
        self.stop_soon()
        await self.ended()

    async def ended(self) -> None:
        """Wait for the end of the work; cancelled, it is ended at once."""
        if self._task is not None:
            await ended([self._task])

    async def _run(self) -> None:
        try:
            await self._open()
            await self._pipeline.run()
            await self._close()
        except Interrupted:
            pass
        except asyncio.CancelledError:
            self._pipeline.complete = False
            raise
        except ExceptionGroup as failures:
            self._fail(failures.exceptions[0])
        except Exception as error:  # noqa: BLE001  (task boundary: kept for `drained`)
            self._fail(error)
        finally:
            self._meter.end(self._failure)
            self._pipeline.idle.set()
            self._pipeline.swept.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._pipeline.complete = False
        log.error("vectors.failed", collection=self.row.name, error=repr(error))

    async def _open(self) -> None:
        """Make sure that the collection holds what the catalog says, and leave a mark that the work goes on."""
        while True:
            try:
                await self._compare_if_needed()
                await self._collection.set_marker(self._marker(OPEN))
            except VectorStoreUnavailable as error:
                await self._patience.wait(str(error), in_doubt=False)
            else:
                self._patience.answered()
                return

    async def _compare_if_needed(self) -> None:
        situation = await situation_of(
            self._collection, self.row, self._reader, self._incarnation, sequence=self._sequence
        )
        reason = why_compare(await self._collection.marker(), situation)
        if not reason:
            return
        self._meter.compare(reason)
        done = await compare(
            self._collection,
            self.row,
            reader=self._reader,
            writer=self._writer,
            delivery=self._delivery,
            page=self._settings.compared_ids,
        )
        if done.lacking or done.unlisted:
            log.warning(
                "vectors.repaired",
                collection=self.row.name,
                reason=reason,
                lacking=done.lacking,
                unlisted=done.unlisted,
            )
        self._pipeline.wanted_again = done.remembered

    async def _close(self) -> None:
        """Leave a mark that a later start can trust, unless something is left that nobody knows of."""
        if self._delivery.left_in_doubt:
            return
        try:
            # The marker vouches for the files: first all that was acknowledged has to be in them.
            await self._collection.flush()
            await self._collection.set_marker(self._marker(await last_seq(self._reader)))
        except VectorStoreError as error:
            log.info("vectors.unmarked", collection=self.row.name, error=str(error))

    def _marker(self, high_water: int) -> StoreMarker:
        return StoreMarker(self._incarnation.catalog, self._incarnation.uuid, high_water)
