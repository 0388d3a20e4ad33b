"""All collections of an owner: which one serves, which is being built beside it, and the change between them.

A change of the model, or of the store, fills a new collection while the old one serves. When nothing is pending in it,
the catalog names it as the serving one in one transaction; from then on searches get it, and the old one is dropped
once the last search in it has ended. Scores of two models never meet: a search is given collection and encoder
together, once.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import structlog

from embeddings import counted
from indexing.task_end import ended
from indexing.vectorize.keeper import Keeper
from indexing.vectorize.urgency import Urgency
from storage import VectorStoreError, add_collection, collections, drop_retired, flip, retry_failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    from embeddings import Encoder, EncoderCounters
    from indexing.vectorize.keeper import Surroundings
    from indexing.vectorize.records import VectorProgress
    from indexing.vectorize.warmth import Warmth
    from indexing.vectorize.work_meter import VectorWork
    from storage import Collection, CollectionRow, VectorStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that vectors are wanted of."""

    fingerprint: str
    dimension: int
    model: str
    """how its encoder is opened again, as the catalog keeps it"""


@dataclass(frozen=True, slots=True)
class Serving:
    """What one search works with from its beginning to its end."""

    row: CollectionRow
    collection: Collection
    encoder: Encoder
    warmth: Warmth
    progress: VectorProgress | None
    """None where nothing fills the collection any more"""


