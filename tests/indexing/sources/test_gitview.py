"""git is asked what it tracks, and nothing in a repository can use that to run something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexing.sources import Found, GitRefused, Rules, git_common_dir, scan, tracked_files


def test_tracked_files_are_relative_to_the_root_that_is_asked_for(repository: Path) -> None:
    assert tracked_files(repository) == frozenset({b"a.py", b"d/b.py", b"d/caf\xe9.py"})
    assert tracked_files(repository / "d") == frozenset({b"b.py", b"caf\xe9.py"})


def test_a_directory_in_no_repository_has_no_tracked_files(tmp_path: Path) -> None:
    assert tracked_files(tmp_path) is None
    assert git_common_dir(tmp_path) is None


def test_worktrees_share_the_common_directory(repository: Path, tmp_path: Path) -> None:
    git(repository, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m")
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    assert tracked_files(tmp_path / "second") == tracked_files(repository)
    expected = os.fsencode((repository / ".git").resolve())
    assert git_common_dir(tmp_path / "second") == git_common_dir(repository / "d") == expected


@pytest.mark.parametrize("damage", ["no HEAD", "bad index", "bad config", "lost git directory"])
def test_a_damaged_repository_is_refused_and_the_scan_says_so(repository: Path, damage: str) -> None:
    dot_git = repository / ".git"
    if damage == "no HEAD":
        (dot_git / "HEAD").unlink()
    elif damage == "bad index":
        (dot_git / "index").write_bytes(b"garbage" * 10)
    elif damage == "bad config":
        (dot_git / "config").write_text("[core\n", encoding="utf-8")
    else:
        dot_git.rename(repository.parent / "lost")
        dot_git.write_text("gitdir: /nonexistent\n", encoding="utf-8")
    answer = tracked_files(repository)
    assert isinstance(answer, GitRefused)
    assert answer.reason
    found = scan(repository, Rules())
    paths = {item.path for item in found if isinstance(item, Found)}
    assert found.git == "refused"
    assert b"a.py" in paths
    assert "git does not answer" in found.warnings[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_repository_of_somebody_else_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("SUDO_UID", raising=False)
    os.chown(repository, 65534, 65534)
    os.chown(repository / ".git", 65534, 65534)
    answer = tracked_files(repository)
    assert isinstance(answer, GitRefused)
    assert "dubious ownership" in answer.reason


def test_f087_nothing_that_a_hostile_repository_configures_is_run(repository: Path, tmp_path: Path) -> None:
    pwned = tmp_path / "PWNED"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{pwned}'\nexit 0\n", encoding="utf-8")
    script.chmod(0o755)
    for hook in ("post-index-change", "post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        (repository / ".git" / "hooks" / hook).write_bytes(script.read_bytes())
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n", encoding="utf-8")
    (repository / ".gitmodules").write_text(
        f'[submodule "s"]\npath=d\nurl={tmp_path}\nupdate=!{script}\n', encoding="utf-8"
    )
    with (repository / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(
            f"[core]\nfsmonitor = {script}\nsshCommand = {script}\npager = {script}\neditor = {script}\n"
            f"gitProxy = {script}\nhooksPath = {repository}/.git/hooks\nuntrackedCache = true\n"
            f'[filter "evil"]\nclean = {script}\nsmudge = {script}\nprocess = {script}\nrequired = true\n'
            f'[diff "evil"]\ncommand = {script}\ntextconv = {script}\n[submodule "s"]\nupdate = !{script}\n'
            f"[submodule]\nrecurse = true\n[alias]\nls-files = !{script}\n[credential]\nhelper = !{script}\n"
            f'[remote "origin"]\nurl = {tmp_path}/none\nuploadpack = {script}\npromisor = true\n'
            f"[extensions]\npartialClone = origin\n[pager]\nls-files = {script}\n"
        )
    stale = (repository / "a.py").stat().st_mtime_ns - 10**10
    os.utime(repository / "a.py", ns=(stale, stale))
    found = scan(repository, Rules())
    assert {item.path for item in found if isinstance(item, Found)} >= {b"a.py", b"d/b.py"}
    assert found.git == "used"
    assert not pwned.exists(), pwned.read_text(encoding="utf-8")
    # The fixture is a real trap: plain git walks into it.
    subprocess.run(["git", "status"], cwd=repository, env=environment(), capture_output=True, check=False)
    assert pwned.exists()


def test_f087_the_environment_cannot_redirect_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert tracked_files(repository) == frozenset({b"a.py", b"d/b.py", b"d/caf\xe9.py"})


def test_without_a_git_program_the_tree_is_walked_without_it(repository: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from indexing.sources import Rules, scan; "
        "s = scan(Path(sys.argv[1]), Rules()); print(len(list(s)), s.git)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code, str(repository)],
        env={"PATH": "/nonexistent", "PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == [b"4", b"absent"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "d").mkdir(parents=True)
    git(root, "init", "-q")
    for name in (b"a.py", b"d/b.py", b"d/caf\xe9.py"):
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(b"x = 1\n")
    git(root, "add", ".")
    return root


def environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, env=environment(), check=True, capture_output=True)
