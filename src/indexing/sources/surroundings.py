"""What applies in a repository beside the ignore files in its directories: tracked files, info/exclude, ancestors."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from indexing.sources.errors import NotRegularFile
from indexing.sources.gitview import GitRefused, Worktree, find_worktree, tracked_files
from indexing.sources.ignore import MAX_IGNORE_FILE_BYTES, Chain, IgnoreFile, Link
from indexing.sources.paths import display
from indexing.sources.safe_open import DirectoryHandles, TooLarge, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

GITIGNORE: Final = b".gitignore"
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Repository:
    """One git repository within a scan (or the part of the tree that is in none)."""

    git: Literal["used", "absent", "refused"]
    refusal: str = ""
    tracked: frozenset[bytes] = frozenset()
    """Relative to the directory where the repository begins in the scan."""
    directories: frozenset[bytes] = frozenset()
    """The directories that hold tracked files."""
    cut: int = 0
    """Bytes to take off a path of the scan to make it relative to that directory."""

    def tracks(self, path: bytes) -> bool:
        """Whether git tracks the file at a path of the scan."""
        return path[self.cut :] in self.tracked

    def holds_tracked(self, path: bytes) -> bool:
        """Whether the directory at a path of the scan is a submodule or holds tracked files."""
        return path[self.cut :] in self.directories or path[self.cut :] in self.tracked


@dataclass(slots=True)
class Notes:
    """What a scan learns on its way that concerns it as a whole."""

    unreadable_ignores: list[bytes] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def look_up(root: Path, *, use_git: bool, cut: int = 0, ceiling: Path | None = None) -> Repository:
    """Asks git what it tracks below ``root``."""
    answer = tracked_files(root, ceiling=ceiling) if use_git else None
    if answer is None:
        return Repository("absent", cut=cut)
    if isinstance(answer, GitRefused):
        return Repository("refused", refusal=answer.reason, cut=cut)
    return Repository("used", tracked=answer, directories=_directories(answer), cut=cut)


def load_ignore_file(handles: DirectoryHandles, path: bytes, shown: bytes, notes: Notes) -> IgnoreFile | None:
    """The ignore file at ``path``, or None if there is none, or none that can be read (noted under ``shown``).

    As git does, a symbolic link is not taken for an ignore file.
    """
    try:
        fd = handles.open_file(path)
    except NotRegularFile:
        return None
    except OSError as error:
        if error.errno not in _ABSENT:
            notes.unreadable_ignores.append(shown)
            notes.warnings.append(f"ignore file {display(shown)!r} cannot be read: {error.strerror}")
        return None
    try:
        data = read_bounded(fd, MAX_IGNORE_FILE_BYTES)
    except OSError as error:
        notes.unreadable_ignores.append(shown)
        notes.warnings.append(f"ignore file {display(shown)!r} cannot be read: {error.strerror}")
        return None
    finally:
        os.close(fd)
    if isinstance(data, TooLarge):
        notes.unreadable_ignores.append(shown)
        notes.warnings.append(f"ignore file {display(shown)!r} has more than {data.limit} bytes and is not used")
        return None
    file = IgnoreFile(data, display(shown))
    notes.warnings.extend(file.warnings)
    return file


def outer_chain(root: Path, notes: Notes, *, directory: bytes = b"", ceiling: Path | None = None) -> Chain | None:
    """The ignore rules that come from outside ``root``: of the directories above it in its working tree, info/exclude.

    None when ``root`` is in no working tree, where a ``.gitignore`` has no meaning (ripgrep decides so too; Debian's
    kernel source, for one, ships one that ignores everything).
    ``directory`` is the path of ``root`` within the scan. When the rules exclude ``root`` itself they are left out:
    whoever asks for an ignored directory wants its files.
    """
    worktree = find_worktree(root, ceiling=ceiling)
    if worktree is None:
        return None
    cut = len(directory) + 1 if directory else 0
    below = os.fsencode(root.absolute().relative_to(worktree.top))
    parts = [] if below in {b"", b"."} else below.split(b"/")
    files = _ancestor_files(worktree, parts, notes)
    exclude = _exclude_file(worktree, notes)
    if exclude is not None:
        files.insert(0, (0, exclude))
    for end in range(1, len(parts) + 1):
        chain = Chain(
            tuple(Link(file, prepend=_path(parts[depth : end - 1])) for depth, file in reversed(files) if depth < end)
        )
        decision = chain.decide(parts[end - 1], parts[end - 1], directory=True)
        if decision is not None and not decision[1].negated:
            notes.warnings.append(f"the root is ignored by {decision[0].source}; the rules above the root are not used")
            return Chain()
    return Chain(tuple(Link(file, cut=cut, prepend=_path(parts[depth:])) for depth, file in reversed(files)))


def _ancestor_files(worktree: Worktree, parts: list[bytes], notes: Notes) -> list[tuple[int, IgnoreFile]]:
    files: list[tuple[int, IgnoreFile]] = []
    if not parts:
        return files
    with DirectoryHandles.open(worktree.top) as handles:
        for depth in range(len(parts)):
            path = _path(parts[:depth]) + GITIGNORE
            file = load_ignore_file(handles, path, b"../" * (len(parts) - depth) + GITIGNORE, notes)
            if file:
                files.append((depth, file))
    return files


def _exclude_file(worktree: Worktree, notes: Notes) -> IgnoreFile | None:
    try:
        with DirectoryHandles.open(worktree.common_directory) as handles:
            return load_ignore_file(handles, b"info/exclude", b".git/info/exclude", notes)
    except OSError as error:
        notes.warnings.append(f"the git directory cannot be opened: {error.strerror}")
        return None


def _path(parts: list[bytes]) -> bytes:
    return b"".join(part + b"/" for part in parts)


def _directories(files: frozenset[bytes]) -> frozenset[bytes]:
    found: set[bytes] = set()
    for path in files:
        parent = path.rpartition(b"/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition(b"/")[0]
    return frozenset(found)
