"""The data directory: where things are in it, who owns it, and whether it can hold an index safely."""

from __future__ import annotations

import fcntl
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from storage.catalog.connection import CATALOG_FILE
from storage.errors import DataDirectoryInUse, DataDirectoryUnsuitable

if TYPE_CHECKING:
    from types import TracebackType

_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
_NETWORK_IN_USER_SPACE = {"fuse.ceph-fuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
NETWORK_FILE_SYSTEMS = frozenset(_NETWORK | _NETWORK_IN_USER_SPACE)
"""File systems on which SQLite's WAL (shared memory) and ``flock`` are not dependable (sqlite.org/wal.html)."""

_MOUNT_FIELDS = 3
"""device, mount point, type; more follow"""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Paths inside a data directory."""

    path: Path

    @property
    def catalog(self) -> Path:
        """The catalog's file; its directory is moved aside as a whole."""
        return self.path / "catalog" / CATALOG_FILE

    @property
    def text(self) -> Path:
        """The directory of the text index."""
        return self.path / "text"

    @property
    def vectors(self) -> Path:
        """The local vector store."""
        return self.path / "vectors"

    @property
    def embeddings(self) -> Path:
        """The embedding cache, an SQLite file."""
        return self.path / "embeddings.db"

    @property
    def owner_lock(self) -> Path:
        """The file whose lock makes its holder the owner."""
        return self.path / "owner.lock"

    @property
    def pending_restore(self) -> Path:
        """Where a verified backup waits for the next owner to take it in."""
        return self.path / "restore"

    @property
    def starts(self) -> Path:
        """Times of the starts that have not got as far as serving."""
        return self.path / "starts"

    def prepare(self) -> None:
        """Make the directory, or refuse it with the reason (mode 0700, local and writable)."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_readable()
            if not os.access(self.path, os.W_OK):
                raise DataDirectoryUnsuitable(f"the data directory {str(self.path)!r} cannot be written to")
            self.catalog.parent.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError as error:
            message = f"the data directory {str(self.path)!r} is not a directory; choose another with --data-dir"
            raise DataDirectoryUnsuitable(message) from error
        except OSError as error:
            message = (
                f"the data directory {str(self.path)!r} cannot be used: {error.strerror}; "
                "choose another with --data-dir"
            )
            raise DataDirectoryUnsuitable(message) from error

    def check_readable(self) -> None:
        """Refuse a directory that others can read, that is read-only, or that lies on a network file system.

        A catalog in WAL mode cannot be opened on a read-only file system, and opened as immutable it would hide its
        last commits: reading is refused there too.
        """
        mode = self.path.stat().st_mode & 0o777
        if mode & 0o077:
            message = (
                f"the data directory {str(self.path)!r} has mode {mode:04o}, open to others; run: chmod 700 {self.path}"
            )
            raise DataDirectoryUnsuitable(message)
        if os.statvfs(self.path).f_flag & os.ST_RDONLY:
            message = (
                f"the data directory {str(self.path)!r} is on a read-only file system, where the catalog cannot be "
                "opened without hiding its last commits; remount it writable or copy it elsewhere"
            )
            raise DataDirectoryUnsuitable(message)
        kind = file_system_of(self.path)
        if kind in NETWORK_FILE_SYSTEMS:
            message = (
                f"the data directory {str(self.path)!r} is on a network file system ({kind}), where locks and shared "
                "memory cannot be relied on; choose a local one with --data-dir"
            )
            raise DataDirectoryUnsuitable(message)


class Ownership:
    """The lock that makes this process the one that writes; held for the process's life, never stolen."""

    def __init__(self, directory: DataDirectory) -> None:
        """Prepare to own ``directory``."""
        self._path = directory.owner_lock
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock, or raise ``DataDirectoryInUse`` naming the owner."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"the lock {str(self._path)!r} cannot be opened: {error.strerror}"
            raise DataDirectoryUnsuitable(message) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(descriptor)
            message = f"the data directory {str(self._path.parent)!r} is in use by {owner}; wait for it or stop it"
            raise DataDirectoryInUse(message) from error
        except OSError as error:
            os.close(descriptor)
            message = f"the lock {str(self._path)!r} cannot be taken: {error.strerror}; choose a local directory"
            raise DataDirectoryUnsuitable(message) from error
        self._descriptor = descriptor
        with suppress(OSError):  # the name is a courtesy to others; on a full disk the lock holds without it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} ({Path(sys.argv[0]).name})\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the lock go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system that holds ``path``; empty where the system does not say.

    ``mounts`` is what ``/proc/self/mounts`` holds (proc(5), fstab(5)): of two mounts on one point the later one counts.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < _MOUNT_FIELDS:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
