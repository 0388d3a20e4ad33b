"""Repositories and their snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from storage.errors import NestedRepository, UnknownRepository

if TYPE_CHECKING:
    import sqlite3

WORKTREE = "worktree"


@dataclass(frozen=True, slots=True)
class Root:
    """A repository's directory and what identifies it."""

    path: bytes
    """absolute, no trailing slash"""
    device: int
    inode: int
    boot_id: str
    """``device`` means something only within this boot."""
    git_common_dir: bytes | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """One registered source tree."""

    id: int
    uuid: str
    root: Root
    snapshot_id: int
    """of its working tree"""
    rules: str
    """fingerprint of the discovery rules of its last complete scan"""
    scanned_at: int | None
    """milliseconds since 1970"""


def register(connection: sqlite3.Connection, root: Root, *, now_ms: int, uuid: str | None = None) -> Repository:
    """Return the repository at ``root``, registering it when it is new.

    Raises ``NestedRepository`` when the root lies inside a registered one.
    """
    there = repositories(connection)
    for repository in there:
        if repository.root.path == root.path:
            return repository
    for repository in there:
        if root.path.startswith(repository.root.path.rstrip(b"/") + b"/"):
            message = (
                f"{_shown(root.path)} lies inside the indexed repository {_shown(repository.root.path)}; "
                f"index that one, or run 'codetrove forget {_shown(repository.root.path)}' first"
            )
            raise NestedRepository(message)
    (repository_id,) = connection.execute(
        "INSERT INTO repositories (uuid, root, root_device, root_inode, boot_id, git_common_dir, created_at)"
        " VALUES (?,?,?,?,?,?,?) RETURNING id",
        (uuid or str(uuid4()), root.path, root.device, root.inode, root.boot_id, root.git_common_dir, now_ms),
    ).fetchone()
    connection.execute(
        "INSERT INTO snapshots (repository_id, kind, name, complete) VALUES (?, ?, ?, 1)",
        (repository_id, WORKTREE, WORKTREE),
    )
    return next(repository for repository in repositories(connection) if repository.id == repository_id)


def accept_root(connection: sqlite3.Connection, repository_id: int, root: Root) -> None:
    """Take the directory that is at the root now as the repository's: its device or inode changed for a good reason."""
    connection.execute(
        "UPDATE repositories SET root_device = ?, root_inode = ?, boot_id = ?, git_common_dir = ? WHERE id = ?",
        (root.device, root.inode, root.boot_id, root.git_common_dir, repository_id),
    )


def repositories(connection: sqlite3.Connection) -> list[Repository]:
    """Return all repositories, by root."""
    rows = connection.execute(_SELECT + " ORDER BY root").fetchall()
    return [_repository(row) for row in rows]


def repository_at(connection: sqlite3.Connection, root: bytes) -> Repository:
    """Return the repository with this root, or raise ``UnknownRepository``."""
    row = connection.execute(_SELECT + " AND root = ?", (root,)).fetchone()
    if row is None:
        raise UnknownRepository(f"{_shown(root)} is not indexed; run 'codetrove index {_shown(root)}' first")
    return _repository(row)


def finish_scan(connection: sqlite3.Connection, repository_id: int, rules: str, *, now_ms: int) -> None:
    """Record that a scan saw the whole tree under these rules."""
    connection.execute("UPDATE repositories SET rules = ?, scanned_at = ? WHERE id = ?", (rules, now_ms, repository_id))


def forget(connection: sqlite3.Connection, repository_id: int) -> None:
    """Remove a repository's entries and jobs and let its cuts go with the next collection of garbage."""
    for statement in (
        (
            "DELETE FROM path_words WHERE rowid IN (SELECT entries.id FROM entries JOIN snapshots"
            " ON snapshots.id = snapshot_id WHERE repository_id = ?)"
        ),
        "DELETE FROM entries WHERE snapshot_id IN (SELECT id FROM snapshots WHERE repository_id = ?)",
        "DELETE FROM exclusions WHERE snapshot_id IN (SELECT id FROM snapshots WHERE repository_id = ?)",
        "DELETE FROM suspects WHERE snapshot_id IN (SELECT id FROM snapshots WHERE repository_id = ?)",
        "DELETE FROM outcomes WHERE job_id IN (SELECT id FROM jobs WHERE repository_id = ?)",
        "DELETE FROM batches WHERE job_id IN (SELECT id FROM jobs WHERE repository_id = ?)",
        "DELETE FROM job_keys WHERE job_id IN (SELECT id FROM jobs WHERE repository_id = ?)",
        "DELETE FROM jobs WHERE repository_id = ?",
        "UPDATE cuts SET unshown_since = 0 WHERE repository_id = ?",
        "UPDATE repositories SET root = NULL WHERE id = ?",
    ):
        connection.execute(statement, (repository_id,))


_SELECT = (
    "SELECT repositories.id, uuid, root, root_device, root_inode, boot_id, git_common_dir, snapshots.id, rules,"
    " scanned_at FROM repositories JOIN snapshots ON repository_id = repositories.id AND kind = 'worktree'"
    " WHERE root IS NOT NULL"
)


def _repository(row: tuple[int, str, bytes, int, int, str, bytes | None, int, str, int | None]) -> Repository:
    root = Root(row[2], row[3], row[4], row[5], row[6])
    return Repository(row[0], row[1], root, row[7], row[8], row[9])


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))
