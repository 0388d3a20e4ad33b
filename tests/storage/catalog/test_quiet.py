"""Background work lets those who read go first, for a while."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from storage import open_reader

if TYPE_CHECKING:
    import sqlite3

    from tests.storage.conftest import FilledCatalog


async def test_who_works_in_the_background_waits_for_the_last_of_those_who_read(catalog: FilledCatalog) -> None:
    async with open_reader(catalog.path) as reader:
        await reader.quiet(0)
        go_on = [threading.Event(), threading.Event()]

        def reading(number: int) -> asyncio.Task[bool]:
            def wait(_: sqlite3.Connection) -> bool:
                return go_on[number].wait(30)

            return asyncio.create_task(reader.read(wait))

        reads = [reading(0), reading(1)]
        await asyncio.sleep(0)
        background = asyncio.create_task(reader.quiet(60))
        go_on[0].set()
        assert await reads[0]
        assert not background.done()
        go_on[1].set()
        assert await reads[1]
        await background


async def test_nobody_waits_for_ever(catalog: FilledCatalog) -> None:
    async with open_reader(catalog.path) as reader:
        go_on = threading.Event()
        read = asyncio.create_task(reader.read(lambda _: go_on.wait(30)))
        await asyncio.sleep(0)
        await reader.quiet(0.01)
        assert not read.done()
        go_on.set()
        assert await read
