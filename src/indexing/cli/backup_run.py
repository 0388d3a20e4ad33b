"""Writing a backup and taking one in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.terminal import say_json, say_result, size
from indexing.runtime import open_owner
from indexing.sources import display
from storage import CatalogMissing, DataDirectory, DataDirectoryInUse, stage_restore, write_backup

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.settings import Settings


def run_backup(settings: Settings, file: Path, *, as_json: bool) -> ExitCode:
    """Write a backup; returns the exit code."""
    directory = DataDirectory(settings.storage.data_dir)
    if not directory.catalog.exists():
        raise CatalogMissing(
            f"there is nothing to back up in {str(directory.path)!r}; run 'codetrove index PATH' first"
        )
    count = write_backup(directory, file)
    if as_json:
        say_json({"schema": 1, "file": str(file), "bytes": count})
    else:
        say_result(f"wrote {str(file)!r} ({size(count)})")
    return ExitCode.OK


async def run_restore(settings: Settings, file: Path, *, as_json: bool) -> ExitCode:
    """Stage a backup and take it in if nobody owns the data directory; returns the exit code."""
    directory = DataDirectory(settings.storage.data_dir)
    await asyncio.to_thread(directory.prepare)
    await asyncio.to_thread(stage_restore, directory, file)
    taken_in, messages = True, []
    try:
        async with open_owner(settings) as owner:
            messages = list(owner.messages)
            roots = [display(repository.root.path) for repository in await owner.reader.repositories()]
    except DataDirectoryInUse as error:
        taken_in, roots = False, []
        messages.append(f"the backup is good and lies ready; it is taken in at the next start ({error})")
    if as_json:
        say_json({"schema": 1, "taken_in": taken_in, "messages": messages, "repositories": roots})
        return ExitCode.OK
    for message in messages:
        say_result(message)
    if taken_in:
        say_result("files may have changed since the backup; bring each repository up to date:")
        for root in roots:
            say_result(f"  codetrove index {root}")
    return ExitCode.OK
