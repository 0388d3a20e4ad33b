"""Walks a source tree and says of everything in it whether it is to be indexed, or why not.

The walk never leaves the tree, never follows a link, opens nothing but directories and ignore files, keeps one listing
for each level of the current path in memory, and yields in an order that depends on the names alone.
"""

from __future__ import annotations

import os
import stat as modes
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from indexing.sources.errors import NotRegularFile, RootMissing, RootNotDirectory, RootUnreadable, RootVanished
from indexing.sources.extent import Extent
from indexing.sources.findings import GONE, Finding, Skipped, unreadable
from indexing.sources.gitview import is_repository
from indexing.sources.identity import RootIdentity, identify
from indexing.sources.ignore import Link
from indexing.sources.known_names import GENERATED, VENDORED
from indexing.sources.paths import display
from indexing.sources.pseudo_filesystems import pseudo_filesystem
from indexing.sources.safe_open import DirectoryHandles
from indexing.sources.selection import Level, Selection
from indexing.sources.surroundings import GITIGNORE, Notes, Repository, load_ignore_file, look_up, outer_chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.sources.rules import Rules

OWN_IGNORE: Final = b".codetroveignore"
_CACHEDIR_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/
_MAX_NESTED_REPOSITORIES = 1_000
_Entry: TypeAlias = tuple[bytes, os.stat_result | OSError, bool]


@dataclass(slots=True)
class _Directory:
    """A directory the walk is in."""

    prefix: bytes
    """The path with its slash; empty for the root."""
    device: int
    entries: Iterator[_Entry]
    level: Level


_WHOLE: Final = Extent(None)


