"""The scan side of a job: walks the tree in a thread, decides about each file, finds out what is gone."""

from __future__ import annotations

import asyncio
import os
from itertools import islice
from typing import TYPE_CHECKING

from indexing.ingest.messages import FileTask
from indexing.ingest.plan import decide, fate_of_missing
from indexing.ingest.progress import FileNote
from indexing.sources import Found, RootVanished, Skipped, Unreadable, display, identify, still_there
from storage import POISON_DEATHS, Place, Removal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from indexing.ingest.progress import Counters
    from indexing.sources import Presence, Rules, Scan
    from storage import KnownFile, Reader, Repository, Stat

FINDINGS_A_HOP = 512
"""Findings taken from the walking thread at once: a hop costs about 50 µs."""


class TreeScan:
    """One scan of one repository, held against what the catalog knows."""

    def __init__(self, scan: Scan, rules: Rules, repository: Repository, counters: Counters) -> None:
        """Prepare; ``scan`` has not begun."""
        self._scan = scan
        self.rules = rules.fingerprint()
        self._same_rules = repository.rules == self.rules
        self._snapshot_id = repository.snapshot_id
        self._counters = counters
        self._known: dict[bytes, KnownFile] = {}
        self._poisoned: dict[bytes, Stat] = {}
        self._unreadable: list[bytes] = []
        self._left_out: dict[bytes, str] = {}

    async def tasks(self, reader: Reader) -> AsyncIterator[list[FileTask]]:
        """Walk the tree; yield what must be read, as it is found."""
        self._known = await reader.known_files(self._snapshot_id, self._scan.extent.paths)
        self._poisoned = await reader.poisoned(self._snapshot_id, POISON_DEATHS)
        findings = iter(self._scan)
        while page := await asyncio.to_thread(lambda: list(islice(findings, FINDINGS_A_HOP))):
            tasks = [task for finding in page if (task := self._judge(finding)) is not None]
            self._counters.to_read += len(tasks)
            yield tasks
        self._counters.scanned = True

    def _judge(self, finding: Found | Skipped | Unreadable) -> FileTask | None:
        counters = self._counters
        counters.seen += 1
        if isinstance(finding, Skipped):
            note = FileNote(finding.path, "skipped", finding.reason, finding.detail, finding.directory)
            counters.note(note)
            if finding.path in self._known:
                self._left_out[finding.path] = finding.reason
            return None
        known = self._known.pop(finding.path, None)
        if isinstance(finding, Unreadable):
            counters.note(FileNote(finding.path, "failed", finding.error, finding.message, finding.directory))
            if finding.directory:
                self._unreadable.append(finding.path)
            return None
        if self._poisoned.get(finding.path) == finding.stat:
            detail = f"ended its worker process {POISON_DEATHS} times; set aside until it changes"
            counters.note(FileNote(finding.path, "failed", "poison", detail))
            return None
        decision = decide(finding.stat, known, rules=self.rules, same_rules=self._same_rules)
        if decision == "unchanged":
            counters.unchanged += 1
            return None
        if decision == "excluded" and known is not None:
            counters.note(FileNote(finding.path, "skipped", known.excluded, "as before"))  # type: ignore[arg-type]
            return None
        place = Place(self._snapshot_id, finding.path, None if known is None else known.seq)
        return FileTask(place, finding.stat, finding.tracked, tuple(sorted(finding.flags)))

    async def removals(self) -> list[Removal]:
        """Return what has to go, once the scan is complete: known paths that it did not come across."""
        uncertain = self._scan.git == "refused" or bool(self._scan.unreadable_ignores)
        below = tuple(path + b"/" if path else b"" for path in self._unreadable)
        missing = [path for path in self._known if not path.startswith(below)] if below else list(self._known)
        presences = await asyncio.to_thread(_presences, self._scan, missing)
        removals: list[Removal] = []
        for path, presence in presences:
            fate = fate_of_missing(presence, ignores_uncertain=uncertain)
            if fate == "keep":
                continue
            reason = self._left_out.get(path, fate)
            removals.append(Removal(Place(self._snapshot_id, path, self._known[path].seq), reason))
        return removals


def _presences(scan: Scan, paths: Iterable[bytes]) -> list[tuple[bytes, Presence]]:
    try:
        root_fd = os.open(scan.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RootVanished(f"root {display(os.fsencode(scan.path))!r} is gone; nothing was removed") from error
    try:
        if identify(root_fd) != scan.root:
            raise RootVanished(f"root {display(os.fsencode(scan.path))!r} was replaced; nothing was removed")
        return [(path, still_there(root_fd, path)) for path in paths]
    finally:
        os.close(root_fd)