class VectorService:
    """Keeps the vectors of an owner: one collection serves, at most one is being built."""

    def __init__(self, around: Surroundings, *, store_name: str, prefix: str) -> None:
        """Prepare; ``store_name`` is what the catalog calls the store in which new collections are made.

        Every name in a store that begins with ``prefix`` is ours: what the catalog does not know of is dropped.
        """
        self._around = around
        self._store_name = store_name
        self._prefix = prefix
        self._keepers: dict[int, Keeper] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._serving: Keeper | None = None
        self._changing = asyncio.Lock()
        self._closing = False
        self._urgency = Urgency(around.writer, self._pending_collections)

    async def __aenter__(self) -> Self:
        """Open what the catalog names, begin to fill it, and drop what it does not name."""
        rows = await collections(self._around.reader)
        for row in rows:
            if row.state != "retired":
                # A text that failed for what was wrong with the encoder may come through now.
                await self._around.writer.apply(partial(retry_failed, collection_id=row.id))
                self._keep(row)
        for keeper in self._keepers.values():
            await keeper.looked.wait()
        self._spawn(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the batches in hand; cancelled, end at once. Then free the encoders."""
        self._closing = True
        await self._urgency.aclose()
        for keeper in self._keepers.values():
            keeper.stop_soon()
        try:
            await _all_done([*self._tasks.values(), *self._changes])
        finally:
            for keeper in self._keepers.values():
                await keeper.close_encoder()

    @property
    def degraded(self) -> str:
        """Why no vectors can be searched, or no new ones come; empty while all is well."""
        return "no model is chosen" if self._serving is None else self._serving.problem

    @property
    def progress(self) -> dict[str, VectorProgress]:
        """``{model: how far its vectors are}``, of the serving and of the collection that is built."""
        found = {keeper.row.model: keeper.progress for keeper in self._keepers.values()}
        return {model: progress for model, progress in found.items() if progress is not None}

    @property
    def work(self) -> dict[str, VectorWork]:
        """``{model: what was done about its vectors}``, as of now."""
        return {keeper.row.model: replace(keeper.work) for keeper in self._keepers.values()}

    @property
    def encoders(self) -> dict[str, EncoderCounters]:
        """``{model: what its encoder has done}``, queries included, all processes together, as of now."""
        found = {keeper.row.model: counted(keeper.encoder) for keeper in self._keepers.values()}
        return {model: counters for model, counters in found.items() if counters is not None}

    @property
    def problems(self) -> dict[str, str]:
        """``{model: what is wrong with its vectors}``, of the serving and of the collection that is built."""
        return {keeper.row.model: keeper.problem for keeper in self._keepers.values() if keeper.problem}

    @asynccontextmanager
    async def searching(self) -> AsyncIterator[Serving | None]:
        """What to search with; it is not dropped before the context ends. None where there is nothing to search."""
        keeper = self._serving
        if keeper is None or keeper.collection is None or keeper.encoder is None or keeper.warmth is None:
            yield None
            return
        async with keeper.used():
            yield Serving(keeper.row, keeper.collection, keeper.encoder, keeper.warmth, keeper.progress)

    @property
    def is_empty(self) -> bool:
        """Whether there is no collection at all, neither one that serves nor one that is being built."""
        return not self._keepers

    def want_first(self, cut_ids: Iterable[int]) -> None:
        """Let the vectors of some cuts be made before others, where they are pending; returns at once."""
        self._urgency.raise_soon(tuple(cut_ids))

    def nudge(self) -> None:
        """Look at the catalog again: something was committed, or became urgent."""
        for keeper in self._keepers.values():
            keeper.nudge()

    async def drained(self) -> bool:
        """Wait until no point is pending and no change of the model is under way; False where that will not be.

        Not to be awaited inside `searching`: the end of a change waits for the searches in the old collection.
        Raises what made a vectorizer fail.
        """
        asked = list(self._keepers.values())
        ends = await asyncio.gather(*(keeper.drained() for keeper in asked), return_exceptions=True)
        while self._changes:
            await asyncio.wait(self._changes)
        # What served before a change has no say any more, also if it failed.
        kept = [end for keeper, end in zip(asked, ends, strict=True) if keeper.row.id in self._keepers]
        for end in kept:
            if isinstance(end, BaseException):
                raise end
        return all(end is True for end in kept)

    async def swept(self) -> None:
        """Wait until the vectors of what is gone are gone too."""
        for keeper in list(self._keepers.values()):
            await keeper.swept()

    async def ensure(self, choice: ModelChoice) -> CollectionRow:
        """Make sure that vectors of a model are served, or will be: beside the ones that serve until it is complete.

        A change that was under way to another model is given up.
        """
        async with self._changing:
            serving = self._serving
            wanted = None
            for keeper in list(self._keepers.values()):
                if (keeper.row.store, keeper.row.fingerprint) == (self._store_name, choice.fingerprint):
                    wanted = keeper
                elif keeper is not serving:
                    await self._give_up(keeper)
            if wanted is not None:
                return wanted.row
            name = f"{self._prefix}{choice.fingerprint[:12]}_{uuid4().hex[:8]}"
            row = await self._around.writer.apply(
                partial(
                    add_collection,
                    store=self._store_name,
                    fingerprint=choice.fingerprint,
                    dimension=choice.dimension,
                    model=choice.model,
                    name=name,
                )
            )
            await self._keep(row).looked.wait()
            return row

    def _pending_collections(self) -> list[int]:
        found = [(each.row.id, each.progress) for each in self._keepers.values()]
        # Not by the count of what is pending, which is a second old or older.
        return [row_id for row_id, progress in found if progress is not None and progress.state != "idle"]

    def _keep(self, row: CollectionRow) -> Keeper:
        keeper = Keeper(row, self._around)
        self._keepers[row.id] = keeper
        self._tasks[row.id] = asyncio.create_task(keeper.run(), name=f"keep-{row.name}")
        if row.state == "serving":
            self._serving = keeper
            self._spawn(self._name(keeper))
        else:
            self._spawn(self._change_to(keeper))
        return keeper

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _change_to(self, keeper: Keeper) -> None:
        """Let a collection serve once it is complete, and drop the one that did before."""
        try:
            complete = await keeper.drained()
        except Exception as error:  # noqa: BLE001  (task boundary: the keeper says it; the old collection serves on)
            log.warning("vectors.switch_stays_open", collection=keeper.row.name, error=repr(error))
            return
        if not complete:
            return
        async with self._changing:
            if self._closing or keeper.row.id not in self._keepers:
                return
            await self._around.writer.apply(partial(flip, collection_id=keeper.row.id))
            keeper.row = replace(keeper.row, state="serving")
            former, self._serving = self._serving, keeper
            log.info("vectors.switched", collection=keeper.row.name)
            await self._name(keeper)
            if former is not None:
                await self._give_up(former)

    async def _name(self, keeper: Keeper) -> None:
        """Let others find the collection that serves. A courtesy: nothing here relies on it."""
        name_serving = self._around.stores[keeper.row.store].name_serving
        if name_serving is None:
            return
        await keeper.looked.wait()
        try:
            await name_serving(keeper.row.name)
        except VectorStoreError as error:
            log.info("vectors.not_named", collection=keeper.row.name, error=str(error))

    async def _give_up(self, keeper: Keeper) -> None:
        """End a collection that does not serve: its vectors go from the store, then its rows from the catalog."""
        del self._keepers[keeper.row.id]
        keeper.stop_soon()
        await _all_done([self._tasks.pop(keeper.row.id)])
        await keeper.unused()
        await keeper.close_encoder()
        await self._drop(keeper.row)

    async def _drop(self, row: CollectionRow) -> None:
        try:
            await self._around.stores[row.store].store.drop(row.name)
        except VectorStoreError as error:
            # The row stays, so that the next start drops it.
            log.warning("vectors.not_dropped", collection=row.name, error=str(error))
            return
        await self._around.writer.apply(partial(drop_retired, collection_id=row.id))

    async def _sweep(self) -> None:
        """Drop collections that serve no more, and those of ours that the catalog does not know."""
        async with self._changing:
            rows = await collections(self._around.reader)
            for row in rows:
                if row.state == "retired":
                    await self._drop(row)
            known = {row.name for row in rows}
            for in_use in self._around.stores.values():
                await self._drop_unknown(in_use.store, known)

    async def _drop_unknown(self, store: VectorStore, known: set[str]) -> None:
        try:
            for name in await store.collections():
                if name.startswith(self._prefix) and name not in known:
                    log.warning("vectors.dropped_unknown", collection=name)
                    await store.drop(name)
        except VectorStoreError as error:
            log.warning("vectors.not_swept", error=str(error))


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for tasks and raise what one of them raised; cancelled, cancel them and wait for that."""
    await ended(tasks)
    for task in tasks:
        task.result()
