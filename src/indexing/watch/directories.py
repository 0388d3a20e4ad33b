"""The directories of a tree that have to be listened to: an event tells of what lies directly in one of them."""

from __future__ import annotations

import os
import stat as modes
from typing import TYPE_CHECKING

from indexing.sources.known_names import VERSION_CONTROL
from indexing.sources.pseudo_filesystems import pseudo_filesystem
from indexing.watch.changes import GIT, GIT_INFO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.watch.changes import Territory


def directories_below(
    territory: Territory, tops: Iterable[bytes], quiet: frozenset[bytes], *, only_utf8: bool = False
) -> list[bytes]:
    """Return ``tops`` and all directories below them, relative to the root, without what is not indexed.

    Links are never followed: one may lead to the whole file system. What cannot be listed is left out, and so is, with
    ``only_utf8``, a directory that holds a name which is no UTF-8.
    """
    found: list[bytes] = []
    waiting = [top for top in tops if top not in quiet]
    device = _device(territory.root)
    while waiting:
        path = waiting.pop()
        absolute = territory.absolute(path)
        if territory.relative(absolute) is None:
            continue
        try:
            with os.scandir(absolute) as listing:
                entries = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in listing]
        except OSError:
            continue
        here = _device(absolute)
        if here != device and here is not None and pseudo_filesystem(here):
            continue
        if not only_utf8 or all(is_utf8(name) for name, _ in entries):
            found.append(path)
        for name, is_inner in entries:
            if not is_inner:
                continue
            below = path + b"/" + name if path else name
            if name == GIT:
                found += _git_info(territory, below)
            elif name not in VERSION_CONTROL and below not in quiet:
                waiting.append(below)
    return found


def is_directory(path: bytes) -> bool:
    """Whether a directory, and no link to one, is at an absolute path now."""
    try:
        return modes.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def is_utf8(name: bytes) -> bool:
    """Whether a name can be given to watchfiles, and be told by it."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _git_info(territory: Territory, git: bytes) -> list[bytes]:
    info = git + b"/" + GIT_INFO
    return [info] if is_directory(territory.absolute(info)) else []


def _device(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None
