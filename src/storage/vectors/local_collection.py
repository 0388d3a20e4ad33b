"""A collection of the local store: asynchronous outside, a thread for every kind of work inside."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from storage.errors import VectorsRefused, VectorStoreDamaged, VectorStoreError, VectorStoreUnavailable
from storage.vectors.local_base import Base, open_base
from storage.vectors.local_build import Snapshot, write_base
from storage.vectors.local_child import Abort, BuildAborted
from storage.vectors.local_copying import Copying
from storage.vectors.local_errors import translated
from storage.vectors.local_files import read_sealed, write_sealed
from storage.vectors.local_policy import LocalOptions, is_unsaved, shape_for, should_merge
from storage.vectors.local_scan import query_of
from storage.vectors.local_search import search_all, search_allowed
from storage.vectors.local_shard import Shard, remove_others
from storage.vectors.local_threads import Threads, in_thread
from storage.vectors.names import checked_name
from storage.vectors.records import (
    CollectionSpec,
    StoreMarker,
    VectorBatch,
    VectorHits,
    Vectors,
    check_ids,
)
from storage.vectors.scoring import pack_ids, unit_query, unit_rows

MARKER_FILE = "marker.json"

Result = TypeVar("Result")

_Reason: TypeAlias = Literal["due", "asked", "closing"]


class _MarkerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    catalog: str
    incarnation: str
    high_water: int


class LocalCollection:
    """The vectors of one model, a ``Shard`` for each repository. Made by ``LocalStore``."""

    def __init__(
        self, spec: CollectionSpec, directory: Path, threads: Threads, options: LocalOptions, *, writable: bool
    ) -> None:
        self.spec = spec
        self.max_allowed_ids = options.max_allowed_ids
        self.problems: list[str] = []
        """What was found damaged and left out, and why a merge in the background failed. Compare the ids."""
        self._directory = directory
        self._threads = threads
        self._options = options
        self._writable = writable
        self._shards: dict[str, Shard] = {}
        self._ended = False
        self._abort = Abort()
        self._hold_below = 0
        """rows to be merged below which nothing is begun in the background, after a failure"""
        self._merging: asyncio.Task[None] | None = None
        self._copying = Copying(self._shards, threads, options)

    async def upsert(self, batch: VectorBatch) -> frozenset[bytes]:
        """See ``Collection.upsert``. Where very much waits to be merged already, it waits too."""
        self._check_writable()
        delta_rows, due = await self._in(self._threads.vectors, "to upsert", lambda: self._upsert(batch))
        if due and delta_rows >= self._hold_below and not self._ended and self._merging is None:
            self._start_merging("due")
        if delta_rows >= self._options.full_delta and self._merging is not None:
            await asyncio.wait([self._merging])
        return frozenset(batch.ids)

    async def delete(self, ids: Sequence[bytes]) -> None:
        """See ``Collection.delete``."""
        self._check_writable()
        unique = tuple(set(ids))
        check_ids(unique)
        await self._in(self._threads.vectors, "to delete", lambda: self._delete(unique))

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        repositories: frozenset[str],
        languages: frozenset[str] | None = None,
        allowed_ids: Sequence[bytes] | None = None,
    ) -> VectorHits:
        """See ``Collection.search``."""
        self._check_open()
        allowed = None if allowed_ids is None else tuple(set(allowed_ids))
        if allowed is not None:
            if len(allowed) > self.max_allowed_ids:
                raise VectorsRefused(f"{len(allowed)} allowed ids are more than {self.max_allowed_ids}; widen instead")
            check_ids(allowed)
        found = await self._in(
            self._threads.vectors,
            "to search",
            lambda: self._search(vector, k, repositories, languages, allowed),
        )
        self._copying.count_search()
        return found

    async def ids(self, after: bytes | None, limit: int) -> list[bytes]:
        """See ``Collection.ids``."""
        self._check_open()
        return await self._in(self._threads.vectors, "to list its ids", lambda: self._ids(after, max(limit, 0)))

    async def count(self) -> int:
        """See ``Collection.count``."""
        self._check_open()
        return await self._in(
            self._threads.vectors,
            "to count",
            lambda: sum(shard.sizes().alive for shard in self._shards.values()),
        )

    async def optimize(self) -> None:
        """See ``Collection.optimize``. Searches and upserts go on meanwhile."""
        self._check_writable()
        while self._merging is not None:
            await asyncio.wait([self._merging])
        self._check_writable()
        # Whoever waits may be cancelled; the work goes on and is awaited by ``end``.
        await asyncio.shield(self._start_merging("asked"))

    async def flush(self) -> None:
        """See ``Collection.flush``. A graph that is being built is given up: it may take long."""
        self._check_writable()
        await self._merged_or_aborted()
        self._check_writable()
        await asyncio.shield(self._start_merging("closing"))

    async def marker(self) -> StoreMarker | None:
        """See ``Collection.marker``."""
        self._check_open()
        return await self._in(self._threads.files, "to read its marker", self._read_marker)

    async def set_marker(self, marker: StoreMarker) -> None:
        """See ``Collection.set_marker``."""
        self._check_writable()
        content = _MarkerFile(marker.catalog, marker.incarnation, marker.high_water)
        path = self._directory / MARKER_FILE
        await self._in(self._threads.files, "to write its marker", lambda: write_sealed(path, content))

    def load(self) -> None:
        """Open the newest base of every repository; for a reader also later again. Runs in the thread of ``vectors``.

        Raises ``OSError``.
        """
        if not self._writable:
            self.problems.clear()
        directories = {each.name: each for each in sorted(self._directory.iterdir()) if each.is_dir()}
        for name, directory in directories.items():
            known = self._shards.get(name)
            if known is not None and known.is_current():
                continue
            shard = Shard(directory, self.spec.name, self.spec.dimension)
            problem = shard.load()
            if problem is not None:
                self.problems.append(problem)
            if self._writable:
                if not shard.sizes().alive:
                    shutil.rmtree(directory)
                    continue
                remove_others(directory, self.spec.name, shard.base)
            self._shards[name] = shard
        for name in self._shards.keys() - directories.keys():
            del self._shards[name]

    async def end(self, *, keep: bool) -> None:
        """Stop; with ``keep`` write what memory alone holds into bases. Raises only after everything is let go."""
        if self._ended:
            return
        self._ended = True
        await self._merged_or_aborted()
        await self._copying.end()
        try:
            if keep and self._writable:
                with translated("to write what it holds"):
                    for shard in list(self._shards.values()):
                        await self._rewrite(shard, "closing")
        finally:
            await in_thread(self._threads.vectors, self._release)

    async def _merged_or_aborted(self) -> None:
        self._abort.set()
        while self._merging is not None:
            await asyncio.wait([self._merging])
        self._abort.clear()

    def _start_merging(self, why: _Reason) -> asyncio.Task[None]:
        task = self._merging = asyncio.create_task(self._merge(why))
        # Where the caller of ``optimize`` was cancelled, nobody else asks for the error.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _merge(self, why: _Reason) -> None:
        """Rewrite the base of every repository where it pays, or all that can be better, or what no file holds."""
        try:
            with translated("to merge"):
                for shard in list(self._shards.values()):
                    await self._rewrite(shard, why)
                self._hold_below = 0
        except BuildAborted as error:
            if why != "due":
                message = f"{self.spec.name!r} was flushed or closed while it was being optimized"
                raise VectorStoreUnavailable(message) from error
        except VectorStoreError as error:
            if why != "due":
                raise
            self.problems.append(str(error))
            # Not again at the next batch: a disk that is full stays so for a while.
            self._hold_below = 2 * await in_thread(self._threads.vectors, self._delta_rows)
        finally:
            self._merging = None

    async def _rewrite(self, shard: Shard, why: _Reason) -> None:
        """Write a new base and take it into use. After an error everything is as it was."""
        snapshot = await in_thread(self._threads.vectors, lambda: self._begin(shard, why))
        if snapshot is None:
            return
        try:
            base = await in_thread(self._threads.builds, lambda: self._build(snapshot))
        except BaseException:
            await in_thread(self._threads.vectors, shard.give_up_build)
            raise
        await in_thread(self._threads.vectors, lambda: shard.finish_build(base))
        await in_thread(self._threads.builds, lambda: remove_others(shard.directory, self.spec.name, base))

    def _begin(self, shard: Shard, why: _Reason) -> Snapshot | None:
        sizes = shard.sizes()
        shape = shape_for(sizes, self._options)
        if why == "closing":
            # Building a graph may take longer than whoever stops us waits.
            shape = "keep_graph" if sizes.graph_alive else "no_graph"
        reshaped = shape in ("extend_graph", "new_graph") or (shape == "no_graph" and sizes.graph_rows > 0)
        needed = should_merge(sizes, self._options) if why == "due" else is_unsaved(sizes) or reshaped
        return shard.begin_build(shape) if needed else None

    def _build(self, snapshot: Snapshot) -> Base:
        manifest = write_base(snapshot, self._abort)
        return open_base(
            snapshot.directory,
            snapshot.seq,
            manifest,
            collection=snapshot.collection,
            dimension=snapshot.dimension,
        )

    def _upsert(self, batch: VectorBatch) -> tuple[int, bool]:
        """Returns how many rows wait to be merged, and whether merging pays."""
        rows = unit_rows(batch.vectors, self.spec.dimension)
        by_repository: dict[str, list[int]] = {}
        for index, payload in enumerate(batch.payloads):
            by_repository.setdefault(checked_name(payload.repository), []).append(index)
        for repository in by_repository:
            if repository not in self._shards:
                directory = self._directory / repository
                self._shards[repository] = Shard(directory, self.spec.name, self.spec.dimension)
        packed = pack_ids(batch.ids)
        for repository, shard in self._shards.items():
            indices = by_repository.get(repository, [])
            if len(indices) == len(batch.ids):
                shard.upsert(batch.ids, rows, [each.language for each in batch.payloads])
                continue
            mine = set(indices)
            elsewhere = [index for index in range(len(batch.ids)) if index not in mine] if mine else None
            if elsewhere is None:
                shard.kill(batch.ids, packed)
                continue
            shard.kill([batch.ids[index] for index in elsewhere])
            languages = [batch.payloads[index].language for index in indices]
            shard.upsert([batch.ids[index] for index in indices], rows[indices], languages)
        sizes = [shard.sizes() for shard in self._shards.values()]
        return sum(each.delta_rows for each in sizes), any(should_merge(each, self._options) for each in sizes)

    def _delta_rows(self) -> int:
        return sum(shard.sizes().delta_rows for shard in self._shards.values())

    def _delete(self, ids: tuple[bytes, ...]) -> None:
        packed = pack_ids(ids)
        for shard in self._shards.values():
            shard.kill(ids, packed)

    def _search(
        self,
        vector: Vectors,
        k: int,
        repositories: frozenset[str],
        languages: frozenset[str] | None,
        allowed: tuple[bytes, ...] | None,
    ) -> VectorHits:
        query = query_of(unit_query(vector, self.spec.dimension))
        shards = [self._shards[name] for name in sorted(repositories & self._shards.keys())]
        if allowed is None:
            return search_all(shards, query, k, languages)
        return search_allowed(shards, query, k, languages, allowed)

    def _ids(self, after: bytes | None, limit: int) -> list[bytes]:
        return list(islice(merge(*(shard.ids(after, limit) for shard in self._shards.values())), limit))

    def _read_marker(self) -> StoreMarker | None:
        try:
            read = read_sealed(self._directory / MARKER_FILE, _MarkerFile)
        except (FileNotFoundError, VectorStoreDamaged):
            return None
        return StoreMarker(read.catalog, read.incarnation, read.high_water)

    def _release(self) -> None:
        for shard in self._shards.values():
            shard.release()
        self._shards.clear()

    async def _in(self, executor: ThreadPoolExecutor, doing: str, job: Callable[[], Result]) -> Result:
        with translated(doing):
            return await in_thread(executor, job)

    def _check_open(self) -> None:
        if self._ended:
            raise VectorStoreUnavailable(f"the collection {self.spec.name!r} was dropped or closed; open it again")

    def _check_writable(self) -> None:
        self._check_open()
        if not self._writable:
            raise VectorStoreUnavailable(
                f"the collection {self.spec.name!r} is open for reading only; its owner writes"
            )
