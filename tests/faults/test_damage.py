"""Rows 3, 8, 29, 102 and 106: what is found damaged, lost, foreign or old at a start."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexing.fsck import check
from indexing.recovery import CrashLoop
from indexing.runtime import open_owner
from storage import DataDirectory, load_registry, stage_restore, write_backup
from tests.faults import state
from tests.faults.driver import Driver, Order, settings_for


@dataclass(frozen=True)
class Kept:
    """Two trees, their index, an older copy of it, and one of the same trees by another installation."""

    roots: list[Path]
    data: Path
    older: Path
    foreign: Path

    def copy(self, to: Path) -> Path:
        """The index, to be damaged."""
        shutil.copytree(self.data, to, ignore=shutil.ignore_patterns("owner.lock"))
        return to


@pytest.fixture(scope="module")
def kept(drivers: list[Driver], tmp_path_factory: pytest.TempPathFactory) -> Kept:
    base = tmp_path_factory.mktemp("kept")
    roots = [base / "one", base / "two"]
    for number, root in enumerate(roots):
        state.write(root, state.small_tree(6 + number))
        assert drivers[0].run(Order(str(base / "data"), str(root))).report["state"] == "succeeded"
    shutil.copytree(base / "data", base / "older")
    state.write(roots[0], {"pkg0/module0.py": "total = 1\n" * 3, "pkg2/later.py": "def later(): pass\n"})
    (roots[0] / "docs/part3.md").unlink()
    for data in (base / "data", base / "foreign"):
        for root in roots:
            assert drivers[0].run(Order(str(data), str(root))).report["state"] == "succeeded"
    return Kept(roots, base / "data", base / "older", base / "foreign")


def overwrite(catalog: Path, start: int, size: int) -> None:
    with catalog.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(size))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda catalog: catalog.write_bytes(b"this is no catalog" * 1000),
    "truncated": lambda catalog: os.truncate(catalog, 3 * 4096 + 100),
    "zero bytes": lambda catalog: os.truncate(catalog, 0),
    "missing": os.unlink,
    "directory missing": lambda catalog: shutil.rmtree(catalog.parent),
    "schema page": lambda catalog: overwrite(catalog, 100, 3000),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_f008_a_damaged_catalog_comes_back_from_disk_under_the_same_ids(kept: Kept, tmp_path: Path, kind: str) -> None:
    data = kept.copy(tmp_path / "data")
    DAMAGE[kind](DataDirectory(data).catalog)
    messages = asyncio.run(_open_and_index(data))
    text = "\n".join(messages)
    for root in kept.roots:
        assert f"{root} was lost with the catalog and is indexed again" in text
    if kind in {"garbage", "truncated", "schema page"}:
        assert "moved aside" in text
        assert len(list(data.glob("catalog.damaged-*/catalog.db"))) == 1
    assert load_registry(data).repositories == load_registry(kept.data).repositories
    assert state.dump(data) == state.dump(kept.data)
    assert asyncio.run(state.findings(data)) == []
    assert state.text_ids(data) == state.text_ids(kept.data)


@pytest.mark.parametrize("kind", [*DAMAGE, "page in the middle"])
def test_f008_fsck_finds_the_damage_and_repairs_it(kept: Kept, tmp_path: Path, kind: str) -> None:
    data = kept.copy(tmp_path / "data")
    catalog = DataDirectory(data).catalog
    damage = DAMAGE.get(kind) or (lambda _: overwrite(catalog, catalog.stat().st_size // 2 // 4096 * 4096, 8192))
    damage(catalog)
    found = asyncio.run(check(settings_for(data), repair=False))
    assert not found.clean
    assert {finding.code for finding in found.findings} == {"catalog"}
    repaired = asyncio.run(check(settings_for(data), repair=True))
    assert repaired.clean
    assert all(finding.repaired for finding in repaired.findings)
    assert asyncio.run(state.findings(data)) == []
    assert state.dump(data) == state.dump(kept.data)


def test_f008_a_root_that_cannot_come_back_is_said_and_remembered(kept: Kept, tmp_path: Path) -> None:
    data = kept.copy(tmp_path / "data")
    catalog = DataDirectory(data).catalog
    away = kept.roots[1].with_name("away")
    shutil.rmtree(catalog.parent)
    kept.roots[1].rename(away)
    try:
        messages = asyncio.run(_open_and_index(data))
    finally:
        away.rename(kept.roots[1])
    assert any(f"{kept.roots[1]} was lost with the catalog and cannot be indexed again" in each for each in messages)
    assert load_registry(data).repositories == load_registry(kept.data).repositories
    asyncio.run(_open_and_index(data))
    assert state.dump(data) == state.dump(kept.data)


def test_f008_a_rebuild_that_crashed_before_its_job_goes_on(kept: Kept, driver: Driver, tmp_path: Path) -> None:
    data = kept.copy(tmp_path / "data")
    DataDirectory(data).catalog.unlink()
    # Both repositories are registered again, and the start dies before either is indexed.
    order = Order(str(data), str(kept.roots[0]), fault="catalog.committed:5:kill")
    assert driver.run(order).killed
    asyncio.run(_open_and_index(data))
    assert state.dump(data) == state.dump(kept.data)


def truncate_largest(text: Path) -> None:
    largest = max(text.glob("[0-9a-f]*.*"), key=lambda file: file.stat().st_size)
    assert largest.suffix not in {".json", ".lock"}
    os.truncate(largest, largest.stat().st_size // 2)


def truncate_all(text: Path) -> None:
    for file in text.iterdir():
        os.truncate(file, file.stat().st_size // 2)


def replace(text: Path, other: Path) -> None:
    shutil.rmtree(text)
    shutil.copytree(other / "text", text)


def empty(text: Path) -> None:
    for file in text.iterdir():
        file.unlink()


def damage_text(kind: str, text: Path, kept: Kept) -> None:
    match kind:
        case "deleted":
            shutil.rmtree(text)
        case "emptied":
            empty(text)
        case "of another installation":
            replace(text, kept.foreign)
        case "an older copy":
            replace(text, kept.older)
        case "one file truncated":
            truncate_largest(text)
        case "all files truncated":
            truncate_all(text)
        case _:
            (text / "meta.json").unlink()


TEXT_DAMAGE = ("deleted", "emptied", "of another installation", "an older copy", "one file truncated",
               "all files truncated", "no segment list")  # fmt: skip


@pytest.mark.parametrize("kind", TEXT_DAMAGE)
def test_f102_f003_the_text_index_is_right_after_the_next_start(kept: Kept, tmp_path: Path, kind: str) -> None:
    data = kept.copy(tmp_path / "data")
    damage_text(kind, DataDirectory(data).text, kept)
    asyncio.run(_open_only(data))
    assert state.text_ids(data) == state.text_ids(kept.data)
    assert asyncio.run(state.findings(data)) == []
    assert {word: {hit for hit, _ in hits} for word, hits in state.hits(data).items()} == {
        word: {hit for hit, _ in hits} for word, hits in state.hits(kept.data).items()
    }


@pytest.mark.parametrize("kind", ["deleted", "of another installation", "one file truncated"])
def test_f102_fsck_finds_and_repairs_the_text_index(kept: Kept, tmp_path: Path, kind: str) -> None:
    data = kept.copy(tmp_path / "data")
    damage_text(kind, DataDirectory(data).text, kept)
    found = asyncio.run(check(settings_for(data), repair=False))
    assert {finding.code for finding in found.findings} == {"text"}
    assert asyncio.run(check(settings_for(data), repair=True)).clean
    assert state.text_ids(data) == state.text_ids(kept.data)


def test_f106_an_older_catalog_restored_cold_is_brought_up_to_date(
    kept: Kept, drivers: list[Driver], tmp_path: Path
) -> None:
    data = kept.copy(tmp_path / "data")
    catalog = DataDirectory(data).catalog
    shutil.rmtree(catalog.parent)
    shutil.copytree(kept.older / "catalog", catalog.parent)
    messages = asyncio.run(_open_only(data))
    assert any("text index was rebuilt" in message for message in messages)
    assert asyncio.run(state.findings(data)) == []
    for root in kept.roots:
        assert drivers[0].run(Order(str(data), str(root))).report["state"] == "succeeded"
    assert state.dump(data) == state.dump(kept.data)
    assert state.text_ids(data) == state.text_ids(kept.data)


@pytest.mark.parametrize("written", ["by the same owner", "by later owners"])
def test_f106_a_backup_taken_while_running_and_restored_later_is_brought_up_to_date(
    kept: Kept, driver: Driver, tmp_path: Path, written: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(kept.older, data, ignore=shutil.ignore_patterns("owner.lock"))
    backup = tmp_path / "backup.zip"
    # The text index is ahead of the backup in the incarnation that the backup knows, or in one that it does not.
    asyncio.run(_back_up_while_running(data, backup, kept.roots if written == "by the same owner" else []))
    for root in kept.roots:
        driver.run(Order(str(data), str(root)))
    if written == "by the same owner":
        shutil.rmtree(data / "text")
        shutil.copytree(tmp_path / "text", data / "text")
    stage_restore(DataDirectory(data), backup)
    messages = asyncio.run(_open_only(data))
    assert any("backup was restored" in message for message in messages)
    assert any("text index was rebuilt" in message for message in messages)
    assert asyncio.run(state.findings(data)) == []
    for root in kept.roots:
        assert driver.run(Order(str(data), str(root))).report["state"] == "succeeded"
    assert state.dump(data) == state.dump(kept.data)
    assert state.text_ids(data) == state.text_ids(kept.data)


def test_f106_a_leftover_log_of_another_catalog_is_moved_aside_with_it(kept: Kept, tmp_path: Path) -> None:
    data = kept.copy(tmp_path / "data")
    catalog = DataDirectory(data).catalog
    catalog.with_name("catalog.db-wal").write_bytes(os.urandom(40_000))
    catalog.write_bytes(b"no catalog" * 5000)
    asyncio.run(_open_and_index(data))
    assert state.dump(data) == state.dump(kept.data)
    assert len(list(data.glob("catalog.damaged-*/catalog.db*"))) >= 1


def test_f029_the_third_start_does_not_try_what_killed_two_and_a_repair_clears_it(
    kept: Kept, driver: Driver, tmp_path: Path
) -> None:
    data = kept.copy(tmp_path / "data")
    shutil.rmtree(DataDirectory(data).text)
    loop = {"recovery.crash_loop_starts": 3, "recovery.crash_loop_window_seconds": 3600}
    order = Order(str(data), str(kept.roots[0]), fault="text.catch_up:1:kill", overrides=loop)
    assert driver.run(order).killed
    assert driver.run(order).killed
    assert driver.run(order).report["error"] == CrashLoop.__name__
    assert asyncio.run(check(settings_for(data, loop), repair=True)).clean
    assert driver.run(Order(str(data), str(kept.roots[0]), overrides=loop)).report["state"] == "succeeded"


def test_f029_starts_that_are_refused_with_a_reason_are_no_crash_loop(
    kept: Kept, driver: Driver, tmp_path: Path
) -> None:
    data = kept.copy(tmp_path / "data")
    loop = {"recovery.crash_loop_starts": 3, "recovery.crash_loop_window_seconds": 3600}
    order = Order(str(data), str(kept.roots[0]), overrides=loop)
    (data / "registry.json").write_text("{")
    errors = [driver.run(order).report["error"] for _ in range(4)]
    assert errors == ["DataDirectoryUnsuitable"] * 4


async def _open_only(data: Path) -> list[str]:
    async with open_owner(settings_for(data)) as owner:
        return owner.messages


async def _open_and_index(data: Path) -> list[str]:
    async with open_owner(settings_for(data)) as owner:
        for repository in owner.to_index_again:
            async with owner.job_for(repository) as job:
                assert (await job.run()).state == "succeeded"
        return owner.messages


async def _back_up_while_running(data: Path, backup: Path, then_indexed: list[Path]) -> None:
    """Back up, index on, and put a copy of the text index as this owner leaves it beside the backup."""
    async with open_owner(settings_for(data)) as owner:
        await asyncio.to_thread(write_backup, owner.directory, backup)
        for root in then_indexed:
            repository = await owner.register(root)
            async with owner.job_for(repository) as job:
                await job.run()
    # A merge that nobody publishes any more may go on for a moment.
    shutil.copytree(data / "text", backup.with_name("text"), ignore=shutil.ignore_patterns(".tmp*"))
