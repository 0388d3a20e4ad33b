"""Path filters: shell globs over raw path bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexing.search.errors import BadRequest
from indexing.sources.wildmatch import literal_length, to_regex

MAX_GLOB_BYTES: Final = 1_000
MAX_ALL_GLOBS_BYTES: Final = 10_000
"""Of one search: to prepare them takes some 7 ms for 1,000 bytes."""
MAX_STARS: Final = 256
"""Of one search: each run of stars may look at every byte of a path, and a search asks about every path there is."""

_STARS = re.compile(rb"\*+")


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
    Takes tens of milliseconds at its limits: call it from a thread. Raises BadRequest for a glob that can match nothing
    and beyond a limit.
    """
    if not globs:
        return None
    if sum(map(len, globs)) > MAX_ALL_GLOBS_BYTES:
        raise BadRequest(f"the path filters together are longer than {MAX_ALL_GLOBS_BYTES}; use fewer or shorter ones")
    anchored: list[bytes] = []
    names: list[bytes] = []
    prefixes: list[bytes] = []
    stars = 0
    for glob in globs:
        raw = glob.removeprefix("./").lstrip("/").rstrip("/").encode("utf-8", "surrogateescape")
        stars += len(_STARS.findall(raw))
        if stars > MAX_STARS:
            raise BadRequest(f"the path filters have more than {MAX_STARS} stars together; use fewer")
        rooted = b"/" in raw or glob.startswith(("/", "./"))
        regex = to_regex(raw, pathname=rooted) if 0 < len(raw) <= MAX_GLOB_BYTES and b"\0" not in raw else None
        if regex is None:
            raise BadRequest(f"the path filter {glob[:80]!r} can match nothing; its limit is {MAX_GLOB_BYTES} bytes")
        (anchored if rooted else names).append(regex)
        prefixes.append(raw[: literal_length(raw)] if rooted else b"")
    whole, part = _any_of(anchored), _any_of(names)

    def accepts(path: bytes) -> bool:
        if whole is not None and any(map(whole, _with_parents(path))):
            return True
        return part is not None and any(map(part, path.split(b"/")))

    return PathFilter(accepts, tuple(dict.fromkeys(prefixes)))


def _any_of(expressions: Sequence[bytes]) -> Callable[[bytes], object] | None:
    """One expression for all: to ask each of a hundred costs far more than the matching."""
    if not expressions:
        return None
    return re.compile(b"|".join(b"(?:%s)" % each for each in expressions), re.DOTALL).match


def _with_parents(path: bytes) -> Iterator[bytes]:
    yield path
    at = path.rfind(b"/")
    while at > 0:
        yield path[:at]
        at = path.rfind(b"/", 0, at)
