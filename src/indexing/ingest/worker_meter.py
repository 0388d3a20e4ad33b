"""What the workers of a pool have done, counted where their answers arrive and timed where they work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexing.ingest.messages import FileReport


@dataclass(slots=True)
class WorkerMeter:
    """One place in the pool; the processes that took it one after the other count together."""

    number: int
    files: int = 0
    chunks: int = 0
    bytes: int = 0
    """of the files that were read and cut"""
    failures: int = 0
    busy_seconds: float = 0.0
    """that the processes themselves spent on files"""
    starts: int = 0
    deaths: int = 0
    """processes that ended, or had to be ended, with a file in hand"""

    def count(self, report: FileReport) -> None:
        """Count an answer."""
        self.files += 1
        self.busy_seconds += report.busy_seconds
        self.failures += report.failure is not None
        version = report.version
        if version is not None and version.cut is not None:
            self.bytes += version.stat.size
            self.chunks += len(version.cut.chunks)
