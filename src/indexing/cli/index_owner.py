"""One ``codetrove index`` that another process does: the owner of the data directory."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from indexing.cli.exits import UsageError, is_usage
from indexing.cli.index_outcome import IndexOutcome
from indexing.cli.job_of_owner import is_over, progress_of, summary_of, vector_summary_of, vectors_of
from indexing.cli.owner_repositories import known_to
from indexing.cli.progress_show import shown
from indexing.cli.signals import draining
from indexing.cli.stopping import Stop
from indexing.cli.terminal import say
from indexing.control import ControlError, OwnerRefused, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from indexing.cli.exits import ExitCode
    from indexing.control import ControlClient

LOOK_SECONDS: Final = 0.25
"""Between two looks at a job; bars are drawn from the last one."""
_FILES_A_PAGE: Final = 1000
_MOST_FAILED: Final = 10_000
"""Failed files that are asked for."""
_RAISED: Final = re.compile(r"([A-Z][A-Za-z]+): (.*)", re.DOTALL)
"""The reason of a job that an exception ended: its class and what it said."""


class JobFailed(ControlError):
    """The owner could not run the job; the message says why."""


@dataclass(slots=True)
class Seen:
    """A job as it was when it was last looked at."""

    job: dict[str, Any]


async def run_index_of(
    owner: ControlClient, path: Path, *, with_vectors: bool, as_json: bool, verbose: bool
) -> ExitCode:
    """Let the owner index the tree at ``path`` and print what came of it; returns the exit code.

    Raises the errors of ``control``, and ``UsageError`` where the tree cannot be indexed.
    """
    outcome, stop = IndexOutcome(), Stop()
    with draining(stop.request):
        root = await asyncio.to_thread(lambda: path.expanduser().absolute())
        known = {each["uuid"] for each in await asyncio.to_thread(known_to, owner)}
        waiting = await asyncio.to_thread(partial(owner.get, "/jobs", state="queued"))
        added = await asyncio.to_thread(owner.post, "/repositories", {**_root(os.fsencode(root)), "index": True})
        say(f"codetrove: the running owner indexes {added['repository']['root']}")
        seen = Seen(added["job"])
        is_ours = seen.job["id"] not in {each["id"] for each in waiting["jobs"]}
        if await _waited_for(owner, seen, outcome, stop, is_ours=is_ours):
            await _finish(owner, seen.job, outcome, is_new=added["repository"]["uuid"] not in known)
            if with_vectors and seen.job["vectors"] is not None and seen.job["state"] != "cancelled":
                await _vectors(owner, seen, outcome, stop)
    outcome.show(as_json=as_json, verbose=verbose)
    return outcome.code


async def look(owner: ControlClient, seen: Seen, is_enough: Callable[[dict[str, Any]], bool]) -> None:
    """Look at a job again and again until it is as wanted."""
    while not is_enough(seen.job):
        await asyncio.sleep(LOOK_SECONDS)
        seen.job = await asyncio.to_thread(owner.get, _path_of(seen.job))


def failed_files(owner: ControlClient, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the owner says of a job's failed files, up to a bound. Blocks."""
    after, count = None, 0
    while job["tally"]["failed"] and count < _MOST_FAILED:
        page = owner.get(_path_of(job, "/files"), outcome="failed", limit=_FILES_A_PAGE, after=after)
        yield from page["files"]
        after, count = page["next"], count + len(page["files"])
        if after is None:
            return


async def _waited_for(owner: ControlClient, seen: Seen, outcome: IndexOutcome, stop: Stop, *, is_ours: bool) -> bool:
    """Wait for a job's end and return True; False where it is another's and the user does not want to wait for it."""
    ending = asyncio.create_task(look(owner, seen, is_over), name="wait-for-job")
    try:
        async with shown(lambda: progress_of(seen.job), os.fsencode(seen.job["root"])):
            await stop.or_end_of(ending)
            if not ending.done() and is_ours:
                with suppress(OwnerRefused):  # it has just ended
                    await asyncio.to_thread(owner.post, _path_of(seen.job, "/cancel"))
            elif not ending.done():
                outcome.tell(f"the job was there before and goes on; see 'codetrove jobs watch {seen.job['id']}'")
                outcome.trouble = True
                return False
            await ending
    finally:
        ending.cancel()
    return True


async def _finish(owner: ControlClient, job: dict[str, Any], outcome: IndexOutcome, *, is_new: bool) -> None:
    raised = _RAISED.match(job["reason"]) if job["state"] == "failed" else None
    if raised is not None and is_usage(raised[1]):
        if is_new:
            # A mistyped path is no repository.
            await asyncio.to_thread(owner.delete, f"/repositories/{segment(job['repository'])}")
        raise UsageError(raised[2])
    if raised is not None:
        raise JobFailed(f"the job failed in the running owner: {job['reason']}")
    failed = await asyncio.to_thread(lambda: list(failed_files(owner, job)))
    outcome.jobs.append(summary_of(job, failed))


async def _vectors(owner: ControlClient, seen: Seen, outcome: IndexOutcome, stop: Stop) -> None:
    """Wait until all vectors are there, or the user has seen enough."""
    coming = asyncio.create_task(look(owner, seen, _vectors_are_over), name="wait-for-vectors")
    try:
        async with shown(lambda: progress_of(seen.job), os.fsencode(seen.job["root"])):
            await stop.or_end_of(coming)
            if coming.done():
                coming.result()
            else:
                outcome.tell("vectors are missing yet; the running owner goes on with them")
    finally:
        coming.cancel()
    outcome.vectors = vector_summary_of(seen.job)
    progress = vectors_of(seen.job)
    if progress is None:
        return
    if progress.pending and not stop.requested:
        outcome.tell(f"vectors are missing: {progress.detail or progress.state}")
    outcome.trouble = outcome.trouble or bool(progress.pending or progress.failed)


def _vectors_are_over(job: dict[str, Any]) -> bool:
    progress = vectors_of(job)
    if progress is None or progress.state in {"failed", "stopped"}:
        return True
    return progress.pending == 0 and progress.state == "idle"


def _path_of(job: dict[str, Any], more: str = "") -> str:
    return f"/jobs/{segment(job['id'])}{more}"


def _root(path: bytes) -> dict[str, str]:
    try:
        return {"root": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"root_b64": base64.b64encode(path).decode("ascii")}
