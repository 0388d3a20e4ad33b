from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import (
    SCHEMA_VERSION,
    BackupError,
    CatalogMissing,
    CatalogTooNew,
    DataDirectory,
    Registry,
    Writer,
    check_catalog,
    load_registry,
    open_for_reading,
    open_for_writing,
    save_registry,
    stage_restore,
    take_in_restore,
    write_backup,
)

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog, MakeCatalog

SOURCE = Path(__file__).parents[3] / "src"
ONE, OTHER = "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a01", "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a02"
CATALOG, REGISTRY, MANIFEST = "catalog.db", "registry.json", "manifest.json"


@pytest.fixture
def directory(catalog: FilledCatalog) -> DataDirectory:
    """A data directory with a catalog that is open for writing."""
    directory = DataDirectory(catalog.path.parents[1])
    directory.path.chmod(0o700)
    catalog.add("a.py", "def one\n")
    save_registry(directory.path, Registry(ONE))
    return directory


def state(directory: DataDirectory) -> dict[str, bytes]:
    """Every file of a data directory but SQLite's shared memory, which readers write to."""
    return {
        str(path.relative_to(directory.path)): path.read_bytes()
        for path in directory.path.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def paths_in(catalog: Path) -> list[bytes]:
    with closing(open_for_writing(catalog)) as connection:
        assert list(check_catalog(connection)) == []
        return [row[0] for row in connection.execute("SELECT path FROM entries ORDER BY path")]


def test_a_backup_holds_what_was_committed_when_it_was_made(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path
) -> None:
    target = tmp_path / "backup.zip"
    size = write_backup(directory, target)
    assert (target.stat().st_size, target.stat().st_mode & 0o777) == (size, 0o600)
    catalog.add("later.py", "def later\n")
    save_registry(directory.path, Registry(OTHER))
    manifest = stage_restore(directory, target)
    assert manifest["schema"] == SCHEMA_VERSION
    assert len(catalog.rows("SELECT * FROM entries")) == 2, "staging touches nothing that is in use"
    catalog.close()
    aside = take_in_restore(directory, now_ms=7)
    assert aside is not None
    assert paths_in(directory.catalog) == [b"a.py"]
    assert paths_in(aside / CATALOG) == [b"a.py", b"later.py"]
    assert load_registry(directory.path).installation == ONE
    assert take_in_restore(directory, now_ms=8) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.zip", "one"], "nothing else is left behind"
    assert sorted(path.name for path in directory.path.iterdir()) == [
        "catalog", "catalog.before-restore-7", REGISTRY,
    ]  # fmt: skip


async def test_a_backup_of_a_catalog_that_is_being_written_is_one_moment_of_it(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    await asyncio.to_thread(directory.prepare)
    await asyncio.to_thread(save_registry, directory.path, Registry(ONE))
    insert = "INSERT INTO meta VALUES (?, ?)"

    def pair(number: int) -> Callable[[sqlite3.Connection], int]:
        def change(connection: sqlite3.Connection) -> int:
            connection.execute(insert, (f"{number:05} left", "x" * 3000))
            return connection.execute(insert, (f"{number:05} right", "x" * 3000)).rowcount

        return change

    async with Writer(directory.catalog) as writer:
        await writer.apply(pair(0))
        stopped = asyncio.Event()

        async def write() -> None:
            number = 1
            while not stopped.is_set():
                await writer.apply(pair(number))
                number += 1

        writing = asyncio.create_task(write())
        for number in range(3):
            await asyncio.to_thread(write_backup, directory, tmp_path / f"{number}.zip")
        stopped.set()
        await writing
    counts = []
    for number in range(3):
        with zipfile.ZipFile(tmp_path / f"{number}.zip") as archive:
            (tmp_path / "copy.db").write_bytes(archive.read(CATALOG))
        with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
            counts.append(connection.execute("SELECT count(*) FROM meta").fetchone()[0])
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)
    assert counts[-1] > 2, "something was written meanwhile"


def test_a_file_that_exists_is_never_overwritten(directory: DataDirectory, tmp_path: Path) -> None:
    target = tmp_path / "backup.zip"
    target.write_bytes(b"precious")
    with pytest.raises(BackupError, match="exists; choose another name"):
        write_backup(directory, target)
    assert target.read_bytes() == b"precious"


def test_a_backup_that_cannot_be_written_leaves_nothing(directory: DataDirectory, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot write the backup"):
        write_backup(directory, tmp_path / "missing" / "backup.zip")
    (directory.path / REGISTRY).unlink()
    with pytest.raises(BackupError, match="cannot write the backup"):
        write_backup(directory, tmp_path / "backup.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_there_is_no_backup_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CatalogMissing):
        write_backup(DataDirectory(tmp_path / "data"), tmp_path / "backup.zip")


def test_a_catalog_of_a_newer_program_is_not_backed_up_under_an_older_name(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path
) -> None:
    catalog.change(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(CatalogTooNew):
        write_backup(directory, tmp_path / "backup.zip")


def repacked(source: Path, target: Path, **members: Callable[[bytes], bytes | None]) -> None:
    """Copy a backup with some of its members changed, or left out where the change gives None."""
    changes = {name.replace("_", "."): change for name, change in members.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content: bytes | None = old.read(name)
            if name in changes and content is not None:
                content = changes[name](content)
            if content is not None:
                new.writestr(name, content)


def manifest_with(**changes: object) -> Callable[[bytes], bytes]:
    def change(old: bytes) -> bytes:
        return json.dumps({**json.loads(old), **changes}).encode()

    return change


FAULTS: dict[str, dict[str, Callable[[bytes], bytes | None]]] = {
    "too new": {"manifest_json": manifest_with(schema=SCHEMA_VERSION + 1)},
    "another format": {"manifest_json": manifest_with(format=2)},
    "no manifest": {"manifest_json": lambda _: None},
    "manifest of another kind": {"manifest_json": lambda _: b"[]"},
    "no checksums": {"manifest_json": manifest_with(sha256=None)},
    "no catalog": {"catalog_db": lambda _: None},
    "no registry": {"registry_json": lambda _: None},
    "a flipped bit": {"catalog_db": lambda old: old[:5000] + bytes([old[5000] ^ 1]) + old[5001:]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_backup_that_is_damaged_foreign_or_too_new_is_refused_and_changes_nothing(
    directory: DataDirectory, tmp_path: Path, fault: str
) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    repacked(tmp_path / "backup.zip", tmp_path / "bad.zip", **FAULTS[fault])
    before = state(directory)
    with pytest.raises(BackupError):
        stage_restore(directory, tmp_path / "bad.zip")
    assert state(directory) == before
    assert take_in_restore(directory, now_ms=1) is None


@pytest.mark.parametrize("content", ["damaged catalog", "empty catalog", "catalog too new", "damaged registry"])
def test_a_backup_whose_checksums_are_right_over_wrong_content_is_refused(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path, content: str
) -> None:
    """Backed up when it was damaged already, or made up."""
    copy = tmp_path / "copy.db"
    catalog.connection.execute("VACUUM INTO ?", (str(copy),))
    registry = (directory.path / REGISTRY).read_bytes()
    match content:
        case "damaged catalog":
            whole = copy.read_bytes()
            copy.write_bytes(whole[:4096] + b"\xff" * 4096 + whole[8192:])
        case "empty catalog":
            copy.write_bytes(b"")
        case "catalog too new":
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        case _:
            registry = b"{}"
    sha256 = {
        CATALOG: sha256_of(copy.read_bytes()),
        REGISTRY: sha256_of(registry),
    }
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"format": 1, "schema": 1, "sha256": sha256}))
        archive.write(copy, CATALOG)
        archive.writestr(REGISTRY, registry)
    before = state(directory)
    with pytest.raises(BackupError, match="the backup's"):
        stage_restore(directory, tmp_path / "bad.zip")
    assert state(directory) == before


def sha256_of(content: bytes) -> str:
    from hashlib import sha256

    return sha256(content).hexdigest()


def test_bytes_damaged_anywhere_in_a_backup_are_refused_or_harmless(directory: DataDirectory, tmp_path: Path) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    whole = (tmp_path / "backup.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "backup.zip") as archive:
        sound = {name: archive.read(name) for name in (CATALOG, REGISTRY)}
    chance = random.Random(1)
    bad = tmp_path / "bad.zip"
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole[: chance.choice((len(whole), chance.randrange(len(whole))))])
        if damaged:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        bad.write_bytes(damaged)
        try:
            stage_restore(directory, bad)
        except BackupError:
            refused += 1
            assert not directory.pending_restore.exists()
        else:
            assert {name: (directory.pending_restore / name).read_bytes() for name in sound} == sound
            shutil.rmtree(directory.pending_restore)
    assert refused > 20


def test_a_compressed_stream_that_makes_no_sense_is_refused(directory: DataDirectory, tmp_path: Path) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    whole = bytearray((tmp_path / "backup.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "backup.zip") as archive:
        start = archive.getinfo(CATALOG).header_offset + 30 + len(CATALOG)
    whole[start : start + 64] = b"\xff" * 64
    (tmp_path / "bad.zip").write_bytes(whole)
    with pytest.raises(BackupError, match="invalid block type"):
        stage_restore(directory, tmp_path / "bad.zip")


def test_a_file_that_is_no_backup_is_refused(directory: DataDirectory, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"no zip")
    for source in (tmp_path / "file.zip", tmp_path / "missing.zip", tmp_path):
        with pytest.raises(BackupError, match="cannot be restored"):
            stage_restore(directory, source)


def test_a_data_directory_with_marks_of_uris_in_its_name_is_backed_up_and_restored(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    catalog = make_catalog("50% off? #1 &mode=rwc")
    catalog.add("a.py", "def one\n")
    directory = DataDirectory(catalog.path.parents[1])
    save_registry(directory.path, Registry(ONE))
    write_backup(directory, tmp_path / "backup.zip")
    stage_restore(directory, tmp_path / "backup.zip")
    catalog.close()
    take_in_restore(directory, now_ms=1)
    assert paths_in(directory.catalog) == [b"a.py"]


def test_f106_a_wal_left_beside_the_old_catalog_does_not_mix_with_the_restored_one(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path
) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    catalog.change("PRAGMA wal_autocheckpoint = 0")
    for number in range(20):
        catalog.add(f"{number}.py", f"def f{number}\n")
    left = {name: directory.catalog.with_name(name).read_bytes() for name in ("catalog.db-wal", "catalog.db-shm")}
    catalog.close()
    for name, content in left.items():  # as after a kill -9
        directory.catalog.with_name(name).write_bytes(content)
    stage_restore(directory, tmp_path / "backup.zip")
    aside = take_in_restore(directory, now_ms=1)
    assert [path.name for path in directory.catalog.parent.iterdir()] == [CATALOG]
    assert paths_in(directory.catalog) == [b"a.py"]
    assert aside is not None
    assert len(paths_in(aside / CATALOG)) == 21, "the WAL moved with its catalog"


TAKE_IN = """
import os, signal, sys
from pathlib import Path
from storage import DataDirectory, take_in_restore

steps = 0

def counted(function):
    def step(*arguments):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return step

Path.rename, Path.replace = counted(Path.rename), counted(Path.replace)
take_in_restore(DataDirectory(Path(sys.argv[1])), now_ms=1)
"""


@pytest.mark.parametrize("step", [1, 2, 3])
def test_i10_a_take_in_killed_between_its_steps_is_finished_by_the_next_start(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path, step: int
) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    catalog.add("later.py", "def later\n")
    save_registry(directory.path, Registry(OTHER))
    stage_restore(directory, tmp_path / "backup.zip")
    catalog.close()
    done = subprocess.run(
        [sys.executable, "-c", TAKE_IN, str(directory.path), str(step)],
        check=False, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    directory.prepare()
    take_in_restore(directory, now_ms=2)
    assert paths_in(directory.catalog) == [b"a.py"]
    assert load_registry(directory.path).installation == ONE
    assert take_in_restore(directory, now_ms=3) is None


def test_what_was_staged_before_gives_way_to_what_is_staged_now(
    directory: DataDirectory, catalog: FilledCatalog, tmp_path: Path
) -> None:
    write_backup(directory, tmp_path / "first.zip")
    catalog.add("b.py", "def two\n")
    write_backup(directory, tmp_path / "second.zip")
    stage_restore(directory, tmp_path / "first.zip")
    stage_restore(directory, tmp_path / "second.zip")
    catalog.close()
    take_in_restore(directory, now_ms=1)
    assert paths_in(directory.catalog) == [b"a.py", b"b.py"]


def test_a_restored_catalog_is_for_its_owner_alone(directory: DataDirectory, tmp_path: Path) -> None:
    write_backup(directory, tmp_path / "backup.zip")
    stage_restore(directory, tmp_path / "backup.zip")
    assert directory.pending_restore.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.pending_restore.iterdir()} == {0o600}
    with closing(open_for_reading(directory.catalog)):
        pass
