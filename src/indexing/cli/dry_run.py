"""``codetrove index --dry-run``: what a run would do with each file, and why; reads, writes nothing, needs no lock."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from indexing.cli.exits import ExitCode
from indexing.cli.index_summary import SUMMARY_SCHEMA
from indexing.cli.terminal import say_json, say_result
from indexing.ingest.plan import decide, fate_of_missing
from indexing.printable import printable
from indexing.roots import look_at_root, rules_for
from indexing.sources import Scan, Skipped, Unreadable, display, path_b64, still_there
from storage import CatalogMissing, DataDirectory, open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from indexing.settings import Settings
    from indexing.sources import Finding, Rules
    from storage import KnownFile, Repository

Action: TypeAlias = Literal["read", "unchanged", "skipped", "failed", "removed"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What would happen to a path."""

    path: bytes
    action: Action
    reason: str = ""
    directory: bool = False

    def line(self) -> str:
        """Return it for people."""
        name = display(self.path) + ("/" if self.directory else "")
        return f"{self.action:9} {name}" + (f"  ({printable(self.reason)})" if self.reason else "")

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "path": display(self.path),
            "path_b64": path_b64(self.path),
            "action": self.action,
            "reason": self.reason,
            "directory": self.directory,
        }


async def list_decisions(settings: Settings, path: Path, *, as_json: bool) -> ExitCode:
    """Print a line a file (or one JSON object); returns the exit code."""
    root = await asyncio.to_thread(look_at_root, path)
    directory = DataDirectory(settings.storage.data_dir)
    known: dict[bytes, KnownFile] = {}
    repositories: Sequence[Repository] = ()
    repository: Repository | None = None
    async with AsyncExitStack() as stack:
        try:
            reader = await stack.enter_async_context(open_reader(directory.catalog))
        except CatalogMissing:
            pass
        else:
            repositories = await reader.repositories()
            repository = next((each for each in repositories if each.root.path == root.path), None)
            if repository is not None:
                known = await reader.known_files(repository.snapshot_id)
    rules = rules_for(settings, root.path, [each.root.path for each in repositories], directory.path)
    same = repository is not None and repository.rules == rules.fingerprint()
    resolved = Path(os.fsdecode(root.path))
    decided = await asyncio.to_thread(lambda: list(_decisions(Scan(resolved, rules), rules, known, same_rules=same)))
    counts = Counter(each.action for each in decided)
    if as_json:
        files = [each.to_json() for each in decided]
        say_json({"schema": SUMMARY_SCHEMA, "root": display(root.path), "counts": dict(counts), "files": files})
    else:
        for each in decided:
            say_result(each.line())
        say_result(", ".join(f"{count:,} {action}" for action, count in sorted(counts.items())) or "nothing is there")
    return ExitCode.OK


def _decisions(scan: Scan, rules: Rules, known: Mapping[bytes, KnownFile], *, same_rules: bool) -> Iterator[Decided]:
    unseen, unreadable = dict(known), []
    for finding in scan:
        before = None if isinstance(finding, Skipped) else unseen.pop(finding.path, None)
        if isinstance(finding, Unreadable) and finding.directory:
            unreadable.append(finding.path + b"/" if finding.path else b"")
        yield _decided(finding, before, rules.fingerprint(), same_rules=same_rules)
    uncertain = scan.git == "refused" or bool(scan.unreadable_ignores)
    root_fd = os.open(scan.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in sorted(unseen):
            if path.startswith(tuple(unreadable)):
                continue
            fate = fate_of_missing(still_there(root_fd, path), ignores_uncertain=uncertain)
            if fate != "keep":
                yield Decided(path, "removed", fate)
    finally:
        os.close(root_fd)


def _decided(finding: Finding, known: KnownFile | None, rules: str, *, same_rules: bool) -> Decided:
    if isinstance(finding, Skipped):
        return Decided(finding.path, "skipped", f"{finding.reason}: {finding.detail}", finding.directory)
    if isinstance(finding, Unreadable):
        return Decided(finding.path, "failed", f"{finding.error}: {finding.message}", finding.directory)
    match decide(finding.stat, known, rules=rules, same_rules=same_rules):
        case "unchanged":
            return Decided(finding.path, "unchanged")
        case "excluded":
            return Decided(finding.path, "skipped", f"{known.excluded}: as before" if known is not None else "")
        case "read":
            return Decided(finding.path, "read", "new" if known is None else "may have changed")
