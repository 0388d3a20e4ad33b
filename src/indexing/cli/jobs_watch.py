"""One ``codetrove jobs watch``: the same bars and the same summary as where the job was begun."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.index_outcome import IndexOutcome
from indexing.cli.index_owner import Seen, failed_files, look
from indexing.cli.job_of_owner import is_over, progress_of, summary_of
from indexing.cli.jobs_run import path_of
from indexing.cli.progress_show import shown
from indexing.cli.signals import draining
from indexing.cli.stopping import Stop
from indexing.control import needed

if TYPE_CHECKING:
    from indexing.control import ControlClient


async def run_watch(owner: ControlClient | None, job_id: str, *, as_json: bool, verbose: bool) -> ExitCode:
    """Show a job until it ends, and then its summary; returns the exit code. Raises the errors of ``control``."""
    owner, outcome, stop = needed(owner), IndexOutcome(), Stop()
    path = await asyncio.to_thread(path_of, owner, job_id)
    seen = Seen(await asyncio.to_thread(owner.get, path))
    with draining(stop.request, message="the job goes on without being watched"):
        ending = asyncio.create_task(look(owner, seen, is_over), name="wait-for-job")
        try:
            async with shown(lambda: progress_of(seen.job), os.fsencode(seen.job["root"])):
                await stop.or_end_of(ending)
                if not ending.done():
                    return ExitCode.FINDINGS
                ending.result()
        finally:
            ending.cancel()
    failed = await asyncio.to_thread(lambda: list(failed_files(owner, seen.job)))
    outcome.jobs.append(summary_of(seen.job, failed))
    outcome.show(as_json=as_json, verbose=verbose)
    return outcome.code