class Scan:
    """One pass over a tree. Iterate it once, to the end; ``git`` is final after that.

    A file that the iteration did not yield is gone only if the iteration ended without an error, no `Unreadable` covers
    the file, and the system says so (`still_there`). If ``git`` is ``refused``, or the file lies below the directory of
    an entry in ``unreadable_ignores``, then whether it is wanted is unknown: what is indexed stays, nothing is added.
    """

    def __init__(self, root: Path, rules: Rules, extent: Extent = _WHOLE) -> None:
        """Raises `RootMissing`, `RootNotDirectory` or `RootUnreadable`; nothing outside ``extent`` is yielded."""
        self.path = root
        self.extent = extent
        self.root: RootIdentity = _identify(root)
        self.git: Literal["used", "absent", "refused"] = "absent"
        self._rules = rules
        self._notes = Notes()
        self._selection = Selection(rules, os.path.realpath(os.fsencode(root)))
        self._visited: set[tuple[int, int]] = set()
        self._nested = 0

    @property
    def unreadable_ignores(self) -> list[bytes]:
        """Ignore files that exist but cannot be read; an entry is there before anything of its directory is yielded."""
        return self._notes.unreadable_ignores

    @property
    def warnings(self) -> list[str]:
        """What the user should know, one line each."""
        return self._notes.warnings

    def __iter__(self) -> Iterator[Finding]:
        """Yields findings, sorted by the components of their paths; raises `RootVanished` at the end or before it."""
        with self._root_must_stay():
            handles = DirectoryHandles.open(self.path)
        with handles:
            if identify(handles.root_fd) != self.root:
                raise RootVanished(self._vanished())
            yield from self._walk(handles)
        with self._root_must_stay():
            now = self.path.stat()
        if (now.st_dev, now.st_ino) != (self.root.device, self.root.inode):
            raise RootVanished(self._vanished())

    def _walk(self, handles: DirectoryHandles) -> Iterator[Finding]:
        repository = self._look_up(self.path, cut=0)
        level = Level(repository, git=outer_chain(self.path, self._notes))
        start = self._enter(handles, b"", level, self.root.device)
        stack: list[_Directory] = []
        if isinstance(start, _Directory):
            stack.append(start)
        elif start is not None:
            yield start
        while stack:
            here = stack[-1]
            entry = next(here.entries, None)
            if entry is None:
                stack.pop()
                continue
            name, stat, is_directory = entry
            path = here.prefix + name
            if isinstance(stat, OSError):
                if stat.errno not in GONE:
                    yield unreadable(path if name else path[:-1], stat, directory=is_directory)
            elif modes.S_ISDIR(stat.st_mode):
                if not self.extent.leads_to(path):
                    continue
                chosen = self._selection.directory(here.level, path, name)
                entered = self._enter(handles, path, chosen, here.device) if isinstance(chosen, Level) else chosen
                if isinstance(entered, _Directory):
                    stack.append(entered)
                elif entered is not None:
                    yield entered
            elif self.extent.covers(path):
                yield self._selection.file(here.level, path, name, stat)

    def _enter(
        self, handles: DirectoryHandles, path: bytes, level: Level, parent_device: int
    ) -> _Directory | Finding | None:
        """Lists a directory and reads its ignore files; None if it is gone."""
        try:
            fd = handles.directory(path)
            opened = os.fstat(fd)
        except OSError as error:
            return None if error.errno in GONE else unreadable(path, error, directory=True)
        identity = (opened.st_dev, opened.st_ino)
        if identity in self._visited:
            return Skipped(path, "special_file", "the same directory is mounted elsewhere in the tree", directory=True)
        self._visited.add(identity)
        if opened.st_dev != parent_device or not path:
            kind = pseudo_filesystem(opened.st_dev)
            if kind:
                return Skipped(path, "special_file", f"a mount of type {kind}", directory=True)
        entries = _list(fd)
        names = {entry[0] for entry in entries}
        prefix = path + b"/" if path else b""
        if path:
            traits = level.traits | _content_traits(handles, prefix, names)
            judged = self._selection.judge(traits, tracked=level.repository.holds_tracked(path))
            if judged.skip is not None:
                return Skipped(path, judged.skip, judged.detail, directory=True)
            level = replace(level, traits=traits)
            if b".git" in names:
                level = self._nested_repository(path, level)
        level = self._with_ignore_files(handles, prefix, names, level)
        return _Directory(prefix, opened.st_dev, iter(entries), level)

    def _with_ignore_files(self, handles: DirectoryHandles, prefix: bytes, names: set[bytes], level: Level) -> Level:
        git, own = level.git, level.own
        if git is not None and GITIGNORE in names:
            file = load_ignore_file(handles, prefix + GITIGNORE, prefix + GITIGNORE, self._notes)
            git = git.with_first(Link(file, cut=len(prefix))) if file else git
        if OWN_IGNORE in names:
            file = load_ignore_file(handles, prefix + OWN_IGNORE, prefix + OWN_IGNORE, self._notes)
            own = own.with_first(Link(file, cut=len(prefix))) if file else own
        return level if git is level.git and own is level.own else replace(level, git=git, own=own)

    def _nested_repository(self, path: bytes, level: Level) -> Level:
        """A submodule or an embedded clone has its own tracked files, and its parent's ignore files end at it."""
        directory = self.path / os.fsdecode(path)
        if not is_repository(directory):
            return level
        self._nested += 1
        ceiling = directory.absolute().parent
        if self._nested > _MAX_NESTED_REPOSITORIES:
            refusal = f"more than {_MAX_NESTED_REPOSITORIES} nested repositories"
            repository = self._note(directory, Repository("refused", refusal=refusal, cut=len(path) + 1))
        else:
            repository = self._look_up(directory, cut=len(path) + 1, ceiling=ceiling)
        git = outer_chain(directory, self._notes, directory=path, ceiling=ceiling)
        return replace(level, repository=repository, git=git, only_tracked=None)

    def _look_up(self, directory: Path, *, cut: int, ceiling: Path | None = None) -> Repository:
        return self._note(directory, look_up(directory, use_git=self._rules.use_git, cut=cut, ceiling=ceiling))

    def _note(self, directory: Path, repository: Repository) -> Repository:
        if repository.git == "refused":
            self.git = "refused"
            where = display(os.fsencode(directory))
            self._notes.warnings.append(f"git does not answer for {where!r}: {repository.refusal}")
        elif repository.git == "used" and self.git == "absent":
            self.git = "used"
        return repository

    @contextmanager
    def _root_must_stay(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RootVanished(self._vanished()) from error

    def _vanished(self) -> str:
        shown = display(os.fsencode(self.path))
        return f"root {shown!r} was removed, unmounted or replaced during the scan; what it did not see is kept"


def scan(root: Path, rules: Rules) -> Scan:
    """A scan of the tree at ``root``; it begins when it is iterated. Raises what `Scan` raises."""
    return Scan(root, rules)


def _list(fd: int) -> list[_Entry]:
    """The entries of an open directory, sorted by name; an error of the listing itself is an entry without a name."""
    entries: list[_Entry] = []
    try:
        with os.scandir(fd) as listing:
            for entry in listing:
                stat: os.stat_result | OSError
                try:
                    stat = entry.stat(follow_symlinks=False)
                except OSError as error:
                    stat = error
                entries.append((os.fsencode(entry.name), stat, entry.is_dir(follow_symlinks=False)))
    except OSError as error:
        entries.append((b"", error, True))
    entries.sort(key=_name)
    return entries


def _name(entry: _Entry) -> bytes:
    return entry[0]


def _content_traits(handles: DirectoryHandles, prefix: bytes, names: set[bytes]) -> int:
    """Traits that a directory has because of marker files in it: virtual environments and caches."""
    if b"pyvenv.cfg" in names:
        return VENDORED
    if b"CACHEDIR.TAG" not in names:
        return 0
    try:
        fd = handles.open_file(prefix + b"CACHEDIR.TAG")
    except (OSError, NotRegularFile):
        return 0
    try:
        return GENERATED if os.read(fd, len(_CACHEDIR_SIGNATURE)) == _CACHEDIR_SIGNATURE else 0
    except OSError:
        return 0
    finally:
        os.close(fd)


def _identify(root: Path) -> RootIdentity:
    shown = display(os.fsencode(root))
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        message = f"{shown!r} does not exist; give the path of a directory"
        raise RootMissing(message) from error
    except NotADirectoryError as error:
        message = f"{shown!r} is not a directory; give the directory that holds the file"
        raise RootNotDirectory(message) from error
    except OSError as error:
        message = f"{shown!r} cannot be opened ({error.strerror}); allow this user to list it"
        raise RootUnreadable(message) from error
    try:
        return identify(fd)
    finally:
        os.close(fd)
