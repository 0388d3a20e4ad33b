"""One ``codetrove forget`` from the question to the last deleted chunk."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import typer

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.terminal import say, say_json, say_result
from indexing.runtime import open_owner
from indexing.sources import display
from storage import (
    DataDirectory,
    change_registry,
    collect_garbage,
    forget,
    open_reader,
    repository_at,
    trim_deletions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.runtime import Owner
    from indexing.settings import Settings
    from storage import Repository


async def run_forget(settings: Settings, path: Path, *, yes: bool, as_json: bool) -> ExitCode:
    """Forget the repository at ``path``, absolute and resolved; returns the exit code."""
    directory = DataDirectory(settings.storage.data_dir)
    root = os.fsencode(path)
    async with open_reader(directory.catalog) as reader:
        repository = await reader.run(lambda connection: repository_at(connection, root))
        known = await reader.known_files(repository.snapshot_id)
    files = sum(not each.excluded for each in known.values())
    name = display(root)
    if not yes and not _confirmed(f"Take {name} ({files:,} files) out of the index?"):
        say("codetrove: nothing was changed")
        return ExitCode.FINDINGS
    async with open_owner(settings) as owner:
        for message in owner.messages:
            say(f"codetrove: {message}")
        chunks = await forget_repository(owner, repository)
    if as_json:
        say_json({"schema": 1, "repository": repository.uuid, "root": name, "files": files, "chunks": chunks})
    else:
        say_result(f"forgot {name}: {files:,} files, {chunks:,} chunks that nothing else holds")
    return ExitCode.OK


async def forget_repository(owner: Owner, repository: Repository) -> int:
    """Remove a repository and the chunks that only it held; returns how many those were.

    The registry goes first: what it names and the catalog lacks would be brought back by the next start.
    """
    await asyncio.to_thread(_leave_registry, owner.directory.path, repository.uuid)
    await owner.writer.apply(lambda connection: forget(connection, repository.id))
    chunks = await _collect(owner)
    if owner.vectors is not None:
        # A chunk goes once its vectors are gone from the store.
        await owner.vectors.service.swept()
        chunks += await _collect(owner)
    await owner.feed.settled()
    followed = owner.feed.applied_deletion
    await owner.writer.apply(lambda connection: trim_deletions(connection, followed))
    return chunks


async def _collect(owner: Owner) -> int:
    """Remove what forget() dated 0: those cuts alone have no grace period left. Returns the chunks removed."""
    chunks, more = 0, True
    while more:
        collected = await owner.writer.apply(lambda connection: collect_garbage(connection, older_than_ms=0))
        chunks += len(collected.chunk_ids)
        more = collected.more
    return chunks


def _leave_registry(data_directory: Path, uuid: str) -> None:
    change_registry(
        data_directory,
        lambda registry: registry.with_repositories(
            {each: root for each, root in registry.repositories.items() if each != uuid}
        ),
    )


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal to ask on; give --yes")
    return typer.confirm(question, err=True)
