from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from storage import check_catalog, migrate, open_for_writing
from storage.catalog.migrations import MIGRATIONS, schema_version

SCRIPTS = Path(migrate.__code__.co_filename).parent
OLD = [(SCRIPTS / name).read_text(encoding="utf-8") for name in MIGRATIONS[:2]]
COLUMNS = (
    "id, state, epoch, incarnation, reason, created_at, started_at, ended_at, seen, indexed, unchanged, skipped,"
    " failed, removed"
)
ROWS = [
    ("b", "partial", 3, 7, "some files failed", 5, 6, 9, 10, 1, 2, 3, 4, 5),
    ("c", "queued", 0, None, "", 5, None, None, 0, 0, 0, 0, 0, 0),
    ("a", "running", 2, 8, "", 4, 6, None, 0, 0, 0, 0, 0, 0),
]


@pytest.mark.parametrize("stage", ["all at once", "repeated"])
def test_jobs_of_an_older_catalog_keep_their_rows_batches_outcomes_and_order(tmp_path: Path, stage: str) -> None:
    catalog = tmp_path / "catalog.db"
    with closing(open_for_writing(catalog)) as connection:
        migrate(connection, catalog, OLD)
        connection.execute(
            "INSERT INTO repositories (id, uuid, root, root_device, root_inode, boot_id, created_at)"
            " VALUES (1, 'u', x'2f61', 1, 1, 'boot', 1)"
        )
        marks = ", ".join("?" * len(ROWS[0]))
        connection.executemany(f"INSERT INTO jobs (repository_id, {COLUMNS}) VALUES (1, {marks})", ROWS)
        connection.execute("INSERT INTO batches (job_id, epoch, paths) VALUES ('a', 2, x'61')")
        connection.execute("INSERT INTO outcomes VALUES ('b', x'61', 'failed', 'denied', 'EACCES')")

        migrate(connection, catalog)
        if stage == "repeated":
            migrate(connection, catalog)

        assert schema_version(connection) == len(MIGRATIONS)
        assert connection.execute(f"SELECT {COLUMNS} FROM jobs ORDER BY rowid").fetchall() == ROWS
        assert set(connection.execute("SELECT paths, unreached, warnings FROM jobs")) == {(None, 0, "")}
        assert connection.execute("SELECT job_id, paths FROM batches").fetchall() == [("a", b"a")]
        assert connection.execute("SELECT * FROM outcomes").fetchall() == [("b", b"a", "failed", "denied", "EACCES")]
        assert list(check_catalog(connection)) == []
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA defer_foreign_keys").fetchone() == (0,)
