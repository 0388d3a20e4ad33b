"""Waiting for the end of tasks that were told to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Wait until all have ended, whatever came of them; cancelled, cancel them, wait for that, and pass it on."""
    if not tasks:
        return
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
