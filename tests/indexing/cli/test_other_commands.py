"""``status``, ``forget``, ``fsck``, ``doctor``, ``backup``, ``restore``, ``config show`` and ``index --dry-run``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import DataDirectory, Ownership

if TYPE_CHECKING:
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run

FILES = {"a.py": "def alpha(): ...\n", "notes.md": "# Alpha\n", ".hidden/x.py": "x = 1\n"}


@pytest.fixture
def indexed(run: Run, tree: TreeFactory) -> Path:
    root = tree(FILES)
    assert run("index", root).code == 0
    return root


def test_status_tells_sizes_and_age_and_that_all_is_well(run: Run, indexed: Path) -> None:
    ran = run("status")
    assert ran.code == 0
    assert f"{indexed}\n  2 files (25 B), 2 chunks" in ran.stdout
    assert "last run: succeeded" in ran.stdout
    found = run("status", "--json").json()
    assert found["schema"] == 1
    assert found["repositories"][0]["scanned_seconds_ago"] < 3600
    assert found["catalog_bytes"] > 0
    assert found["pending_chunks"] == 0


def test_status_names_what_is_wrong(run: Run, indexed: Path, data_dir: Path) -> None:
    shutil.rmtree(indexed)
    (data_dir / "catalog/damaged").write_text("page 3 is torn", encoding="utf-8")
    shutil.rmtree(data_dir / "text")
    ran = run("status")
    assert ran.code == 1
    assert "the root cannot be opened" in ran.stdout
    assert "page 3 is torn" in ran.stdout
    assert "the next 'codetrove index' adds them" in ran.stdout


@pytest.mark.parametrize("command", [("status",), ("forget", "x", "--yes"), ("backup", "x.zip")])
def test_before_anything_is_indexed_a_command_says_what_to_do(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command)
    assert ran.code == 3
    assert "run 'codetrove index PATH' first" in ran.stderr


def test_forget_removes_everything_and_asks_before(run: Run, indexed: Path, tree: TreeFactory) -> None:
    other = tree({"b.py": "def beta(): ...\n"}, name="other")
    run("index", other)
    refused = run("forget", indexed)
    assert (refused.code, "--yes" in refused.stderr) == (2, True)
    ran = run("forget", indexed, "--yes", "--json")
    assert ran.code == 0
    assert (ran.json()["files"], ran.json()["chunks"]) == (2, 2)
    assert run("search", "alpha").code == 1
    assert run("search", "beta").code == 0
    assert str(indexed) not in run("status").stdout
    assert run("fsck").code == 0
    assert run("forget", indexed, "--yes").code == 2
    assert run("index", other).code == 0
    assert len(run("status", "--json").json()["repositories"]) == 1


def test_a_root_that_is_gone_can_be_forgotten(run: Run, indexed: Path) -> None:
    shutil.rmtree(indexed)
    assert run("forget", indexed, "--yes").code == 0


def test_fsck_finds_and_mends_a_lost_text_index(run: Run, indexed: Path, data_dir: Path) -> None:
    assert run("fsck", "--json").json()["clean"] is True
    shutil.rmtree(data_dir / "text")
    found = run("fsck")
    assert (found.code, "--repair" in found.stdout) == (1, True)
    mended = run("fsck", "--repair")
    assert (mended.code, "(repaired)" in mended.stdout) == (0, True)
    assert run("search", "alpha").code == 0


def test_a_backup_brings_back_what_was_forgotten(run: Run, indexed: Path, tmp_path: Path) -> None:
    file = tmp_path / "trove.backup"
    assert run("backup", file).code == 0
    again = run("backup", file)
    assert (again.code, "exists" in again.stderr) == (2, True)
    run("forget", indexed, "--yes")
    ran = run("restore", file)
    assert ran.code == 0
    assert f"codetrove index {indexed}" in ran.stdout
    assert run("search", "alpha").code == 0
    assert run("fsck").code == 0


def test_beside_an_owner_a_restore_is_laid_ready(run: Run, indexed: Path, tmp_path: Path, data_dir: Path) -> None:
    file = tmp_path / "trove.backup"
    run("backup", file)
    run("forget", indexed, "--yes")
    with Ownership(DataDirectory(data_dir)):
        ran = run("restore", file, "--json")
    assert (ran.code, ran.json()["taken_in"]) == (0, False)
    assert "a backup lies ready" in run("status").stdout
    assert run("search", "alpha").code == 3
    assert run("index", indexed).code == 0
    assert run("search", "alpha").code == 0


def test_a_damaged_backup_changes_nothing(run: Run, indexed: Path, tmp_path: Path) -> None:
    file = tmp_path / "trove.backup"
    file.write_bytes(b"PK\x03\x04 not a zip")
    ran = run("restore", file)
    assert (ran.code, "cannot be restored" in ran.stderr) == (2, True)
    assert run("search", "alpha").code == 0


def test_a_dry_run_says_what_would_happen_and_writes_nothing(run: Run, tree: TreeFactory, data_dir: Path) -> None:
    root = tree(FILES)
    ran = run("index", root, "--dry-run")
    assert ran.code == 0
    assert "read      a.py  (new)" in ran.stdout
    assert "skipped   .hidden/  (hidden: " in ran.stdout
    assert not data_dir.exists()
    run("index", root)
    (root / "notes.md").unlink()
    found = run("index", root, "--dry-run", "--json").json()
    actions = {each["path"]: each["action"] for each in found["files"]}
    assert actions["notes.md"] == "removed"
    assert found["counts"]["removed"] == 1
    assert run("search", "Alpha", "--path", "notes.md").code == 0
