"""What a change in a tree makes dirty: pure decisions over raw paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from indexing.sources.known_names import VERSION_CONTROL
from indexing.sources.surroundings import GITIGNORE
from indexing.sources.walk import OWN_IGNORE
from indexing.watch.dirt import CLEAN, WHOLE_TREE, Dirt, lies_below

if TYPE_CHECKING:
    from collections.abc import Iterable

ChangeKind: TypeAlias = Literal["added", "modified", "deleted"]

GIT: Final = b".git"
GIT_INFO: Final = b"info"
_EXCLUDE_FILE: Final = (GIT, GIT_INFO, b"exclude")
_SPEAK_FOR_THEIR_DIRECTORY: Final = frozenset({GITIGNORE, OWN_IGNORE, b"pyvenv.cfg", b"CACHEDIR.TAG"})
"""Files that decide whether what lies beside and below them is indexed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event of the system."""

    kind: ChangeKind
    path: bytes
    """absolute"""
    is_directory: bool = False
    """whether a directory is there now"""


@dataclass(frozen=True, slots=True)
class Territory:
    """A tree, and what lies in it without being part of it."""

    root: bytes
    """absolute, no slash at the end"""
    others: tuple[bytes, ...] = ()
    """absolute directories: the data directory, the roots of other repositories"""

    def relative(self, path: bytes) -> bytes | None:
        """Return an absolute path relative to the root (``b""`` is the root); None for what is not of the tree."""
        if path == self.root:
            return WHOLE_TREE
        start = self.root.rstrip(b"/") + b"/"
        if not path.startswith(start) or any(path == other or path.startswith(other + b"/") for other in self.others):
            return None
        return path[len(start) :]

    def absolute(self, path: bytes) -> bytes:
        """Return a path of the tree as an absolute one."""
        return self.root.rstrip(b"/") + b"/" + path if path else self.root


@dataclass(frozen=True, slots=True)
class Heard:
    """What some events amount to."""

    dirt: Dirt = CLEAN
    new_directories: frozenset[bytes] = frozenset()
    """Directories that have just appeared, about whose content no event was promised."""
    events: int = 0
    is_lossy: bool = False
    """Whether more may have happened than was told."""
    has_lost_root: bool = False
    """Whether the root itself was removed or moved."""


def hear(changes: Iterable[Change], territory: Territory, quiet: frozenset[bytes], most: int) -> Heard:
    """Return what changes make dirty; those below a ``quiet`` directory, which is not indexed, nothing."""
    dirty: set[bytes] = set()
    new: set[bytes] = set()
    events = 0
    has_lost_root = False
    for change in changes:
        events += 1
        if change.path == territory.root and change.kind == "deleted":
            has_lost_root = True
        path = made_dirty(change, territory)
        if path is None or lies_below(path, quiet):
            continue
        dirty.add(path)
        if change.is_directory and change.kind == "added" and path != WHOLE_TREE:
            new.add(path)
    return Heard(CLEAN.with_paths(dirty, most), frozenset(new), events, has_lost_root=has_lost_root)


def made_dirty(change: Change, territory: Territory) -> bytes | None:
    """Return the path that one change makes dirty, ``b""`` for the whole tree, None where it means nothing.

    What version control systems keep for themselves means nothing, with two exceptions: where ``.git`` appears or goes,
    and with a new ``.git/info/exclude``, other files may be wanted beside it. The same goes for ignore files.
    """
    path = territory.relative(change.path)
    if path is None:
        return None
    parts = path.split(b"/")
    internal = next((number for number, part in enumerate(parts) if part in VERSION_CONTROL), None)
    if internal is not None:
        tail = tuple(parts[internal:])
        speaks = tail == _EXCLUDE_FILE or (tail == (GIT,) and change.kind != "modified")
        return b"/".join(parts[:internal]) if speaks else None
    if parts[-1] in _SPEAK_FOR_THEIR_DIRECTORY:
        return b"/".join(parts[:-1])
    return path
