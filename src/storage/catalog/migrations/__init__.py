"""Schema versions of the catalog: ordered scripts, each applied and recorded in one transaction."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import CatalogTooNew

if TYPE_CHECKING:
    from collections.abc import Sequence

MIGRATIONS: tuple[str, ...] = ("0001_initial.sql", "0002_points.sql", "0003_jobs.sql", "0004_job_origins.sql")
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, catalog: Path, migrations: Sequence[str] | None = None) -> None:
    """Bring the catalog to the newest schema version; ``PRAGMA user_version`` counts the scripts applied.

    Raises ``CatalogTooNew`` for a catalog of a newer program, and changes nothing then.
    """
    scripts = [_script(name) for name in MIGRATIONS] if migrations is None else list(migrations)
    check_version(connection, catalog, len(scripts))
    while schema_version(connection) < len(scripts):
        _apply_next(connection, scripts)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return how many of the scripts have been applied; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return name and definition of everything the scripts define, by name.

    What SQLite and FTS5 add for themselves is left out: it may differ from version to version.
    """
    return connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*' AND name NOT GLOB 'path_words_*'"
        " ORDER BY name"
    ).fetchall()


def expected_schema(version: int) -> list[tuple[str, str]]:
    """Return what ``schema_of`` gives for a sound catalog of this version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        migrate(made, Path(":memory:"), [_script(name) for name in MIGRATIONS[:version]])
        return schema_of(made)


def check_version(connection: sqlite3.Connection, catalog: Path, newest: int = SCHEMA_VERSION) -> None:
    """Refuse a catalog whose schema is newer than this program."""
    version = schema_version(connection)
    if version > newest:
        message = (
            f"the catalog {str(catalog)!r} has schema version {version}, this codetrove knows up to {newest}; "
            "use the newer codetrove"
        )
        raise CatalogTooNew(message)


def statements(script: str) -> list[str]:
    """Split a script at the semicolons that end a statement; what follows the last one is a statement too."""
    found: list[str] = []
    pending = ""
    for piece in re.split(r"(?<=;)", script):
        pending += piece
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return [*found, pending.strip()] if pending.strip() else found


def _apply_next(connection: sqlite3.Connection, scripts: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again under the lock: another process may have migrated it meanwhile.
        done = schema_version(connection)
        if done < len(scripts):
            for statement in statements(scripts[done]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {done + 1}")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself when the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
