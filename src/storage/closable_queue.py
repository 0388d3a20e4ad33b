"""A bounded ``asyncio.Queue`` that ends by being closed (Python 3.11 has no ``Queue.shutdown``)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")


class QueueClosed(Exception):  # noqa: N818  (a state, like StopIteration)
    """Nothing more goes in; raised by ``get`` when nothing is left either."""


class ClosableQueue(asyncio.Queue[T]):
    """A queue whose producers wait while it is full and whose consumers end when it is closed and empty."""

    def __init__(self, maxsize: int) -> None:
        """Make a queue of at most ``maxsize`` items."""
        super().__init__(maxsize)
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, item: T) -> None:
        """Wait for room and add an item; raises ``QueueClosed`` when nothing more is taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or not self.full())
            if self._closed:
                raise QueueClosed
            self.put_nowait(item)
            self._changed.notify_all()

    async def get(self) -> T:
        """Wait for an item; raises ``QueueClosed`` when none will come."""
        (item,) = await self.get_many(1)
        return item

    async def get_many(self, most: int) -> list[T]:
        """Wait for an item and take up to ``most`` that are there."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or not self.empty())
            if self.empty():
                raise QueueClosed
            taken = [self.get_nowait() for _ in range(min(most, self.qsize()))]
            self._changed.notify_all()
            return taken

    async def close(self) -> None:
        """Take nothing more; consumers still get what is inside."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over the items until the queue is closed and empty."""
        return self._items()

    async def _items(self) -> AsyncIterator[T]:
        while True:
            try:
                item = await self.get()
            except QueueClosed:
                return
            yield item
