"""One ``codetrove forget`` from the question to the last deleted chunk."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import typer

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.owner_repositories import exactly_at, known_to
from indexing.cli.terminal import say, say_json, say_result
from indexing.control import segment
from indexing.http.serving import serving
from indexing.repositories import forget_repository
from indexing.runtime import open_owner
from indexing.sources import display
from storage import DataDirectory, open_reader, repository_at

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.control import ControlClient
    from indexing.settings import Settings

FORGET_SCHEMA: Final = 1


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
    async with open_owner(settings) as owner, serving(owner, tcp=False):
        for message in owner.messages:
            say(f"codetrove: {message}")
        chunks = await forget_repository(owner, repository)
    if as_json:
        say_json(
            {"schema": FORGET_SCHEMA, "repository": repository.uuid, "root": name, "files": files, "chunks": chunks}
        )
    else:
        say_result(f"forgot {name}: {files:,} files, {chunks:,} chunks that nothing else holds")
    return ExitCode.OK


def run_forget_of(owner: ControlClient, path: Path, *, yes: bool, as_json: bool) -> ExitCode:
    """Let the owner forget the repository at ``path``, absolute and resolved; returns the exit code.

    Raises the errors of ``control``, and ``UsageError`` where nothing with that root is indexed.
    """
    repository = exactly_at(known_to(owner), path)
    name, files = repository["root"], repository["files"]
    if not yes and not _confirmed(f"Take {name} ({files:,} files) out of the index?"):
        say("codetrove: nothing was changed")
        return ExitCode.FINDINGS
    owner.delete(f"/repositories/{segment(repository['uuid'])}")
    if as_json:
        say_json({"schema": FORGET_SCHEMA, "repository": repository["uuid"], "root": name, "files": files})
    else:
        say_result(f"forgot {name}: {files:,} files")
    return ExitCode.OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal to ask on; give --yes")
    return typer.confirm(question, err=True)
