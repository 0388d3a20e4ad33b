"""Whether the file on disk is still the one that was indexed."""

from __future__ import annotations

import hashlib
import os
import stat

from storage import PlaceShown, Stat


def is_stale(place: PlaceShown, known: Stat | None, sha256: bytes) -> bool:
    """True when the content of the file differs from what was indexed, or it cannot be read (gone, denied).

    ``known`` is its stat when it was read, None where the catalog knows something newer; ``sha256`` the digest of what
    was read.

    One ``lstat`` when nothing happened to the file; it is read and hashed only where its stat differs and its size does
    not (touched, checked out again). What is no regular file any more is never opened.
    """
    if known is None:
        return True
    path = place.root + b"/" + place.path
    try:
        now = os.lstat(path)
        if known == Stat(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino):
            return False
        if now.st_size != known.size or not stat.S_ISREG(now.st_mode):
            return True
        return _digest(path, known.size) != sha256
    except OSError:
        return True


def _digest(path: bytes, size: int) -> bytes:
    """SHA-256 of the file, or of a little more than ``size`` bytes of one that grew meanwhile."""
    # O_NONBLOCK: between lstat and here the file may have become a FIFO, which would block forever.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        return hashlib.sha256(file.read(size + 1)).digest()
