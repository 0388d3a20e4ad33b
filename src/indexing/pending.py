"""What has changed and is not searchable yet, by repository, and waiting for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from storage import unfinished_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.runtime import Owner


class Pending:
    """The changes that an owner knows of: paths that its watchers noticed, and jobs that are not at their end."""

    def __init__(self, owner: Owner) -> None:
        """Look at ``owner``."""
        self._owner = owner

    def files(self, repositories: Iterable[str]) -> dict[str, int]:
        """``{uuid: files}`` of those repositories in which something is pending; 0 where it is not known how many."""
        wanted = frozenset(repositories)
        found: Counter[str] = Counter()
        for uuid, job in list(self._owner.jobs.items()):
            if uuid in wanted:
                found[uuid] += max(0, job.counters.to_read - job.counters.read)
        watching = self._owner.watching
        if watching is not None:
            for uuid in wanted:
                dirty = watching.state_of(uuid).dirty
                if dirty:
                    found[uuid] += dirty
        return dict(sorted(found.items()))

    async def settle(self, repositories: Iterable[str], seconds: float) -> None:
        """Wait until what is pending now is searchable, at most ``seconds``; what comes meanwhile is not waited for."""
        try:
            async with asyncio.timeout(seconds):
                await self._settle(frozenset(repositories))
        except TimeoutError:
            return

    async def _settle(self, repositories: frozenset[str]) -> None:
        owner = self._owner
        if owner.watching is not None:
            # The timeout around this is nearer than an hour.
            await owner.watching.settled(repositories, asyncio.get_running_loop().time() + 3_600)
        jobs = [row.id for row in await unfinished_jobs(owner.reader) if row.repository in repositories]
        # A job that fails, or that no process runs, is over as far as waiting goes.
        await asyncio.gather(*(owner.service.wait(job) for job in jobs), return_exceptions=True)


def pending_json(files: dict[str, int]) -> list[dict[str, Any]]:
    """Return what is pending as plain JSON values."""
    return [{"repository": uuid, "files": count} for uuid, count in files.items()]
