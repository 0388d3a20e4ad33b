"""What a running job may begin: nothing while it is paused or stopping, one batch at a time once it is sequential."""

from __future__ import annotations

import asyncio

import structlog

log = structlog.get_logger(__name__)

MOST_DEATHS = 3
"""Workers that a job may lose before it goes on with one alone."""


class Gate:
    """One job's switches. Whoever works for the job looks at them before it takes more work."""

    def __init__(self) -> None:
        """Everything may begin."""
        self.is_stopping = False
        self.is_sequential = False
        """Whether one task alone works, because the parallel way has failed."""
        self.are_several = False
        """Whether several workers are let work: what they can do for the owner's process, they do."""
        self.paused = ""
        """Why nothing new is begun; empty while something may be."""
        self.held_back = ""
        """Why no new batches are planned; empty while they are."""
        self.warnings: list[str] = []
        self._deaths = 0
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether new work may be begun. A job that is stopping takes what is queued, to drop it."""
        return not self.paused or self.is_stopping

    async def opened(self) -> None:
        """Wait until new work may be begun."""
        while not self.is_open:
            self._changed.clear()
            await self._changed.wait()

    def pause(self, reason: str) -> None:
        """Begin nothing new until `resume`."""
        self.paused = reason

    def resume(self) -> None:
        """Begin new work again."""
        self.paused = ""
        self._changed.set()

    def hold_back(self, reason: str) -> None:
        """Plan no new batches for ``reason``; plan them again where it is empty."""
        self.held_back = reason
        self._changed.set()

    async def may_plan(self) -> None:
        """Wait until new batches may be planned."""
        while self.held_back and not self.is_stopping:
            self._changed.clear()
            await self._changed.wait()

    def stop(self) -> None:
        """Begin nothing new any more."""
        self.is_stopping = True
        self._changed.set()

    def count_death(self) -> None:
        """Count a worker that died; from the third on the job goes on sequentially."""
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            self.go_on_sequentially(f"{self._deaths} worker processes died")

    def go_on_sequentially(self, reason: str) -> None:
        """Let one task alone do what is left, and say so once."""
        if self.is_sequential:
            return
        self.is_sequential = True
        if self.are_several:
            self.warnings.append(f"went on with one worker process: {reason}")
            log.warning("job.sequential", reason=reason)
