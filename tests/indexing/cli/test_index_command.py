"""``codetrove index``, from its arguments to its exit code and summary."""

from __future__ import annotations

import ctypes
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import DataDirectory, Ownership

if TYPE_CHECKING:
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

FILES = {
    "src/a.py": "def alpha():\n    return 1\n",
    "src/b.py": "def beta():\n    return 2\n",
    "logo.png": b"\x89PNG\0",
}
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h


def test_the_summary_adds_up_and_names_the_reasons(run: Run, tree: TreeFactory) -> None:
    ran = run("index", tree(FILES))
    assert ran.code == 0
    assert _sums(ran.stdout) == {"seen": 3, "indexed": 2, "unchanged": 0, "skipped": 1, "failed": 0}
    assert "skipped 1 (binary 1)" in ran.stdout
    assert re.search(r"in [\d.]+ s: \d+ B read, [\d.]+ k?B/s, 2 new chunks", ran.stdout)


def test_a_second_run_reads_nothing_and_a_removed_file_is_counted(run: Run, tree: TreeFactory) -> None:
    root = tree(FILES)
    old = time.time() - 60
    for path in root.rglob("*.*"):
        os.utime(path, (old, old))
    run("index", root)
    (root / "src/b.py").unlink()
    ran = run("index", root)
    assert ran.code == 0
    assert _sums(ran.stdout)["seen"] == 2
    assert "removed 1" in ran.stdout


def test_nothing_but_the_result_goes_to_standard_output(run: Run, tree: TreeFactory) -> None:
    ran = run("--verbose", "index", tree(FILES), "--json")
    job = ran.json()["jobs"][0]
    assert ran.json()["schema"] == 1
    assert job["state"] == "succeeded"
    assert job["seen"] == job["indexed"] + job["unchanged"] + job["skipped"]["total"] + job["failed"]["total"]
    assert "indexing" in ran.stderr


def test_include_and_exclude_choose_files(run: Run, tree: TreeFactory) -> None:
    root = tree({**FILES, "src/c.js": "let c = 1\n"})
    counts = run("index", root, "--include", "*.py", "--include", "*.js", "--exclude", "b.py", "--json").json()["jobs"][
        0
    ]
    assert counts["indexed"] == 2
    assert counts["skipped"]["reasons"] == {"excluded": 2}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path / "missing", "there is nothing at"),
        (lambda path: _written(path / "file.py"), "is a file; give the directory"),
        (lambda path: _made(path / "empty"), "holds nothing to index"),
    ],
    ids=["missing", "file", "empty tree"],
)
def test_what_cannot_be_indexed_is_an_error_in_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    ran = run("index", make(tmp_path))
    assert ran.code == 2
    errors = [line for line in ran.stderr.splitlines() if "indexing" not in line]
    assert len(errors) == 1
    assert says in errors[0]
    assert ran.stdout == ""
    assert "no repository" in run("status").stdout or not (tmp_path / "data").exists()


def test_a_tree_inside_an_indexed_one_is_refused(run: Run, tree: TreeFactory) -> None:
    root = tree(FILES)
    run("index", root)
    ran = run("index", root / "src")
    assert (ran.code, "lies inside the indexed repository" in ran.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("--exclude", "**/" * 9 + "x"), ("--exclude", "")], ids=["stars", "empty"])
