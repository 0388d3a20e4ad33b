"""How far a job has come: counters the work keeps anyway, read as one snapshot by whoever wants to show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeAlias

from storage import Tally

if TYPE_CHECKING:
    from indexing.vectorize.records import VectorProgress
    from storage import FailReason, SkipReason

Stage: TypeAlias = Literal["recovering", "indexing", "finishing", "done"]


@dataclass(frozen=True, slots=True)
class FileNote:
    """Why a file was left out or failed."""

    path: bytes
    outcome: Literal["skipped", "failed"]
    reason: SkipReason | FailReason
    detail: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """One snapshot; ``tally.seen`` counts files (and skipped directories, one each)."""

    stage: Stage
    tally: Tally
    skipped: dict[str, int]
    """{reason: files}"""
    failed: dict[str, int]
    """{reason: files}"""
    to_read: int
    """files that have to be read, as far as the scan has come"""
    read: int
    scanned: bool
    """whether the scan is complete, so that ``to_read`` is final"""
    chunks: int
    """new chunks committed"""
    bytes_read: int
    """bytes of the files that were read and committed"""
    searchable_chunks: int
    """of ``chunks``, those in the text index"""
    seconds: float
    waiting: str
    """why nothing moves; empty while it does"""
    vectors: VectorProgress | None = None
    """of the whole collection, not of this job alone; None where no vectors are made"""


@dataclass(slots=True)
class Counters:
    """What a job counts while it runs. Only the event loop touches it."""

    stage: Stage = "indexing"
    seen: int = 0
    indexed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    to_read: int = 0
    read: int = 0
    scanned: bool = False
    chunks: int = 0
    bytes_read: int = 0
    searchable_chunks: int = 0
    waiting: str = ""
    notes: list[FileNote] = field(default_factory=list)
    started: float = field(default_factory=monotonic)

    MOST_NOTES = 10_000

    def note(self, note: FileNote) -> None:
        """Count a file that was left out or failed, and keep why."""
        counts = self.skipped if note.outcome == "skipped" else self.failed
        counts[note.reason] = counts.get(note.reason, 0) + 1
        if len(self.notes) < self.MOST_NOTES:
            self.notes.append(note)

    def tally(self) -> Tally:
        """Return the sums."""
        return Tally(
            seen=self.seen,
            indexed=self.indexed,
            unchanged=self.unchanged,
            skipped=sum(self.skipped.values()),
            failed=sum(self.failed.values()),
            removed=self.removed,
        )

    def snapshot(self) -> Progress:
        """Return the counters as they are."""
        return Progress(
            stage=self.stage,
            tally=self.tally(),
            skipped=dict(self.skipped),
            failed=dict(self.failed),
            to_read=self.to_read,
            read=self.read,
            scanned=self.scanned,
            chunks=self.chunks,
            bytes_read=self.bytes_read,
            searchable_chunks=self.searchable_chunks,
            seconds=monotonic() - self.started,
            waiting=self.waiting,
        )
