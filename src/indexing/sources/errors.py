"""What can go wrong while a source tree is read.

SourceError
├── RootError
│   ├── RootMissing
│   ├── RootNotDirectory
│   ├── RootUnreadable
│   └── RootVanished
├── BadGlob
├── NotBeneathRoot
├── NotRegularFile
└── FileChanging

Errors of the operating system pass as they are (`OSError`), so that callers can tell EACCES from EIO.
"""

from __future__ import annotations


class SourceError(Exception):
    """A source tree or one of its files cannot be used."""


class RootError(SourceError):
    """The root of a source tree cannot be scanned."""


class RootMissing(RootError):
    """There is nothing at the path of the root."""


class RootNotDirectory(RootError):
    """The path of the root is not a directory with files of its own."""


class RootUnreadable(RootError):
    """The root exists but the operating system refuses to list it."""


class RootVanished(RootError):
    """The root was removed, unmounted or replaced while it was scanned; what the scan did not see is not gone."""


class BadGlob(SourceError):
    """An include or exclude glob is outside the limits."""


class NotBeneathRoot(SourceError):
    """A path does not name something below the root it is relative to."""


class NotRegularFile(SourceError):
    """A path names a directory, symbolic link, FIFO, socket or device where a regular file is needed."""


class FileChanging(SourceError):
    """A file changed during each of several attempts to read it."""