def test_f088_a_glob_outside_the_limits_is_refused(run: Run, tree: TreeFactory, arguments: tuple[str, ...]) -> None:
    ran = run("index", tree(FILES), *arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.stderr


def test_another_directory_at_the_root_is_taken_only_when_told(run: Run, tree: TreeFactory, tmp_path: Path) -> None:
    root = tree(FILES)
    run("index", root)
    root.rename(tmp_path / "elsewhere")
    tree({"src/a.py": "def gamma(): ...\n"})
    ran = run("index", root)
    assert (ran.code, "--accept-root" in ran.stderr) == (2, True)
    assert run("search", "beta").code == 0
    assert run("index", root, "--accept-root").code == 0
    assert run("search", "beta").code == 1


def test_unreadable_files_are_listed_and_keep_their_chunks(run: Run, start: Start, tree: TreeFactory) -> None:
    root = tree(FILES)
    run("index", root)
    (root / "src/a.py").write_text("def changed(): ...\n", encoding="utf-8")
    (root / "src/a.py").chmod(0)
    stdout, _ = (process := start("index", root, before=_without_power_over_files)).communicate()
    assert process.returncode == 1
    assert "failed 1 (denied 1)" in stdout
    assert "failed: src/a.py: denied" in stdout
    assert _sums(stdout)["seen"] == 3
    assert run("symbol", "alpha").code == 0
    assert "1 files failed in the last run: src/a.py (denied)" in run("status").stdout


def test_f024_a_second_owner_is_refused_by_name_and_reading_works_beside_it(
    run: Run, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES)
    run("index", root)
    with Ownership(DataDirectory(data_dir)):
        for command in (("index", root), ("forget", root, "--yes"), ("fsck",)):
            ran = run(*command)
            assert ran.code == 3
            assert f"in use by process {os.getpid()}" in ran.stderr
        assert run("search", "alpha").code == 0
        assert run("symbol", "alpha").code == 0
        assert run("index", root, "--dry-run").code == 0
        assert f"owner: process {os.getpid()}" in run("status").stdout
    assert "owner: none" in run("status").stdout


def test_f029_a_crash_loop_is_not_gone_on_with(run: Run, tree: TreeFactory, data_dir: Path) -> None:
    root = tree(FILES)
    run("index", root)
    (data_dir / "starts").write_text(f"{time.time()}\n{time.time()}", encoding="ascii")
    ran = run("index", root)
    assert (ran.code, "died in their recovery" in ran.stderr) == (3, True)
    assert run("search", "alpha").code == 0


def test_a_data_directory_that_cannot_be_one_is_refused_with_the_remedy(
    run: Run, tree: TreeFactory, data_dir: Path
) -> None:
    data_dir.write_text("", encoding="utf-8")
    ran = run("index", tree(FILES))
    assert (ran.code, "--data-dir" in ran.stderr) == (3, True)
    data_dir.unlink()
    data_dir.mkdir(mode=0o755)
    data_dir.chmod(0o755)
    ran = run("index", tree(FILES))
    assert (ran.code, "chmod 700" in ran.stderr) == (3, True)


@pytest.mark.parametrize("met", ["at the start", "in the run"])
def test_f008_a_damaged_catalog_is_moved_aside_and_comes_back_from_disk(
    run: Run, tree: TreeFactory, data_dir: Path, met: str
) -> None:
    root, other = tree(FILES), tree({"x.py": "def omega(): ...\n"}, name="other")
    run("index", other)
    before = run("index", root, "--json").json()["jobs"][0]["repository"]
    _tear_a_page(data_dir / "catalog/catalog.db", "meta" if met == "at the start" else "exclusions")
    ran = run("index", root, "--json")
    assert ran.code == 0
    assert {Path(job["root"]).name: job["repository"] for job in ran.json()["jobs"]}[root.name] == before
    assert any("damaged" in message for message in ran.json()["messages"])
    assert list(data_dir.glob("catalog.damaged-*"))
    assert run("search", "omega").code == 0
    assert run("fsck").code == 0


def _sums(text: str) -> dict[str, int]:
    """The sum of a summary, which must add up."""
    (line,) = [line for line in text.splitlines() if line.startswith("  seen")]
    found = {name: int(count) for name, count in re.findall(r"(seen|indexed|unchanged|skipped|failed) (\d+)", line)}
    assert found["seen"] == sum(found.values()) - found["seen"]
    return found


def _without_power_over_files() -> None:
    """Run in the new process: root loses its right to read what no one may read."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE)
    prctl(_PR_CAPBSET_DROP, _CAP_DAC_READ_SEARCH)


def _tear_a_page(catalog: Path, table: str) -> None:
    """Overwrite the page at which a table begins."""
    with closing(sqlite3.connect(catalog)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with catalog.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def _written(path: Path) -> Path:
    path.write_text("x = 1\n", encoding="utf-8")
    return path


def _made(path: Path) -> Path:
    path.mkdir()
    return path
