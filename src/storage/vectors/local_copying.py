"""Makes copies of flat rows in a byte a number, beside the searches that they will serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from storage.vectors.local_base import Base
from storage.vectors.local_coarse import coarse_bytes, coarse_rows
from storage.vectors.local_policy import LocalOptions
from storage.vectors.local_shard import Shard
from storage.vectors.local_threads import Threads, in_thread

SEARCHES_BEFORE = 4
"""Searches between looks for bases without a copy: a process that searches once is done sooner without."""


class Copying:
    """Sees to it that the shards of a collection that is searched often have copies, as far as there is room."""

    def __init__(self, shards: Mapping[str, Shard], threads: Threads, options: LocalOptions) -> None:
        """``shards`` is looked at again for each copy, in the thread of ``vectors``."""
        self._shards = shards
        self._threads = threads
        self._options = options
        self._searches = 0
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def count_search(self) -> None:
        """Begin to make copies in the background when enough was searched; returns at once."""
        self._searches += 1
        if self._searches % SEARCHES_BEFORE == 0 and self._task is None and not self._ended:
            self._task = asyncio.create_task(self._copy_all())

    async def made(self) -> None:
        """Wait for the copies that are being made."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def end(self) -> None:
        """Make no more, and wait for the one that is being made."""
        self._ended = True
        await self.made()

    async def _copy_all(self) -> None:
        try:
            while (found := await in_thread(self._threads.vectors, self._next)) is not None:
                shard, base = found
                coarse = await in_thread(self._threads.builds, partial(coarse_rows, base.flat_rows))
                await in_thread(self._threads.vectors, partial(shard.take_coarse, base, coarse))
        finally:
            self._task = None

    def _next(self) -> tuple[Shard, Base] | None:
        """The largest base that should have a copy and has none."""
        if self._ended:
            return None
        room = self._options.coarse_bytes
        wanting = []
        for shard in self._shards.values():
            base = shard.base
            if base is None or base.manifest.flat_rows < self._options.coarse_from:
                continue
            if shard.coarse is None:
                wanting.append((shard, base))
            else:
                room -= _size(base)
        wanting = [each for each in wanting if _size(each[1]) <= room]
        return max(wanting, key=lambda each: each[1].manifest.flat_rows, default=None)


def _size(base: Base) -> int:
    return coarse_bytes(base.manifest.flat_rows, base.manifest.dimension)
