"""Catalogs on disk with made-up files in them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from storage import (
    CatalogFinding,
    Chunk,
    Committed,
    Cut,
    FileResult,
    FileVersion,
    NewText,
    Place,
    Removal,
    Repository,
    Root,
    Stat,
    Symbol,
    canonical_dump,
    check_catalog,
    collect_garbage,
    compress_text,
    migrate,
    open_for_writing,
    register,
)
from storage.catalog.files import commit_file, remove_file

MakeCatalog: TypeAlias = "Callable[..., FilledCatalog]"


class FilledCatalog:
    """A catalog in a directory of its own, with one repository; each change is a transaction."""

    def __init__(self, path: Path, *, root: bytes = b"/src/one", uuid: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.connection = open_for_writing(path)
        migrate(self.connection, path)
        self.repository = self.add_repository(root, uuid)

    def add_repository(self, root: bytes, uuid: str | None = None) -> Repository:
        with self.transaction() as connection:
            return register(connection, Root(root, 1, 2, "boot"), now_ms=1, uuid=uuid)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def place(self, path: str, *, snapshot_id: int | None = None) -> Place:
        """The place of a path as a plan would give it now."""
        snapshot = self.repository.snapshot_id if snapshot_id is None else snapshot_id
        found = self.rows("SELECT seq FROM entries WHERE snapshot_id = ? AND path = ?", snapshot, path.encode())
        return Place(snapshot, path.encode(), found[0][0] if found else None)

    def version(self, path: str, text: str, **changes: Any) -> FileVersion:
        return file_version(self.place(path, snapshot_id=changes.pop("snapshot_id", None)), text, **changes)

    def apply(self, version: FileVersion, *, repository: Repository | None = None, now_ms: int = 10) -> FileResult:
        uuid = (repository or self.repository).uuid
        with self.transaction() as connection:
            return commit_file(connection, version, repository=uuid, now_ms=now_ms)

    def add(self, path: str, text: str, *, now_ms: int = 10, **changes: Any) -> Committed:
        result = self.apply(self.version(path, text, **changes), now_ms=now_ms)
        assert isinstance(result, Committed)
        return result

    def remove(self, path: str, *, now_ms: int = 20) -> None:
        with self.transaction() as connection:
            assert remove_file(connection, Removal(self.place(path), "gone"), now_ms=now_ms) == "removed"

    def collect(self, older_than_ms: int = 1 << 60) -> tuple[int, ...]:
        with self.transaction() as connection:
            return collect_garbage(connection, older_than_ms=older_than_ms).chunk_ids

    def rows(self, sql: str, *parameters: object) -> list[Any]:
        return self.connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, *parameters: object) -> Any:
        ((value,),) = self.rows(sql, *parameters)
        return value

    def change(self, sql: str, *parameters: object) -> None:
        """Change something behind the back of every rule."""
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute(sql, parameters)
        self.connection.execute("PRAGMA foreign_keys = ON")

    def dump(self) -> list[str]:
        return list(canonical_dump(self.connection))

    def findings(self) -> list[CatalogFinding]:
        return list(check_catalog(self.connection))

    def close(self) -> None:
        self.connection.close()


def file_version(
    place: Place,
    text: str,
    *,
    language: str = "python",
    cutter: str = "lines-1",
    extractor: int = 1,
    flags: tuple[str, ...] = (),
    known: bool = False,
    mtime_ns: int = 1,
    signature: str = "",
) -> FileVersion:
    """What reading a file with this text gave; ``known`` as a worker says it that has found the cut."""
    body = text.encode()
    return FileVersion(
        place=place,
        stat=Stat(len(body), mtime_ns, 1, 7),
        read_at_ns=5,
        sha256=hashlib.sha256(body).digest(),
        language=language,
        cutter=cutter,
        extractor=extractor,
        flags=flags,
        path_words=place.path.decode().replace("/", " "),
        text=None if known else NewText("utf-8", len(body), compress_text(body)),
        cut=None if known else Cut(language, cutter, chunks_of(body, signature), ("os",)),
    )


def chunks_of(body: bytes, signature: str = "") -> tuple[Chunk, ...]:
    """A chunk a line."""
    chunks: list[Chunk] = []
    position = 0
    for number, line in enumerate(body.splitlines(keepends=True), 1):
        name = line.split()[-1].decode()
        symbol = Symbol(name, "function", number, number)
        end = position + len(line)
        chunks.append(Chunk(position, end, number, number, name, "function", signature=signature, symbols=(symbol,)))
        position = end
    return tuple(chunks)


@pytest.fixture
def make_catalog(tmp_path: Path) -> Iterator[MakeCatalog]:
    """``make_catalog(name="one", root=…, uuid=…)``: catalogs that are closed after the test."""
    made: list[FilledCatalog] = []

    def make(name: str = "one", **options: Any) -> FilledCatalog:
        made.append(FilledCatalog(tmp_path / name / "catalog" / "catalog.db", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def catalog(make_catalog: MakeCatalog) -> FilledCatalog:
    """An empty catalog with one repository."""
    return make_catalog()
