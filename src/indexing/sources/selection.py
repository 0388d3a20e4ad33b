"""Decides what is wanted of a tree, entry by entry: pure but for what the caller has read already.

Order of the decisions, first one wins: kind of entry, other repositories, exclude and include globs,
``.codetroveignore`` (which people write for this index, so it also excludes what git tracks, and ``!`` in it overrides
git's ignore files), git's ignore files (never for what git tracks), the policies on names, the size.
"""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from indexing.sources.classify import Verdict, directory_traits, name_traits, verdict
from indexing.sources.findings import Found, Skipped
from indexing.sources.ignore import Chain, IgnoreFile
from indexing.sources.known_names import VERSION_CONTROL
from storage import Stat

if TYPE_CHECKING:
    from indexing.sources.rules import Rules
    from indexing.sources.surroundings import Repository
    from storage import SkipReason

MAX_PATH_BYTES: Final = 4_096
"""PATH_MAX of Linux: what is longer nobody else can open either."""

Reason: TypeAlias = tuple["SkipReason", str]


@dataclass(frozen=True, slots=True)
class Level:
    """What applies to the entries of one directory."""

    repository: Repository
    git: Chain | None = None
    """None outside of a git working tree: there no ``.gitignore`` applies."""
    own: Chain = field(default_factory=Chain)
    traits: int = 0
    """Traits that the directory and those above it give to what is below (see `known_names`)."""
    included: bool = False
    """An include glob matches the directory, and so everything below it."""
    only_tracked: Reason | None = None
    """Why only what git tracks is wanted here: the directory itself is ignored."""


class Selection:
    """The rules of a scan, made ready for many decisions."""

    def __init__(self, rules: Rules, real_root: bytes) -> None:
        """``real_root`` is the absolute path of the root without symbolic links."""
        self.rules = rules
        self._exclude = IgnoreFile(_lines(rules.exclude), "exclude")
        self._include = IgnoreFile(_lines(rules.include), "include")
        start = real_root.rstrip(b"/") + b"/"
        self._other_roots = frozenset(
            other[len(start) :].rstrip(b"/") for other in rules.other_roots if other.startswith(start)
        )
        self._verdicts: dict[tuple[int, bool], Verdict] = {}

    def directory(self, level: Level, path: bytes, name: bytes) -> Level | Skipped:
        """Whether to enter a directory: what applies in it (before its own ignore files are read), or why not."""
        reason = self._directory_reason(level, path, name)
        if reason is not None:
            return Skipped(path, *reason, directory=True)
        holds_tracked = level.repository.holds_tracked(path)
        only_tracked = level.only_tracked
        if only_tracked is None:
            only_tracked = _ignored(level, path, name, directory=True)
        if only_tracked is not None and not holds_tracked:
            return Skipped(path, *only_tracked, directory=True)
        traits = level.traits | directory_traits(name)
        judged = self.judge(traits, tracked=holds_tracked)
        if judged.skip is not None:
            return Skipped(path, judged.skip, judged.detail, directory=True)
        included = level.included or (bool(self._include) and _matches(self._include, path, name, directory=True))
        return replace(level, traits=traits, included=included, only_tracked=only_tracked)

    def file(self, level: Level, path: bytes, name: bytes, stat: os.stat_result) -> Found | Skipped:
        """Whether to index something that is no directory."""
        tracked = level.repository.tracks(path)
        reason = self._file_reason(level, path, name, stat) or self._ignored_file(level, path, name, tracked=tracked)
        if reason is not None:
            return Skipped(path, *reason, directory=False)
        judged = self.judge(level.traits | name_traits(name), tracked=tracked)
        if judged.skip is not None:
            return Skipped(path, judged.skip, judged.detail, directory=False)
        size = stat.st_size
        if size > self.rules.max_file_bytes:
            detail = f"{size} bytes; max_file_bytes is {self.rules.max_file_bytes}"
            return Skipped(path, "too_large", detail, directory=False)
        return Found(path, Stat(size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino), tracked, judged.flags)

    def judge(self, traits: int, *, tracked: bool) -> Verdict:
        """The verdict on traits, remembered: a tree has few different ones."""
        known = self._verdicts.get((traits, tracked))
        if known is None:
            known = self._verdicts[traits, tracked] = verdict(traits, self.rules, tracked=tracked)
        return known

    def _directory_reason(self, level: Level, path: bytes, name: bytes) -> Reason | None:
        if name in VERSION_CONTROL:
            return "hidden", "data of a version control system"
        if len(path) > MAX_PATH_BYTES:
            return "unsupported_name", f"path of {len(path)} bytes; at most {MAX_PATH_BYTES} are supported"
        if path in self._other_roots:
            return "other_repository", "registered as a repository of its own"
        return self._excluded(level, path, name, directory=True)

    def _file_reason(self, level: Level, path: bytes, name: bytes, stat: os.stat_result) -> Reason | None:
        if modes.S_ISLNK(stat.st_mode):
            return "symlink", "links are not followed"
        if not modes.S_ISREG(stat.st_mode):
            return "special_file", "no regular file"
        if len(path) > MAX_PATH_BYTES:
            return "unsupported_name", f"path of {len(path)} bytes; at most {MAX_PATH_BYTES} are supported"
        if name == b".git":
            return "hidden", "data of a version control system"
        reason = self._excluded(level, path, name, directory=False)
        if reason is not None:
            return reason
        if self._include and not level.included and not _matches(self._include, path, name, directory=False):
            return "excluded", "no include glob matches"
        return None

    def _ignored_file(self, level: Level, path: bytes, name: bytes, *, tracked: bool) -> Reason | None:
        return None if tracked else level.only_tracked or _ignored(level, path, name, directory=False)

    def _excluded(self, level: Level, path: bytes, name: bytes, *, directory: bool) -> Reason | None:
        if self._exclude:
            pattern = self._exclude.match(path, name, directory=directory)
            if pattern is not None and not pattern.negated:
                return "excluded", f"exclude glob {pattern.text()}"
        own = level.own.decide(path, name, directory=directory) if level.own.links else None
        if own is not None and not own[1].negated:
            return "excluded", f"{own[0].source}:{own[1].line}: {own[1].text()}"
        return None


def _ignored(level: Level, path: bytes, name: bytes, *, directory: bool) -> Reason | None:
    if level.git is None or not level.git.links:
        return None
    decision = level.git.decide(path, name, directory=directory)
    if decision is None or decision[1].negated:
        return None
    if level.own.links and level.own.decide(path, name, directory=directory) is not None:
        return None  # only a negated pattern gets here
    return "ignored", f"{decision[0].source}:{decision[1].line}: {decision[1].text()}"


def _matches(file: IgnoreFile, path: bytes, name: bytes, *, directory: bool) -> bool:
    pattern = file.match(path, name, directory=directory)
    return pattern is not None and not pattern.negated


def _lines(globs: tuple[str, ...]) -> bytes:
    return os.fsencode("\n".join(globs))
