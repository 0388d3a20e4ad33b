"""What a search has shown is vectorized first: its wishes are gathered and written down beside it, never before it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from storage import StorageError, raise_priority

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection

    from storage import Writer

log = structlog.get_logger(__name__)

GATHER_SECONDS: Final = 0.2
"""However many searches there are, they cost the catalog's writer so few transactions."""
MOST_CUTS: Final = 2_000
"""Of one transaction; what is wished for beyond that is forgotten."""


class Urgency:
    """Raises the priority of the pending points of cuts, in every collection that has pending ones."""

    def __init__(self, writer: Writer, collections: Callable[[], list[int]]) -> None:
        """Prepare; ``collections`` gives the ids of those in which something is pending."""
        self._writer = writer
        self._collections = collections
        self._wanted: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def raise_soon(self, cut_ids: Collection[int]) -> None:
        """Note cuts whose vectors are wanted first; returns at once."""
        if not cut_ids or not self._collections():
            return
        self._wanted.update(list(cut_ids)[: MOST_CUTS - len(self._wanted)])
        if self._task is None:
            self._task = asyncio.create_task(self._raise(), name="raise-priority")

    async def aclose(self) -> None:
        """Forget what was not written down."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _raise(self) -> None:
        try:
            while self._wanted:
                await asyncio.sleep(GATHER_SECONDS)
                wanted, self._wanted = self._wanted, set()
                await self._writer.apply(partial(_raise_all, collections=self._collections(), cut_ids=wanted))
        except StorageError as error:
            # Nothing depends on it but the order of work.
            log.debug("vectors.priority_not_raised", error=str(error))
        finally:
            self._task = None


def _raise_all(connection: sqlite3.Connection, *, collections: list[int], cut_ids: set[int]) -> None:
    for collection_id in collections:
        raise_priority(connection, collection_id, cut_ids)
