"""One ``codetrove serve`` from opening the data directory to the last request."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from indexing.cli.exits import ExitCode
from indexing.cli.ready import notify
from indexing.cli.signals import draining
from indexing.cli.stopping import Stop
from indexing.cli.terminal import say, say_result
from indexing.http.serving import serving
from indexing.responsiveness import leave_start_to_itself
from indexing.runtime import open_owner
from indexing.search.page_process import PageProcess
from indexing.sources import display
from indexing.tokens import first_token
from storage import CatalogDamaged, unfinished_jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexing.http.serving import Served
    from indexing.runtime import Owner
    from indexing.settings import Settings
    from indexing.tokens import FirstToken
    from storage import Repository

SERVE_SCHEMA: Final = 1
_MOST_OPEN_FILES: Final = 65_536


async def run_serve(settings: Settings, *, watch: bool, as_json: bool) -> ExitCode:
    """Serve until a signal comes; returns the exit code."""
    stop = Stop()
    _allow_many_connections()
    with draining(stop.request, drain_seconds=settings.service.drain_seconds):
        try:
            await _serve(settings, stop, watch=watch, as_json=as_json)
        except* CatalogDamaged as damaged:
            # The owner left a mark: opened again, it moves the catalog aside and brings the repositories back.
            say(f"codetrove: {damaged.exceptions[0]}: it is moved aside, and what it held is indexed again")
            if not stop.requested:
                await _serve(settings, stop, watch=watch, as_json=as_json)
    return ExitCode.OK


async def _serve(settings: Settings, stop: Stop, *, watch: bool, as_json: bool) -> None:
    async with open_owner(settings, watch=watch) as owner:
        for message in owner.messages:
            say(f"codetrove: {message}")
        token = await asyncio.to_thread(first_token, owner.directory.path)
        async with _ranking(owner, wanted=settings.service.page_process), serving(owner, tcp=True) as served:
            repositories = await owner.reader.repositories()
            link = served.sign_in_link(token.id)
            if as_json:
                _print_json(served, link, token, owner, repositories)
            else:
                _print(served, link, token, owner, repositories)
            notify(f"READY=1\nSTATUS=Serving {len(repositories)} repositories at {served.url}")
            await asyncio.to_thread(leave_start_to_itself)
            if owner.vectors is not None:
                await owner.vectors.warm()
            await _begin_jobs(owner, repositories)
            await _until_stopped(owner, served, stop)
            notify("STOPPING=1")


@asynccontextmanager
async def _ranking(owner: Owner, *, wanted: bool) -> AsyncIterator[None]:
    """Let searches be ranked in a process of their own while there are jobs."""
    if not wanted:
        yield
        return
    async with PageProcess(owner.reader, lambda: bool(owner.service.running)) as pages:
        owner.pages = pages
        try:
            yield
        finally:
            owner.pages = None


async def _begin_jobs(owner: Owner, repositories: list[Repository]) -> None:
    """Index what no complete scan has seen yet, and what an earlier process left in its middle.

    What has changed since is found by the watcher, where there is one.
    """
    interrupted = {row.repository for row in await unfinished_jobs(owner.reader)}
    again = {repository.uuid for repository in owner.to_index_again}
    for repository in repositories:
        if repository.scanned_at is None or repository.uuid in interrupted | again:
            await owner.service.submit(repository, origin="start")


async def _until_stopped(owner: Owner, served: Served, stop: Stop) -> None:
    """Wait until somebody wants the end, or something without which there is no service has failed; raises that."""
    failing = [
        asyncio.create_task(served.ended(), name="edge-ended"),
        asyncio.create_task(owner.writer.ended(), name="writer-ended"),
        asyncio.create_task(owner.reader.damaged(), name="catalog-damaged"),
    ]
    wanted = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([wanted, *failing], return_when=asyncio.FIRST_COMPLETED)
        for each in failing:
            if each.done():
                each.result()
    finally:
        for each in (wanted, *failing):
            each.cancel()
        await asyncio.wait([wanted, *failing])


def _print(served: Served, link: str, token: FirstToken, owner: Owner, repositories: list[Repository]) -> None:
    say_result(f"codetrove serves {served.url}")
    say_result(f"  sign in once, within five minutes: {link}")
    say_result(f"  access token: {token.path}" + ("  (made just now)" if token.made else ""))
    say_result(f"  data directory: {owner.directory.path}")
    for repository in repositories:
        say_result(f"  repository: {display(repository.root.path)}")
    if not repositories:
        say_result("  no repository yet; run 'codetrove index PATH' or add one on the page")
    # Whoever started it reads this now, through a pipe too.
    sys.stdout.flush()


def _print_json(served: Served, link: str, token: FirstToken, owner: Owner, repositories: list[Repository]) -> None:
    ready: dict[str, Any] = {
        "schema": SERVE_SCHEMA,
        "url": served.url,
        "sign_in": link,
        "token_file": str(token.path),
        "control_socket": str(served.control),
        "data_dir": str(owner.directory.path),
        "pid": os.getpid(),
        "repositories": [
            {"uuid": repository.uuid, "root": display(repository.root.path)} for repository in repositories
        ],
        "messages": owner.messages,
    }
    say_result(json.dumps(ready))
    sys.stdout.flush()


def _allow_many_connections() -> None:
    """Raise the soft limit on open files, which is 1,024 by custom, towards the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
