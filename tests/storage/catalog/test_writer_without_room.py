"""The writer on a full disk, and on one that does not take its writes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import CatalogFinding, DiskFull, Writer, check_catalog, open_for_reading

SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    point = tmp_path / "disk"
    point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(point)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def add(number: int, size: int) -> Callable[[sqlite3.Connection], int]:
    def change(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"{number:04}", "x" * size))
        return number

    return change


def kept(catalog: Path) -> list[int]:
    connection = open_for_reading(catalog)
    try:
        return [int(row[0]) for row in connection.execute("SELECT key FROM meta ORDER BY key")]
    finally:
        connection.close()


def findings(catalog: Path) -> list[CatalogFinding]:
    connection = open_for_reading(catalog)
    try:
        return list(check_catalog(connection))
    finally:
        connection.close()


@pytest.mark.parametrize("size", [300, 30_000, 900_000], ids=["pages", "overflow pages", "large"])
async def test_f004_a_full_disk_is_waited_for_and_nothing_is_lost(small_disk: Path, size: int) -> None:
    catalog = small_disk / "catalog.db"
    ballast = small_disk / "ballast"
    full = asyncio.Event()
    heard: list[bool] = []

    def on_full(waits: bool) -> None:
        heard.append(waits)
        full.set()

    async with Writer(catalog, on_full=on_full, room_poll=0.01) as writer:
        assert await writer.apply(add(0, 10)) == 0
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize))
        tasks = [asyncio.create_task(writer.apply(add(number, size))) for number in range(1, 3)]
        await asyncio.wait_for(full.wait(), 10)
        assert not any(task.done() for task in tasks)
        assert await asyncio.to_thread(kept, catalog) == [0], "what was there can be read meanwhile"
        ballast.unlink()
        assert await asyncio.gather(*tasks) == [1, 2]
    assert heard == [True, False]
    assert await asyncio.to_thread(kept, catalog) == [0, 1, 2]
    assert await asyncio.to_thread(findings, catalog) == []


async def test_f004_a_disk_that_fills_up_step_by_step_is_noticed_wherever_it_strikes(small_disk: Path) -> None:
    """The WAL grows page by page into the last free byte; the error it meets there is a full disk, not a damage."""
    catalog = small_disk / "catalog.db"
    full = asyncio.Event()
    async with Writer(catalog, on_full=lambda _: full.set(), room_poll=0.01) as writer:
        done = 0
        task: asyncio.Task[int] | None = None
        while not full.is_set():
            task = asyncio.create_task(writer.apply(add(done, 50_000)))
            woken = asyncio.create_task(full.wait())
            await asyncio.wait([task, woken], return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            done += task.done()
        assert await asyncio.to_thread(kept, catalog) == list(range(done))
    assert task is not None
    with pytest.raises(DiskFull, match="no room left"):
        await task
    assert await asyncio.to_thread(kept, catalog) == list(range(done))
    assert await asyncio.to_thread(findings, catalog) == []


@pytest.mark.parametrize("left", [0, 8192, 40_000])
async def test_f004_a_start_on_a_full_disk_says_so_and_works_when_there_is_room(small_disk: Path, left: int) -> None:
    catalog = small_disk / "catalog.db"
    async with Writer(catalog) as writer:
        await writer.apply(add(0, 10))
    free = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - left))
    full = asyncio.Event()

    async def start_and_write() -> None:
        async with Writer(catalog, on_full=lambda _: full.set(), room_poll=1e6) as writer:
            task = asyncio.create_task(writer.apply(add(1, 100_000)))
            await full.wait()
        await task

    with pytest.raises(DiskFull, match="no room left"):
        await start_and_write()
    ballast.unlink()
    async with Writer(catalog) as writer:
        assert await writer.apply(add(2, 10)) == 2


async def test_f004_closing_does_not_wait_for_room_that_never_comes(small_disk: Path) -> None:
    full = asyncio.Event()
    async with Writer(small_disk / "catalog.db", on_full=lambda _: full.set(), room_poll=1e6) as writer:
        free = os.statvfs(small_disk)
        (small_disk / "ballast").write_bytes(b"x" * (free.f_bavail * free.f_frsize))
        task = asyncio.create_task(writer.apply(add(1, 900_000)))
        await asyncio.wait_for(full.wait(), 10)
    with pytest.raises(DiskFull):
        await task


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from storage import CatalogError, Writer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
catalog = Path(sys.argv[1])

def add(connection):
    connection.execute("INSERT INTO meta (key, value) VALUES ('big', ?)", ("x" * 5_000_000,))

async def main():
    async with Writer(catalog) as writer:
        await writer.apply(lambda c: c.execute("INSERT INTO meta VALUES ('a', 'a')").rowcount)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        try:
            await writer.apply(add)
        except CatalogError as error:
            sys.stdout.write(type(error).__name__ + ": " + str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await writer.apply(lambda c: c.execute("INSERT INTO meta VALUES ('b', 'b')").rowcount)

asyncio.run(main())
"""


def test_f006_a_write_that_the_system_refuses_is_a_typed_error_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(catalog)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CatalogError: the catalog"), done.stdout
    assert "I/O error" in done.stdout
    connection = open_for_reading(catalog)
    try:
        assert connection.execute("SELECT key FROM meta ORDER BY key").fetchall() == [("a",), ("b",)]
        assert list(check_catalog(connection)) == []
    finally:
        connection.close()
