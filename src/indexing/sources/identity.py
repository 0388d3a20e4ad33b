"""Tells whether a root is still the directory it was, and whether a file below it is really gone."""

from __future__ import annotations

import errno
import os
import stat as modes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

Presence: TypeAlias = Literal["present", "absent", "unknown"]

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """Which directory a root is."""

    device: int
    inode: int
    boot_id: str
    """Names the boot of the machine within which ``device`` means something; empty where that is not known."""


def identify(root_fd: int) -> RootIdentity:
    """The identity of an open directory."""
    result = os.fstat(root_fd)
    return RootIdentity(result.st_dev, result.st_ino, _boot_id())


def same_root(known: RootIdentity, now: RootIdentity) -> bool:
    """Whether both are the same directory. Device numbers may change from boot to boot, so they count within one."""
    one_boot = bool(known.boot_id) and known.boot_id == now.boot_id
    return known.inode == now.inode and (known.device == now.device or not one_boot)


def still_there(root_fd: int, path: bytes) -> Presence:
    """Whether something is at ``path``; ``absent`` only when the system says so under a root that itself exists.

    A path below a symbolic link is absent: links are never followed. EACCES, EIO, ESTALE and everything else but
    ENOENT and ENOTDIR is ``unknown``, and so is everything below a root that was deleted.
    """
    try:
        if os.fstat(root_fd).st_nlink == 0:
            return "unknown"
        os.stat(path, dir_fd=root_fd, follow_symlinks=False)
        parent = path.rpartition(b"/")[0]
        while parent:
            if modes.S_ISLNK(os.stat(parent, dir_fd=root_fd, follow_symlinks=False).st_mode):
                return "absent"
            parent = parent.rpartition(b"/")[0]
    except OSError as error:
        return "absent" if error.errno in _GONE else "unknown"
    return "present"


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
