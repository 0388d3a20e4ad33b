"""Path filters: shell globs over raw path bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexing.search.errors import BadRequest
from indexing.sources.wildmatch import literal_length, to_regex

MAX_GLOB_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Which paths may be found."""

    accepts: Callable[[bytes], bool]
    prefixes: tuple[bytes, ...]
    """every accepted path begins with one of them"""


def path_filter(globs: Sequence[str]) -> PathFilter | None:
    """The filter that accepts what any of the globs matches; None when there are none.

    Globs mean what they mean in a gitignore file: ``*`` and ``?`` stay within a component, ``**`` crosses them, a glob
    without ``/`` matches a name at any depth, and what matches a directory matches everything under it.
    Raises BadRequest for a glob that can match nothing.
    """
    if not globs:
        return None
    anchored: list[re.Pattern[bytes]] = []
    names: list[re.Pattern[bytes]] = []
    prefixes: list[bytes] = []
    for glob in globs:
        raw = glob.removeprefix("./").lstrip("/").rstrip("/").encode("utf-8", "surrogateescape")
        rooted = b"/" in raw or glob.startswith(("/", "./"))
        regex = to_regex(raw, pathname=rooted) if 0 < len(raw) <= MAX_GLOB_BYTES and b"\0" not in raw else None
        if regex is None:
            raise BadRequest(f"the path filter {glob[:80]!r} can match nothing; its limit is {MAX_GLOB_BYTES} bytes")
        (anchored if rooted else names).append(re.compile(regex, re.DOTALL))
        prefixes.append(raw[: literal_length(raw)] if rooted else b"")

    def accepts(path: bytes) -> bool:
        if any(pattern.match(each) for pattern in anchored for each in _with_parents(path)):
            return True
        return any(pattern.match(each) for pattern in names for each in path.split(b"/"))

    return PathFilter(accepts, tuple(dict.fromkeys(prefixes)))


def _with_parents(path: bytes) -> Iterator[bytes]:
    yield path
    at = path.rfind(b"/")
    while at > 0:
        yield path[:at]
        at = path.rfind(b"/", 0, at)
