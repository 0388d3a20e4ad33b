"""Sums over the catalog, for those who ask at about the same time: counting a large one takes a while."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from indexing.status import status

if TYPE_CHECKING:
    from indexing.runtime import Owner
    from indexing.status import Status

CHEAP_SECONDS: Final = 0.1
"""A look that takes no longer is taken anew whenever something was committed since."""
COST_SHARE: Final = 10
"""A dearer look serves for so many times as long as it took, unless a job has ended since."""
LONGEST_SECONDS: Final = 5.0
"""That a look serves."""


class Looking:
    """The status of an owner's data directory, looked at on a connection of its own, off the event loop."""

    def __init__(self, owner: Owner) -> None:
        """Begin without a look."""
        self._owner = owner
        self._one_at_a_time = asyncio.Lock()
        self._found: Status | None = None
        self._commits = -1
        self._ended_jobs = -1
        self._until = 0.0
        self._until_commit = 0.0

    async def status(self) -> Status:
        """Return how things stand: as of now, but for dear looks. Raises the errors of ``storage.open_reader``."""
        async with self._one_at_a_time:
            found = self._found
            if found is not None and self._serves():
                return found
            commits, ended_jobs, began = self._owner.writer.commits, self._count_of_ended_jobs(), monotonic()
            found = await status(self._owner.settings)
            took = monotonic() - began
            self._found, self._commits, self._ended_jobs = found, commits, ended_jobs
            self._until = monotonic() + min(1.0, COST_SHARE * took)
            self._until_commit = 0.0 if took < CHEAP_SECONDS else monotonic() + min(LONGEST_SECONDS, COST_SHARE * took)
            return found

    def forget(self) -> None:
        """Look anew next time: a repository came or went."""
        self._found = None

    def _serves(self) -> bool:
        if self._ended_jobs != self._count_of_ended_jobs():
            return False  # who has waited for a job asks for what it made
        until = self._until if self._owner.writer.commits == self._commits else 0.0
        return monotonic() < max(until, self._until_commit)

    def _count_of_ended_jobs(self) -> int:
        return self._owner.service.ended.total()
