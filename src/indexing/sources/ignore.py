"""gitignore files: parsing, and the decision of a chain of them over one path, as git decides.

Syntax and precedence are those of gitignore(5): within a file the last match wins, files in deeper directories come
first, a pattern without a slash matches names at any depth, one with a slash is anchored at the file's directory.
That nothing below an excluded directory can be included again is up to the caller, who does not enter it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from indexing.sources.paths import display
from indexing.sources.wildmatch import literal_length, to_regex

MAX_LINE_BYTES: Final = 1_000
MAX_PATTERNS: Final = 10_000
MAX_IGNORE_FILE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of an ignore file."""

    glob: bytes
    """Without the marks for negation, directories and anchoring."""
    line: int
    negated: bool
    directory_only: bool
    name_only: bool
    """It has no slash, and is matched against the last component alone."""

    def text(self) -> str:
        """The pattern as it may be shown, canonical rather than verbatim."""
        anchor = "" if self.name_only or b"/" in self.glob else "/"
        return f"{'!' if self.negated else ''}{anchor}{display(self.glob)}{'/' if self.directory_only else ''}"


def parse_line(line: bytes, number: int) -> Pattern | None:
    """The pattern in one line (without its line break), or None for a blank line or a comment."""
    glob = _without_trailing_spaces(line.partition(b"\0")[0])
    if not glob or glob.startswith(b"#"):
        return None
    negated = glob.startswith(b"!")
    glob = glob[negated:]
    directory_only = glob.endswith(b"/")
    if directory_only:
        glob = glob[:-1]
    name_only = b"/" not in glob
    return Pattern(glob.removeprefix(b"/"), number, negated, directory_only, name_only)


class IgnoreFile:
    """The patterns of one file, arranged so that a path that matches none of them costs a few lookups."""

    __slots__ = ("_compiled", "_names", "_paths", "_patterns", "source", "warnings")

    def __init__(self, data: bytes, source: str) -> None:
        """``source`` names the file in reasons and warnings."""
        self.source = source
        self.warnings: list[str] = []
        self._patterns = self._parse(data)
        self._names = _Prefilter([p.glob for p in self._patterns if p.name_only], pathname=False)
        self._paths = _Prefilter([p.glob for p in self._patterns if not p.name_only], pathname=True)
        self._compiled: dict[int, re.Pattern[bytes] | None] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def match(self, path: bytes, name: bytes, *, directory: bool) -> Pattern | None:
        """The last pattern that matches ``path`` (relative to the file's directory; ``name`` is its last component)."""
        by_name = self._names.may_match(name)
        by_path = self._paths.may_match(path)
        if not (by_name or by_path):
            return None
        for index in range(len(self._patterns) - 1, -1, -1):
            pattern = self._patterns[index]
            if pattern.directory_only and not directory:
                continue
            if by_name if pattern.name_only else by_path:
                regex = self._regex(index)
                if regex is not None and regex.match(name if pattern.name_only else path):
                    return pattern
        return None

    def _regex(self, index: int) -> re.Pattern[bytes] | None:
        if index not in self._compiled:
            pattern = self._patterns[index]
            self._compiled[index] = _compile(to_regex(pattern.glob, pathname=not pattern.name_only))
        return self._compiled[index]

    def _parse(self, data: bytes) -> list[Pattern]:
        patterns: list[Pattern] = []
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            pattern = parse_line(line.removesuffix(b"\r"), number)
            if pattern is None:
                continue
            if len(line) > MAX_LINE_BYTES:
                self.warnings.append(
                    f"{self.source}:{number}: pattern of {len(line)} bytes dropped; at most {MAX_LINE_BYTES} are read"
                )
            elif len(patterns) == MAX_PATTERNS:
                self.warnings.append(f"{self.source}:{number}: only the first {MAX_PATTERNS} patterns are read")
                break
            else:
                patterns.append(pattern)
        return patterns


@dataclass(frozen=True, slots=True)
class Link:
    """One ignore file in a chain, and how paths of the scan are made relative to its directory."""

    file: IgnoreFile
    cut: int = 0
    """Bytes to take off the front of a path: the directory of a file below the root, with its slash."""
    prepend: bytes = b""
    """What to put there instead: the way from the directory of a file above the root down to the root."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The ignore files that apply in one directory, in the order of their precedence."""

    links: tuple[Link, ...] = ()

    def with_first(self, link: Link) -> Chain:
        """The chain in a directory that has an ignore file of its own."""
        return Chain((link, *self.links)) if link.file else self

    def decide(self, path: bytes, name: bytes, *, directory: bool) -> tuple[IgnoreFile, Pattern] | None:
        """The pattern that decides on a path (relative to the root of the scan), and its file; None if none does."""
        for link in self.links:
            relative = link.prepend + path[link.cut :]
            pattern = link.file.match(relative, name, directory=directory)
            if pattern is not None:
                return link.file, pattern
        return None


class _Prefilter:
    """Whether any of many globs can match: one set lookup, two tuple comparisons and at most one regex call."""

    __slots__ = ("_exact", "_prefixes", "_regex", "_suffixes")

    def __init__(self, globs: list[bytes], *, pathname: bool) -> None:
        exact: set[bytes] = set()
        suffixes: set[bytes] = set()
        prefixes: set[bytes] = set()
        regexes: set[bytes] = set()
        for glob in globs:
            plain = literal_length(glob)
            if plain == len(glob):
                exact.add(glob)
            elif glob[:1] == b"*" and literal_length(glob[1:]) == len(glob) - 1 and not pathname:
                suffixes.add(glob[1:])
            elif plain == len(glob) - 1 and glob[-1:] == b"*":
                prefixes.add(glob[:-1])
            else:
                regex = to_regex(glob, pathname=pathname)
                if regex is not None:
                    regexes.add(regex)
        self._exact = frozenset(exact)
        self._suffixes = tuple(suffixes)
        self._prefixes = tuple(prefixes)
        self._regex = _compile(b"|".join(sorted(regexes))) if regexes else None

    def may_match(self, subject: bytes) -> bool:
        """False only if none of the globs matches."""
        return (
            subject in self._exact
            or subject.endswith(self._suffixes)
            or subject.startswith(self._prefixes)
            or (self._regex is not None and self._regex.match(subject) is not None)
        )


def _compile(regex: bytes | None) -> re.Pattern[bytes] | None:
    return None if regex is None else re.compile(regex, re.DOTALL)


def _without_trailing_spaces(line: bytes) -> bytes:
    """Removes trailing spaces that no backslash protects (git removes no other white space)."""
    end = len(line)
    while end and line[end - 1 : end] == b" ":
        backslashes = 0
        while end - 2 - backslashes >= 0 and line[end - 2 - backslashes : end - 1 - backslashes] == b"\\":
            backslashes += 1
        if backslashes % 2:
            break
        end -= 1
    return line[:end]
