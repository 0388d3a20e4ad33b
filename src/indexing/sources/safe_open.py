"""Opens and reads files of a tree that somebody else may be changing, without ever leaving the tree.

Every component is opened relative to the handle of its parent and never through a symbolic link, so that swapping
a component for a link while it is read cannot lead outside.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from indexing.sources.errors import FileChanging, NotBeneathRoot, NotRegularFile
from indexing.sources.paths import display
from storage import Stat

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: should the file become a FIFO between lstat and open, opening it must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_READ_AGAIN = 3
_READ_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A file has more bytes than the caller wants to read."""

    limit: int
    """bytes"""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The bytes of a file, and what its handle said of it both before and after they were read."""

    data: bytes
    stat: Stat
    read_at_ns: int
    """Wall clock just before the first byte was read, nanoseconds since the epoch."""


class DirectoryHandles:
    """Keeps the handles of recently used directories of one root open, so that each of a batch of files costs one open.

    Not for longer than a batch: a directory that is renamed meanwhile is still reached under its old path.
    Use it as a context manager, in one thread. A handle it returns is valid until the next call.
    """

    def __init__(self, root_fd: int, *, capacity: int = 64) -> None:
        """``root_fd`` is duplicated; the caller keeps its own."""
        self.root_fd = os.dup(root_fd)
        self._capacity = max(capacity, 2)
        self._open: OrderedDict[bytes, int] = OrderedDict()

    @classmethod
    def open(cls, root: Path, *, capacity: int = 64) -> Self:
        """Handles beneath the directory ``root`` (an ``OSError`` when it cannot be opened)."""
        root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return cls(root_fd, capacity=capacity)
        finally:
            os.close(root_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every handle; closing twice is allowed."""
        while self._open:
            os.close(self._open.popitem()[1])
        if self.root_fd >= 0:
            os.close(self.root_fd)
            self.root_fd = -1

    def directory(self, path: bytes) -> int:
        """The handle of a directory below the root (``b""``: the root itself). The caller must not close it.

        Raises `NotBeneathRoot`, and ``OSError`` when a component is missing, a link, or no directory.
        """
        if not path:
            return self.root_fd
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        parts = _components(path)
        depth = len(parts) - 1
        while depth and b"/".join(parts[:depth]) not in self._open:
            depth -= 1
        current = self.directory(b"/".join(parts[:depth])) if depth else self.root_fd
        for end in range(depth + 1, len(parts) + 1):
            current = os.open(parts[end - 1], _DIRECTORY, dir_fd=current)
            self._open[b"/".join(parts[:end])] = current
            if len(self._open) > self._capacity:
                os.close(self._open.popitem(last=False)[1])
        return current

    def open_file(self, path: bytes) -> int:
        """Opens a regular file for reading; the caller closes it. Raises as `open_beneath` does."""
        parent, slash, name = path.rpartition(b"/")
        if slash and not parent:
            _components(path)
        return _open_regular(self.directory(parent), name, path)

    def read_ahead(self, path: bytes, limit: int) -> None:
        """Asks the system to fetch the first ``limit`` bytes of a file from disk, and does not wait for them.

        Where that cannot be done nothing happens: whoever reads the file says what is wrong with it.
        """
        if not hasattr(os, "posix_fadvise"):  # macOS
            return
        with suppress(OSError, NotBeneathRoot, NotRegularFile):
            fd = self.open_file(path)
            try:
                os.posix_fadvise(fd, 0, limit, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(fd)


def open_beneath(root_fd: int, path: bytes) -> int:
    """Opens a regular file for reading, one component at a time; the caller closes the descriptor.

    Raises `NotBeneathRoot` for an absolute path and for empty, ``.``, ``..`` and NUL components, `NotRegularFile` for
    anything but a regular file (which is then never opened), and ``OSError`` for what the system refuses, among it
    symbolic links in the place of a directory.
    """
    with DirectoryHandles(root_fd, capacity=2) as handles:
        return handles.open_file(path)


def read_bounded(fd: int, limit: int) -> bytes | TooLarge:
    """Everything from the current position on, or `TooLarge` when that is more than ``limit`` bytes.

    Never holds more than ``limit`` + 1 bytes, however fast the file grows.
    """
    wanted = min(os.fstat(fd).st_size, limit) + 1
    parts: list[bytes] = []
    have = 0
    while have <= limit:
        part = os.read(fd, min(max(wanted - have, 4096), limit + 1 - have, _READ_AT_ONCE))
        if not part:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        parts.append(part)
        have += len(part)
    return TooLarge(limit)


def read_stable(handles: DirectoryHandles, path: bytes, limit: int) -> ReadFile | TooLarge:
    """Reads a file of at most ``limit`` bytes such that bytes and stat belong together.

    Size, mtime and ctime must be the same before and after; otherwise it is opened and read again, three times at
    most. Raises `FileChanging` after that, and what `open_beneath` raises.
    """
    for _ in range(1 + _READ_AGAIN):
        fd = handles.open_file(path)
        try:
            before = os.fstat(fd)
            read_at_ns = time.time_ns()
            data = TooLarge(limit) if before.st_size > limit else read_bounded(fd, limit)
            after = stat_of(os.fstat(fd))
        finally:
            os.close(fd)
        if isinstance(data, TooLarge):
            return data
        if stat_of(before) == after and len(data) == after.size:
            return ReadFile(data, after, read_at_ns)
    message = f"{display(path)!r} changed during each of {1 + _READ_AGAIN} reads; it is tried again when it rests"
    raise FileChanging(message)


def stat_of(result: os.stat_result) -> Stat:
    """The part of a stat result that tells whether the content can have changed."""
    return Stat(result.st_size, result.st_mtime_ns, result.st_ctime_ns, result.st_ino)


def _components(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if b"" in parts or b"." in parts or b".." in parts or b"\0" in path:
        message = f"{display(path)!r} is not a path below the root: use a relative path without '.', '..' or NUL"
        raise NotBeneathRoot(message)
    return parts


def _open_regular(directory_fd: int, name: bytes, path: bytes) -> int:
    _components(name)
    _require_regular(os.stat(name, dir_fd=directory_fd, follow_symlinks=False), path)
    try:
        fd = os.open(name, _FILE, dir_fd=directory_fd)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # became a link or a socket since
            message = f"{display(path)!r} is no longer a regular file"
            raise NotRegularFile(message) from error
        raise
    try:
        _require_regular(os.fstat(fd), path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_regular(result: os.stat_result, path: bytes) -> None:
    if not modes.S_ISREG(result.st_mode):
        message = f"{display(path)!r} is a {_KINDS.get(modes.S_IFMT(result.st_mode), 'special file')}, not a file"
        raise NotRegularFile(message)


_KINDS = {
    modes.S_IFDIR: "directory",
    modes.S_IFLNK: "symbolic link",
    modes.S_IFIFO: "FIFO",
    modes.S_IFSOCK: "socket",
    modes.S_IFCHR: "character device",
    modes.S_IFBLK: "block device",
}
