"""Rows 60 to 64, 72 and 73: trees that change before, between and under the jobs that index them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexing.ingest.job import JobReport, NothingToIndex, RootReplaced
from indexing.ingest.messages import FileTask
from indexing.ingest.scanning import TreeScan
from indexing.sources import RootVanished
from storage import Reader
from tests.faults import state

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

Index = Callable[..., Awaitable[JobReport]]
FILES = {"a.py": "a = 1\n", "b.py": "b = 1\n", "sub/c.py": "c = 1\n"}
PATHS = {b"a.py", b"b.py", b"sub/c.py"}


def while_scanning(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen after the first files were found, before they are handed on."""
    tasks = TreeScan.tasks

    async def interrupted(self: TreeScan, reader: Reader) -> AsyncIterator[list[FileTask]]:
        async for found in tasks(self, reader):
            await asyncio.to_thread(happens)
            yield found

    monkeypatch.setattr(TreeScan, "tasks", interrupted)


async def test_f061_another_directory_at_the_root_removes_nothing(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES)
    await index(root)
    root.rename(root.with_name("away"))
    tree({"other.py": "other = 1\n"})
    with pytest.raises(RootReplaced, match="accept-root"):
        await index(root)
    assert set(state.shown(data_dir)) == PATHS
    assert state.rows(data_dir, "SELECT state FROM jobs ORDER BY created_at DESC LIMIT 1") == [("failed",)]
    shutil.rmtree(root)
    root.with_name("away").rename(root)
    assert (await index(root)).tally.unchanged == len(FILES)


async def test_f061_a_root_that_vanishes_during_the_scan_removes_nothing(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    with monkeypatch.context() as patch:
        while_scanning(patch, lambda: root.rename(root.with_name("away")) if root.exists() else None)
        with pytest.raises(RootVanished):
            await index(root)
    assert set(state.shown(data_dir)) == PATHS


async def test_f061_a_root_that_is_replaced_after_the_scan_removes_nothing(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    (root / "a.py").unlink()
    removals = TreeScan.removals

    def replace() -> None:
        root.rename(root.with_name("away"))
        root.mkdir()

    async def late(self: TreeScan) -> object:
        await asyncio.to_thread(replace)
        return await removals(self)

    monkeypatch.setattr(TreeScan, "removals", late)
    with pytest.raises(RootVanished):
        await index(root)
    assert set(state.shown(data_dir)) == PATHS


async def test_f061_something_mounted_over_the_root_removes_nothing(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES)
    await index(root)
    mounting = subprocess.run(["mount", "-t", "tmpfs", "none", str(root)], capture_output=True, check=False)
    if mounting.returncode != 0:
        pytest.skip(f"mounting needs rights that are missing here: {mounting.stderr.decode().strip()}")
    try:
        with pytest.raises(RootReplaced):
            await index(root)
    finally:
        subprocess.run(["umount", str(root)], check=True)
    assert set(state.shown(data_dir)) == PATHS


async def test_f061_a_switch_of_branches_may_remove_nearly_everything(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(state.small_tree())
    await index(root)
    for name in list(state.small_tree())[1:]:
        (root / name).unlink()
    assert (await index(root)).tally.removed == 11
    assert len(state.shown(data_dir)) == 1


async def test_f061_a_tree_that_lost_every_file_says_so_only_once_it_is_empty(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES)
    await index(root)
    for path in PATHS:
        (root / os.fsdecode(path)).unlink()
    assert (await index(root)).tally.removed == len(FILES)
    with pytest.raises(NothingToIndex):
        await index(root)


async def test_f062_a_file_that_goes_between_scan_and_read_is_removed_and_not_counted(
    index: Index, tree: TreeFactory, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES)
    await index(root)
    tree({"a.py": "a = 2\n"})
    while_scanning(monkeypatch, (root / "a.py").unlink)
    report = await index(root)
    assert set(state.shown(data_dir)) == PATHS - {b"a.py"}
    tally = report.tally
    assert (tally.seen, tally.removed) == (2, 1)
    assert tally.seen == tally.indexed + tally.unchanged + tally.skipped + tally.failed


async def test_f063_an_editors_atomic_save_is_one_update(index: Index, tree: TreeFactory, data_dir: Path) -> None:
    root = tree(FILES)
    await index(root)
    (root / ".a.py.swp").write_bytes(b"b0VIM 8.2\0\0")
    (root / "a.py~").write_text("a = 1\n")
    (root / ".a.py.tmp").write_text("a = 2\n")
    (root / ".a.py.tmp").rename(root / "a.py")
    report = await index(root)
    assert (report.tally.indexed, report.tally.removed) == (1, 0)
    assert set(state.shown(data_dir)) == PATHS


async def test_f064_a_renamed_directory_cuts_nothing(index: Index, tree: TreeFactory, data_dir: Path) -> None:
    names = [f"old/file{number}.py" for number in range(40)]
    root = tree({name: f"def f{number}():\n    return {number}\n" for number, name in enumerate(names)})
    keep = {"storage.garbage_grace_days": 14, "indexing.worker_batch_size": 16}
    await index(root, **keep)
    chunks = state.rows(data_dir, "SELECT chunk_id FROM chunks ORDER BY 1")
    (root / "old").rename(root / "new")
    report = await index(root, **keep)
    assert (report.tally.indexed, report.tally.removed) == (40, 40)
    assert state.rows(data_dir, "SELECT chunk_id FROM chunks ORDER BY 1") == chunks
    assert set(state.shown(data_dir)) == {name.replace("old", "new").encode() for name in names}


async def test_f072_a_change_that_keeps_size_and_mtime_is_seen(index: Index, tree: TreeFactory, data_dir: Path) -> None:
    root = tree(FILES)
    file = root / "a.py"
    os.utime(file, ns=(0, 0))
    await index(root)
    file.write_text("a = 2\n")
    os.utime(file, ns=(0, 0))
    assert (await index(root)).tally.indexed == 1


async def test_f073_what_becomes_ignored_binary_or_too_large_is_removed_with_the_reason(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES | {".codetroveignore": "nothing\n"})
    limit = {"discovery.max_file_bytes": 1000}
    await index(root, **limit)
    tree({".codetroveignore": "sub/\n", "a.py": b"\0" * 100, "b.py": "b = 1\n" * 500})
    report = await index(root, **limit)
    reasons = dict(
        state.rows(
            data_dir,
            "SELECT path, reason FROM outcomes WHERE job_id = ?",
            report.job_id,
        )
    )
    assert PATHS.isdisjoint(state.shown(data_dir))
    assert reasons[b"a.py"] == "binary"
    assert reasons[b"b.py"] == "too_large"
    assert reasons[b"sub/c.py"] in {"ignored", "excluded"}
    tree({".codetroveignore": "nothing\n", "a.py": "a = 1\n", "b.py": "b = 1\n"})
    await index(root, **limit)
    assert set(state.shown(data_dir)) >= PATHS


async def test_f073_an_ignore_file_that_cannot_be_read_removes_nothing(
    index: Index, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES | {".codetroveignore": "nothing\n"})
    await index(root)
    (root / ".codetroveignore").unlink()
    # Not a regular file: there, and unreadable even for root.
    os.mkfifo(root / ".codetroveignore")
    tree({"b.py": "b = 2\n"})
    await index(root)
    assert set(state.shown(data_dir)) >= PATHS
