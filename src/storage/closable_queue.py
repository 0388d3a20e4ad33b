"""A bounded ``asyncio.Queue`` that ends by being closed (Python 3.11 has no ``Queue.shutdown``)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")


class QueueClosed(Exception):
    """Nothing more goes in; raised by ``get`` when nothing is left either."""


class ClosableQueue(asyncio.Queue[T]):
    """A queue whose producers wait while it is full and whose consumers end when it is closed and empty.

    Nothing is taken or added before the last suspension of a call, so a cancelled call has done nothing.
    """

    def __init__(self, maxsize: int) -> None:
        """Make a queue of at most ``maxsize`` items."""
        super().__init__(maxsize)
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    async def put(self, item: T) -> None:
        """Wait for room and add an item; raises ``QueueClosed`` when nothing more is taken."""
        await self._until(lambda: self._closed or not self.full())
        if self._closed:
            raise QueueClosed
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Add an item; raises ``asyncio.QueueFull`` where there is no room, ``QueueClosed`` after ``close``."""
        if self._closed:
            raise QueueClosed
        super().put_nowait(item)
        self._wake()

    async def get(self) -> T:
        """Wait for an item; raises ``QueueClosed`` when none will come."""
        (item,) = await self.get_many(1)
        return item

    async def get_many(self, most: int) -> list[T]:
        """Wait for an item and take up to ``most`` that are there."""
        await self._until(lambda: self._closed or not self.empty())
        if self.empty():
            raise QueueClosed
        return [self.get_nowait() for _ in range(min(most, self.qsize()))]

    async def ready(self) -> bool:
        """Wait until there is something to take, and take nothing; False when nothing will come."""
        await self._until(lambda: self._closed or not self.empty())
        return not self.empty()

    def get_nowait(self) -> T:
        """Take an item; raises ``asyncio.QueueEmpty`` where there is none."""
        item = super().get_nowait()
        self._wake()
        return item

    async def close(self) -> None:
        """Take nothing more; consumers still get what is inside. Never suspends, so it cannot be cancelled."""
        self._closed = True
        self._wake()

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

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        # All of them, and each looks again: one that is woken and cancelled at once must not use up the only call.
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
