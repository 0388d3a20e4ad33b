"""The root of a repository: what identifies it, and by which rules it is scanned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from indexing.sources import DirectoryHandles, RootMissing, RootNotDirectory, Rules, git_common_dir, identify
from storage import Root

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from indexing.settings import Settings


def look_at_root(path: Path) -> Root:
    """Return what identifies the directory at ``path``; raises ``RootError`` for what cannot be a repository's root."""
    resolved = path.expanduser().resolve()
    if not resolved.exists():
        raise RootMissing(f"there is nothing at {str(path)!r}; give the path of a directory")
    if not resolved.is_dir():
        raise RootNotDirectory(f"{str(path)!r} is a file; give the directory it is in")
    with DirectoryHandles.open(resolved) as handles:
        identity = identify(handles.root_fd)
    return Root(os.fsencode(resolved), identity.device, identity.inode, identity.boot_id, git_common_dir(resolved))


def rules_for(settings: Settings, root: bytes, other_roots: Sequence[bytes], data_directory: Path) -> Rules:
    """Return the rules of a scan of ``root``.

    Registered roots inside it belong to the others, and a data directory inside it is left out: an index of the index
    would never settle.
    """
    chosen = settings.discovery
    inside = root.rstrip(b"/") + b"/"
    data = os.fsencode(data_directory.resolve())
    return Rules(
        include=tuple(chosen.include),
        exclude=tuple(chosen.exclude),
        max_file_bytes=chosen.max_file_bytes,
        vendored=chosen.vendored,
        generated=chosen.generated,
        hidden=chosen.hidden,
        minified=chosen.minified,
        secrets=chosen.secrets,
        use_git=chosen.use_git,
        other_roots=frozenset(each for each in (*other_roots, data) if each.startswith(inside)),
    )
