"""What an owner does at its start about a catalog that was lost, damaged, or that kills whoever opens it."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import structlog

from indexing.roots import look_at_root
from indexing.sources import RootError, display
from storage import (
    CatalogDamaged,
    NestedRepository,
    damage_mark,
    load_registry,
    note_start,
    register,
    set_aside,
)

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from indexing.settings import Settings
    from storage import DataDirectory, Reader, Repository, Writer

log = structlog.get_logger(__name__)


class CrashLoop(Exception):
    """The last starts died in their recovery; it is not attempted again."""


def guard_against_crash_loop(settings: Settings, directory: DataDirectory) -> None:
    """Note the start, or raise ``CrashLoop`` if too many before it died in their recovery."""
    recovery = settings.recovery
    window = recovery.crash_loop_window_seconds
    if not note_start(directory.starts, now=time(), window_seconds=window, most=recovery.crash_loop_starts):
        message = (
            f"the last {recovery.crash_loop_starts - 1} starts within {window} s died in their recovery, so it is not "
            "attempted again: search works, nothing is written. Run 'codetrove fsck --repair', or wait and try again"
        )
        raise CrashLoop(message)


async def enter_writer(stack: AsyncExitStack, writer: Writer, directory: DataDirectory) -> Path | None:
    """Open the catalog; a damaged one is moved aside first. Returns where it went."""
    aside: Path | None = None
    if await asyncio.to_thread(damage_mark, directory.catalog) is not None:
        aside = await asyncio.to_thread(lambda: set_aside(directory.catalog, now_ms=_now_ms()))
    try:
        await stack.enter_async_context(writer)
    except CatalogDamaged:
        if aside is not None:
            raise
        aside = await asyncio.to_thread(lambda: set_aside(directory.catalog, now_ms=_now_ms()))
        log.warning("catalog.set_aside", path=str(aside))
        await stack.enter_async_context(writer)
    return aside


async def bring_back(
    directory: DataDirectory, writer: Writer, reader: Reader, messages: list[str]
) -> tuple[list[Repository], dict[str, bytes]]:
    """Register what ``registry.json`` knows and the catalog does not, under the same ids.

    Returns the repositories that have to be indexed, those of an earlier start that crashed among them, and
    {uuid: root} of those that cannot be registered now.
    """
    registry = await asyncio.to_thread(load_registry, directory.path)
    there = await reader.repositories()
    known = {repository.uuid for repository in there} | {repository.root.path for repository in there}
    unreachable: dict[str, bytes] = {}
    # Of two nested roots the inner one first: once the outer one is registered it would be refused.
    for uuid, path in sorted(registry.repositories.items(), key=lambda item: len(item[1]), reverse=True):
        if uuid in known or path in known:
            continue
        try:
            root = await asyncio.to_thread(look_at_root, Path(os.fsdecode(path)))
            await writer.apply(partial(register, root=root, now_ms=_now_ms(), uuid=uuid))
        except (OSError, RootError, NestedRepository) as error:
            unreachable[uuid] = path
            messages.append(f"{display(path)} was lost with the catalog and cannot be indexed again: {error}")
        else:
            messages.append(
                f"{display(path)} was lost with the catalog and is indexed again; its past jobs, and content that no "
                "file shows any more, do not come back"
            )
    ended = {row[0] for row in await reader.query("SELECT repository_id FROM jobs WHERE ended_at IS NOT NULL")}
    returning = [each for each in await reader.repositories() if each.scanned_at is None and each.id not in ended]
    return returning, unreachable


def _now_ms() -> int:
    return int(time() * 1000)
