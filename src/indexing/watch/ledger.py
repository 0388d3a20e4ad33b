"""What is known of one tree between its changes and the jobs about them: mutable, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexing.watch.dirt import CLEAN, WHOLE, Dirt, lies_below
from indexing.watch.timing import due

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.watch.changes import Heard


@dataclass(slots=True)
class Ledger:
    """What is dirty, since when, and which directories are not listened to."""

    quiet_seconds: float
    most_paths: int
    dirt: Dirt = CLEAN
    first: float = 0.0
    """when the first of the dirty paths came"""
    last: float = 0.0
    in_hand: Dirt = CLEAN
    """what the job that runs is about"""
    uncovered: set[bytes] = field(default_factory=set)
    """new directories in which changes are not told yet"""
    quiet: frozenset[bytes] = frozenset()
    """directories that the last job about them left out, with everything below"""
    events: int = 0
    overflows: int = 0

    def hear(self, heard: Heard, now: float) -> None:
        """Take in what some events amount to."""
        self.events += heard.events
        self.overflows += heard.is_lossy
        self.uncovered |= heard.new_directories
        self.soil(WHOLE if heard.is_lossy else heard.dirt, now)

    def soil(self, dirt: Dirt, now: float) -> None:
        """Add to what is dirty."""
        if not dirt:
            return
        if not self.dirt:
            self.first = now
        self.last = now
        self.dirt = self.dirt.joined(dirt, self.most_paths)

    def due(self) -> float | None:
        """Return when a job about the dirty paths has to be handed in; None where there are none."""
        if not self.dirt:
            return None
        return due(self.first, self.last, self.quiet_seconds, is_whole=self.dirt.is_whole)

    def take(self) -> Dirt:
        """Return what is dirty for a job about it, whose it is from now on."""
        self.in_hand, self.dirt = self.dirt, CLEAN
        return self.in_hand

    def learn(self, looked_at: Dirt, left_out: Iterable[bytes]) -> frozenset[bytes]:
        """Note which directories a job left out; returns those that are indexed now and were not before."""
        left = frozenset(left_out)
        if looked_at.is_whole:
            former, kept = self.quiet, frozenset[bytes]()
        else:
            former = frozenset(each for each in self.quiet if _is_part(each, looked_at.paths))
            kept = self.quiet - former
        self.quiet = kept | left
        return frozenset(each for each in former - left if not lies_below(each, self.quiet))


def _is_part(path: bytes, of: frozenset[bytes]) -> bool:
    return path in of or lies_below(path, of)
