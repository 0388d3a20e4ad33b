"""What passes between the owner and a worker process, in frames.

A batch goes in as one frame; its reports come back as one frame a file, so that the file a worker dies on is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import msgspec

from indexing.sources import Rules
from storage import Exclusion, Failure, FileVersion, Place, Stat

READY = b"ready"

CutMode: TypeAlias = Literal["syntax", "windows"]


@dataclass(frozen=True, slots=True)
class FileTask:
    """One file to read and cut."""

    place: Place
    stat: Stat
    """as the scan saw it"""
    tracked: bool
    flags: tuple[str, ...]
    """what the path alone says"""

    def with_seq(self, seq: int | None) -> FileTask:
        """Return the task with the entry's ``seq`` as it is now."""
        return replace(self, place=replace(self.place, expected_seq=seq))


@dataclass(frozen=True, slots=True)
class BatchTask:
    """Files of one repository for a worker, in order."""

    root: bytes
    repository_id: int
    rules: Rules
    files: tuple[FileTask, ...]
    mode: CutMode
    """``windows``: without parsing, for a file whose parsing killed a worker"""
    finish: bool = False
    """whether the worker does everything, and leaves nothing of a file's turn to the owner"""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a worker made of one file: one of ``version``, ``exclusion``, ``failure``, ``gone``."""

    version: FileVersion | None = None
    text: bytes | None = None
    """of a version that the owner is to finish"""
    exclusion: Exclusion | None = None
    failure: Failure | None = None
    gone: bool = False
    """the path no longer names a regular file"""
    busy_seconds: float = 0.0
    """that the worker spent on it"""

    def timed(self, seconds: float) -> FileReport:
        """Return the report with the time that it took."""
        return replace(self, busy_seconds=seconds)


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker needs once, before its first batch."""

    catalog: str
    cpu_seconds: int
    """CPU time that one file may take before the process is ended by SIGPROF"""
    zstd_level: int


decode_batch = msgspec.msgpack.Decoder(BatchTask).decode
decode_report = msgspec.msgpack.Decoder(FileReport).decode
decode_setup = msgspec.msgpack.Decoder(WorkerSetup).decode
