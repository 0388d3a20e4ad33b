"""What of a source tree is wanted: the settings of a scan, checked when they are made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal, TypeAlias

from indexing.sources.errors import BadGlob
from indexing.sources.ignore import parse_line

Policy: TypeAlias = Literal["auto", "skip", "index"]

MAX_GLOBS: Final = 1_000
MAX_GLOB_CHARS: Final = 1_000
MAX_DOUBLE_STARS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which files are indexed.

    A policy of ``auto`` indexes the files that git tracks and skips the others; for minified files and secrets, which
    people commit by mistake, it skips both. Raises `BadGlob` for globs outside the limits.
    """

    include: tuple[str, ...] = ()
    """gitignore syntax; when not empty, only files that match are indexed."""
    exclude: tuple[str, ...] = ()
    """gitignore syntax; wins over everything else, also over what git tracks."""
    max_file_bytes: int = 1_048_576
    vendored: Policy = "auto"
    generated: Policy = "auto"
    hidden: Policy = "auto"
    minified: Policy = "auto"
    secrets: Policy = "auto"
    use_git: bool = True
    other_roots: frozenset[bytes] = field(default_factory=frozenset)
    """Absolute paths of other registered repositories; those inside the root are not entered."""

    def __post_init__(self) -> None:
        for name, globs in (("include", self.include), ("exclude", self.exclude)):
            check_globs(globs, name)

    def fingerprint(self) -> str:
        """Sixteen hex digits that are equal, on every machine, exactly when all settings are equal."""
        values = asdict(self) | {"other_roots": sorted(root.hex() for root in self.other_roots)}
        canonical = json.dumps(values, sort_keys=True, ensure_ascii=True).encode("ascii")
        return hashlib.blake2b(canonical, digest_size=8).hexdigest()


def check_globs(globs: tuple[str, ...], name: str) -> None:
    """Raises `BadGlob`, naming the glob, the limit and ``name``, the setting that holds them."""
    if len(globs) > MAX_GLOBS:
        message = f"{name} has {len(globs)} globs; at most {MAX_GLOBS} are allowed: use directories instead of files"
        raise BadGlob(message)
    for glob in globs:
        problem = ""
        if len(glob) > MAX_GLOB_CHARS:
            problem = f"is {len(glob)} characters long; at most {MAX_GLOB_CHARS} are allowed"
        elif glob.count("**") > MAX_DOUBLE_STARS:
            problem = f"has {glob.count('**')} times '**'; at most {MAX_DOUBLE_STARS} are allowed"
        elif "\n" in glob or "\0" in glob:
            problem = "holds a line break or NUL; write one glob per entry"
        elif parse_line(glob.encode("utf-8", "surrogateescape"), 1) is None:
            problem = "is empty or a comment; remove it"
        if problem:
            message = f"{name} glob {_shortened(glob)!r} {problem}"
            raise BadGlob(message)


def _shortened(glob: str) -> str:
    return glob if len(glob) <= 100 else glob[:97] + "..."
