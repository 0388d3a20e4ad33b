"""The part of a tree that a scan is about: some files and directories, or all of it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Extent:
    """Some paths of a tree and what lies below them; ``Extent(None)`` is the whole tree."""

    def __init__(self, paths: Iterable[bytes] | None) -> None:
        """Take paths relative to the root, of files or directories, whether they are there or not."""
        self._paths = None if paths is None else frozenset(paths)
        self._sorted = sorted(self._paths or ())

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self._paths is None

    @property
    def paths(self) -> tuple[bytes, ...] | None:
        """The paths, sorted; None is the whole tree."""
        return None if self._paths is None else tuple(self._sorted)

    def covers(self, path: bytes) -> bool:
        """Return whether a path is one of these, or lies below one."""
        if self._paths is None or path in self._paths:
            return True
        at = path.rfind(b"/")
        while at > 0:
            if path[:at] in self._paths:
                return True
            at = path.rfind(b"/", 0, at)
        return False

    def leads_to(self, directory: bytes) -> bool:
        """Return whether a directory holds something of this, or is part of it."""
        if self.covers(directory) or not directory:
            return True
        below = directory + b"/"
        at = bisect_left(self._sorted, below)
        return at < len(self._sorted) and self._sorted[at].startswith(below)
