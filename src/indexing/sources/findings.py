"""What a scan says of the things it meets in a source tree."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from storage import FileFlag, SkipReason, Stat


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file that is to be indexed, as far as its path and its stat can tell."""

    path: bytes
    """Relative to the root of the scan."""
    stat: Stat
    tracked: bool
    """git tracks it."""
    flags: frozenset[FileFlag]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not to be indexed, with everything below it if it is a directory."""

    path: bytes
    reason: SkipReason
    detail: str
    directory: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that could not be looked at; of a directory, nothing is known of what is below it."""

    path: bytes
    """``b""`` for the root."""
    error: Literal["denied", "io_error"]
    directory: bool
    message: str


Finding: TypeAlias = Found | Skipped | Unreadable

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors that mean that a thing was removed or replaced since its directory was listed."""


def unreadable(path: bytes, error: OSError, *, directory: bool) -> Unreadable:
    """The finding for an error of the operating system."""
    kind: Literal["denied", "io_error"] = "denied" if error.errno in {errno.EACCES, errno.EPERM} else "io_error"
    return Unreadable(path, kind, directory, error.strerror or type(error).__name__)
