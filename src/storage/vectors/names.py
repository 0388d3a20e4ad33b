"""Names of collections and repositories: they become names of directories, or of classes in a server."""

from __future__ import annotations

import re

from storage.errors import VectorsRefused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def checked_name(name: str) -> str:
    """Return the name, or raise ``VectorsRefused``."""
    if not _NAME.fullmatch(name):
        raise VectorsRefused(
            f"{name!r} cannot name a collection or repository: 1 to 100 ASCII letters, digits, '_', '-', '.', "
            "beginning with a letter or digit",
        )
    return name
