"""The threads of a local store. Each does one kind of work, so that what it works on needs no lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Threads:
    """One thread each."""

    vectors: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "vectors"))
    """owns the state in memory: searches, upserts, deletions"""
    files: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "vectors-files"))
    """opens, drops, markers"""
    builds: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "vectors-builds"))
    """writes bases"""

    def shut_down(self) -> None:
        """Wait for what runs, then end."""
        for each in (self.builds, self.files, self.vectors):
            each.shutdown()


async def in_thread(executor: ThreadPoolExecutor, job: Callable[[], Result]) -> Result:
    """Run a job in the executor's thread; a caller that is cancelled does not stop it."""
    return await asyncio.get_running_loop().run_in_executor(executor, job)
