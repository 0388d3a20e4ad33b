"""What others see of the watching: how it stands with a repository, and what is still to be indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

WatchMode: TypeAlias = Literal["events", "scan", "off"]


@dataclass(frozen=True, slots=True)
class WatchState:
    """How one repository is watched."""

    mode: WatchMode
    """``events``: the system tells of changes; ``scan``: the tree is looked through again and again; ``off``."""
    dirty: int = 0
    """Paths, of files or of directories with all below them, that no job has been handed in for; the tree counts 1."""
    problem: str = ""
    """What is in the way, and what is done about it; empty where nothing is."""
    events: int = 0
    """Changes that were heard of since the start."""
    overflows: int = 0
    """Times that events were lost, or may have been; each made the whole tree dirty."""
    scanned_at: float | None = None
    """Seconds since 1970 at the end of the last job about the whole tree; None before the first."""


OFF = WatchState("off")


@dataclass(frozen=True, slots=True)
class Pending:
    """A repository with changes that are not searchable yet."""

    repository: str
    """uuid"""
    files: int | None
    """Changed paths, as far as they are known; None where it is the whole tree."""
