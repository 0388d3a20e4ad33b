"""Schema versions of the catalog: ordered scripts, each applied and recorded in one transaction."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from typing import TYPE_CHECKING

from storage.errors import CatalogTooNew

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MIGRATIONS: tuple[str, ...] = ("0001_initial.sql",)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, catalog: Path, migrations: Sequence[str] | None = None) -> None:
    """Bring the catalog to the newest schema version; ``PRAGMA user_version`` counts the scripts applied.

    Raises ``CatalogTooNew`` for a catalog of a newer program, and changes nothing then.
    """
    scripts = [_script(name) for name in MIGRATIONS] if migrations is None else list(migrations)
    check_version(connection, catalog, len(scripts))
    for number in range(_version(connection) + 1, len(scripts) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(scripts[number - 1]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def check_version(connection: sqlite3.Connection, catalog: Path, newest: int = SCHEMA_VERSION) -> None:
    """Refuse a catalog whose schema is newer than this program."""
    version = _version(connection)
    if version > newest:
        message = (
            f"the catalog {str(catalog)!r} has schema version {version}, this codetrove knows up to {newest}; "
            "use the newer codetrove"
        )
        raise CatalogTooNew(message)


def statements(script: str) -> list[str]:
    """Split a script at the semicolons that end a statement."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def _script(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
