from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import (
    SCHEMA_VERSION,
    CatalogMissing,
    CatalogTooNew,
    Writer,
    migrate,
    open_for_writing,
    open_reader,
)
from storage.catalog.migrations import MIGRATIONS, schema_of, schema_version, statements

SCRIPTS = Path(migrate.__code__.co_filename).parent
FIRST = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);"
SECOND = "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = 2; CREATE INDEX a_y ON a (y)"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as opened:
        yield opened


def test_every_script_of_the_directory_is_listed_in_order() -> None:
    assert list(MIGRATIONS) == sorted(path.name for path in SCRIPTS.glob("*.sql"))
    assert len(MIGRATIONS) == SCHEMA_VERSION


def test_scripts_run_in_order_and_are_counted(connection: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(connection, tmp_path, [FIRST, SECOND])
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]
    assert schema_version(connection) == 2


def test_running_twice_changes_nothing(connection: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(connection, tmp_path, [FIRST])
    (before,) = connection.execute("PRAGMA data_version").fetchone()
    changes = connection.total_changes
    migrate(connection, tmp_path, [FIRST])
    assert connection.execute("PRAGMA data_version").fetchone() == (before,)
    assert connection.total_changes == changes
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)


@pytest.mark.parametrize(
    "second",
    [f"{SECOND}; SELECT no_such_function()", f"{SECOND}; INSERT INTO a VALUES ('text', 1);", f"{SECOND}; CREATE"],
    ids=["unknown function", "constraint", "syntax"],
)
def test_a_failing_script_leaves_version_schema_and_rows_as_they_were(
    connection: sqlite3.Connection, tmp_path: Path, second: str
) -> None:
    migrate(connection, tmp_path, [FIRST])
    before = schema_of(connection), connection.execute("SELECT * FROM a").fetchall()
    with pytest.raises(sqlite3.Error):
        migrate(connection, tmp_path, [FIRST, second])
    assert (schema_of(connection), connection.execute("SELECT * FROM a").fetchall()) == before
    assert schema_version(connection) == 1
    assert not connection.in_transaction
    migrate(connection, tmp_path, [FIRST, SECOND])
    assert schema_version(connection) == 2


def test_step_by_step_gives_the_same_schema_as_all_at_once(tmp_path: Path) -> None:
    scripts = [(SCRIPTS / name).read_text(encoding="utf-8") for name in MIGRATIONS]
    scripts.append("ALTER TABLE blobs ADD COLUMN later TEXT; CREATE INDEX blobs_later ON blobs (later);")
    with (
        closing(sqlite3.connect(tmp_path / "steps", isolation_level=None)) as steps,
        closing(sqlite3.connect(tmp_path / "once", isolation_level=None)) as once,
    ):
        for most in range(1, len(scripts) + 1):
            migrate(steps, tmp_path, scripts[:most])
        migrate(once, tmp_path, scripts)
        assert schema_of(steps) == schema_of(once)


def test_another_process_that_migrated_first_is_noticed_under_the_lock(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """Two first starts at once: the second waits for the lock and then must not run the script again."""
    raced: list[bool] = []

    def other_first(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and not raced:
            raced.append(True)
            with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other:
                migrate(other, tmp_path, [FIRST])

    connection.set_trace_callback(other_first)
    migrate(connection, tmp_path, [FIRST])
    assert raced
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
async def test_a_newer_schema_is_refused_by_writer_and_reader_and_not_touched(tmp_path: Path, mode: str) -> None:
    catalog = tmp_path / "catalog.db"
    with closing(sqlite3.connect(catalog)) as newer:
        newer.execute(f"PRAGMA journal_mode = {mode}")
        newer.execute("CREATE TABLE future (x)")
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = catalog.read_bytes()
    with pytest.raises(CatalogTooNew, match="use the newer codetrove"):
        async with Writer(catalog):
            pass
    with pytest.raises(CatalogTooNew):
        async with open_reader(catalog):
            pass
    assert catalog.read_bytes() == before


async def test_a_reader_never_makes_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogMissing, match="codetrove index PATH"):
        async with open_reader(tmp_path / "catalog.db"):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_catalog_whose_first_start_died_before_the_schema_is_as_good_as_missing(tmp_path: Path) -> None:
    await asyncio.to_thread(lambda: open_for_writing(tmp_path / "catalog.db").close())
    with pytest.raises(CatalogMissing, match="is empty"):
        async with open_reader(tmp_path / "catalog.db"):
            pass


OUT_OF_FILES = """
import resource, sys
from pathlib import Path
from storage import CatalogError, open_for_reading

resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
files = []
try:
    while True:
        files.append(open("/dev/null", "rb"))
except OSError:
    pass
try:
    open_for_reading(Path(sys.argv[1]))
except CatalogError as error:
    sys.stdout.write(type(error).__name__)
"""


def test_f017_a_catalog_that_cannot_be_opened_for_want_of_files_is_not_said_to_be_missing(tmp_path: Path) -> None:
    open_for_writing(tmp_path / "catalog.db").close()
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parents[2])}
    program = [sys.executable, "-c", OUT_OF_FILES, str(tmp_path / "catalog.db")]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "CatalogError"


def test_a_script_is_split_at_the_ends_of_statements_only() -> None:
    script = """
    -- one; with a semicolon in it
    CREATE TABLE a (x TEXT DEFAULT ';'); INSERT INTO a VALUES ('one;two');
    CREATE TRIGGER t AFTER INSERT ON a BEGIN
        DELETE FROM a;
        SELECT 1;
    END;
    /* ; */ SELECT 2
    """
    found = statements(script)
    assert [statement.split()[-1] for statement in found] == ["';');", "('one;two');", "END;", "2"]
    assert statements("\n \n") == []
