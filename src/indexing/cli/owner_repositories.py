"""The repositories that an owner names, and which of them directories on the command line stand for."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, TypeAlias

from indexing.cli.exits import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from indexing.control import ControlClient

Known: TypeAlias = "Mapping[str, Any]"
"""A repository as ``GET /repositories`` shows it."""


class NothingIndexed(Exception):
    """There is no repository."""


def known_to(owner: ControlClient) -> list[Known]:
    """Return all repositories of an owner. Raises the errors of ``control``."""
    return list(owner.get("/repositories")["repositories"])


def root_of(repository: Known) -> bytes:
    """Return the exact path of a repository's root."""
    encoded = repository.get("root_b64")
    if encoded:
        return base64.b64decode(encoded)
    return os.fsencode(repository["root"])


def chosen_by(repositories: Sequence[Known], roots: Sequence[Path]) -> list[Known]:
    """Return the repositories that the given directories are (or lie in), all of them when none is given.

    Raises ``NothingIndexed`` when there is none at all, ``UsageError`` for a directory that is in none.
    """
    if not repositories:
        raise NothingIndexed("nothing is indexed yet; run 'codetrove index PATH' first")
    if not roots:
        return list(repositories)
    chosen: dict[str, Known] = {}
    for root in roots:
        path = os.fsencode(root.expanduser().resolve())
        around = [each for each in repositories if _contains(root_of(each), path)]
        if not around:
            known = ", ".join(str(each["root"]) for each in repositories[:5])
            raise UsageError(f"--repo {str(root)!r} is not indexed; indexed are: {known}")
        innermost = max(around, key=lambda each: len(root_of(each)))
        chosen[innermost["uuid"]] = innermost
    return list(chosen.values())


def exactly_at(repositories: Sequence[Known], root: Path) -> Known:
    """Return the repository whose root is ``root``; raises ``UsageError``."""
    path = os.fsencode(root)
    for each in repositories:
        if root_of(each) == path:
            return each
    raise UsageError(f"no repository has the root {str(root)!r}")


def _contains(root: bytes, path: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")
