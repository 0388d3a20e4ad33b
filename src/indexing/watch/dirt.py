"""Which paths of a tree may have changed since they were last looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE_TREE: Final = b""
"""As a dirty path: everything."""


@dataclass(frozen=True, slots=True)
class Dirt:
    """Files and directories, relative to the root; a directory stands for all that is below it."""

    paths: frozenset[bytes] = frozenset()
    is_whole: bool = False

    def __bool__(self) -> bool:
        """Whether anything is dirty."""
        return self.is_whole or bool(self.paths)

    def with_paths(self, paths: Iterable[bytes], most: int) -> Dirt:
        """Return this and ``paths``; more than ``most`` are the whole tree, which one scan answers for."""
        if self.is_whole:
            return self
        joined = self.paths.union(paths)
        return WHOLE if WHOLE_TREE in joined or len(joined) > most else Dirt(joined)

    def joined(self, other: Dirt, most: int) -> Dirt:
        """Return what is dirty in either."""
        return WHOLE if other.is_whole else self.with_paths(other.paths, most)

    @property
    def count(self) -> int:
        """How many paths; the whole tree counts one."""
        return 1 if self.is_whole else len(self.paths)

    @property
    def job_paths(self) -> tuple[bytes, ...] | None:
        """What a job about this is about; None is the whole tree."""
        return None if self.is_whole else tuple(sorted(self.paths))


CLEAN: Final = Dirt()
WHOLE: Final = Dirt(is_whole=True)


def lies_below(path: bytes, directories: frozenset[bytes]) -> bool:
    """Whether a path is below one of some directories; a directory is not below itself."""
    at = path.rfind(b"/")
    while at > 0:
        if path[:at] in directories:
            return True
        at = path.rfind(b"/", 0, at)
    return False
