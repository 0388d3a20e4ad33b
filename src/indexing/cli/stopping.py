"""Whether the user wants a command to end."""

from __future__ import annotations

import asyncio
from typing import Any


class Stop:
    """The wish to end, once it is there."""

    def __init__(self) -> None:
        """Nobody wants it yet."""
        self.requested = False
        self._event = asyncio.Event()

    def request(self) -> None:
        """Let the work end."""
        self.requested = True
        self._event.set()

    async def wait(self) -> None:
        """Wait until the user wants it."""
        await self._event.wait()

    async def or_end_of(self, work: asyncio.Task[Any]) -> None:
        """Wait until the user wants it, or the work is done."""
        wanted = asyncio.create_task(self._event.wait(), name="stop")
        try:
            await asyncio.wait([work, wanted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
