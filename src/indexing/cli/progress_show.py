"""Shows a job's progress on standard error while it runs: bars on a terminal, else a line every few seconds."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from indexing.cli.progress_view import plain_line
from indexing.cli.terminal import say
from indexing.sources import display

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from indexing.ingest.progress import Progress

BARS_EVERY_SECONDS = 0.1
LINES_EVERY_SECONDS = 5.0


@asynccontextmanager
async def shown(snapshot: Callable[[], Progress], root: bytes) -> AsyncIterator[None]:
    """Show what ``snapshot`` returns until the context ends."""
    show = _bars if sys.stderr.isatty() else _lines
    task = asyncio.create_task(show(snapshot, root), name="progress")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody reads standard error any more; the job goes on without being shown


@asynccontextmanager
async def updated(line: Callable[[], str]) -> AsyncIterator[None]:
    """Show what ``line`` returns until the context ends: in place on a terminal, else every few seconds."""
    task = asyncio.create_task(_one_line(line), name="progress")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # as above


async def _one_line(line: Callable[[], str]) -> None:
    if not sys.stderr.isatty():
        while True:
            await asyncio.sleep(LINES_EVERY_SECONDS)
            say(f"codetrove: {line()}")
    from rich.console import Console  # noqa: PLC0415

    with Console(stderr=True, highlight=False).status("") as status:
        while True:
            status.update(line())
            await asyncio.sleep(BARS_EVERY_SECONDS)


async def _lines(snapshot: Callable[[], Progress], _root: bytes) -> None:
    while True:
        await asyncio.sleep(LINES_EVERY_SECONDS)
        say(f"codetrove: {plain_line(snapshot())}")


async def _bars(snapshot: Callable[[], Progress], root: bytes) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from indexing.cli.progress_bars import render  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    # Log lines that come meanwhile are written above the bars.
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        while True:
            live.update(render(snapshot(), display(root)), refresh=True)
            await asyncio.sleep(BARS_EVERY_SECONDS)
