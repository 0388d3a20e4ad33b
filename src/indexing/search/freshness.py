"""Whether the file on disk is still the one that was indexed."""

from __future__ import annotations

import os

from storage.catalog.hits import PlaceShown
from storage.records import Stat


def is_stale(place: PlaceShown) -> bool:
    """True when the file's stat differs from that of the indexed version, or the file is gone.

    One ``lstat`` and no reading: a file that was touched but not changed is called stale until it is indexed again.
    A directory on the way that may not be entered counts as gone. Only a work tree's files are on disk.
    """
    try:
        now = os.lstat(os.path.join(place.root, place.path))  # noqa: PTH116, PTH118  (paths are bytes)
    except OSError:
        return True
    return place.stat != Stat(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
