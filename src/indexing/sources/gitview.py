"""What git says about a tree, asked such that nothing in the tree can make git run anything.

A repository's own configuration may name programs (fsmonitor, hooks, filters, transports for missing objects). Only
``ls-files`` is ever run, which reads the index and neither content nor submodules; what could still start a
program is switched off on the command line, which wins over the repository's configuration.
"""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TIMEOUT_SECONDS: Final = 60
_OVERRIDES = (
    "core.fsmonitor=",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.sshCommand=false",
    "core.pager=cat",
    "protocol.allow=never",
    "submodule.recurse=false",
)
_PASSED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SUDO_UID")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
    "GIT_ASKPASS": "false",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_MAX_POINTER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class GitRefused:
    """There is a git repository, but git does not answer; what it tracks is unknown."""

    reason: str


@dataclass(frozen=True, slots=True)
class Worktree:
    """A git working tree, found by looking at the directories alone."""

    top: Path
    git_directory: Path
    common_directory: Path


def tracked_files(root: Path, *, ceiling: Path | None = None) -> frozenset[bytes] | GitRefused | None:
    """The paths that git tracks below ``root``, relative to it; submodules appear as the path of their directory.

    None when there is no git or ``root`` is in no repository. Repositories above ``ceiling`` do not count.
    """
    program = _git_program()
    if program is None:
        return None
    worktree = find_worktree(root, ceiling=ceiling)
    import subprocess  # noqa: PLC0415 - not needed by commands that only search

    settings = [word for override in _OVERRIDES for word in ("-c", override)]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ENVIRONMENT
    if ceiling is not None:
        environment["GIT_CEILING_DIRECTORIES"] = str(ceiling)
    try:
        answer = subprocess.run(  # noqa: S603 - fixed program and arguments, no shell
            [program, "--no-pager", *settings, "ls-files", "-z", "--cached"],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return GitRefused(f"git did not answer within {TIMEOUT_SECONDS} s")
    except OSError as error:
        return GitRefused(f"git could not be started: {error.strerror}")
    if answer.returncode == 0:
        return frozenset(answer.stdout.split(b"\0")) - {b""}
    if worktree is None:
        return None
    return GitRefused(_first_line(answer.stderr) or f"git ended with status {answer.returncode}")


def find_worktree(root: Path, *, ceiling: Path | None = None) -> Worktree | None:
    """The innermost working tree that holds ``root``, without running git and within one file system."""
    start = root.absolute()
    try:
        device = start.stat().st_dev
        for directory in (start, *start.parents):
            if directory == ceiling or directory.stat().st_dev != device:
                return None
            found = _git_directory(directory)
            if found is not None:
                return Worktree(directory, found, _common_directory(found))
    except OSError:
        return None
    return None


def git_common_dir(root: Path) -> bytes | None:
    """The directory that all working trees of the repository around ``root`` share, absolute; None outside of one."""
    worktree = find_worktree(root)
    return None if worktree is None else os.fsencode(worktree.common_directory.resolve())


def is_repository(directory: Path) -> bool:
    """Whether a working tree begins at ``directory``: it holds a ``.git`` that looks like one."""
    return _git_directory(directory) is not None


def _git_directory(directory: Path) -> Path | None:
    dot_git = directory / ".git"
    try:
        mode = dot_git.stat().st_mode
    except OSError:
        return None
    if modes.S_ISDIR(mode):
        # A damaged repository must not pass for none: any of its usual parts will do.
        return dot_git if any((dot_git / part).exists() for part in ("HEAD", "objects", "index", "config")) else None
    if modes.S_ISREG(mode):
        target = _pointer(dot_git).removeprefix("gitdir:")
        return (directory / target.strip()) if target else None
    return None


def _common_directory(git_directory: Path) -> Path:
    target = _pointer(git_directory / "commondir")
    return git_directory / target if target else git_directory


def _pointer(path: Path) -> str:
    """The one line of a small file that names another directory; empty if it cannot be read."""
    try:
        if not modes.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            return os.fsdecode(file.read(_MAX_POINTER_BYTES).strip())
    except OSError:
        return ""


def _first_line(stderr: bytes) -> str:
    line = stderr.decode("utf-8", "replace").partition("\n")[0].strip().removeprefix("fatal: ")
    return "".join(char if char.isprintable() else " " for char in line)[:300]


@cache
def _git_program() -> str | None:
    import shutil  # noqa: PLC0415 - see above

    return shutil.which("git")
