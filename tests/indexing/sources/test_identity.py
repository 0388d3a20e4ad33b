"""When a root is the same root, and when a file is really gone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from indexing.sources import DirectoryHandles, RootIdentity, identify, same_root, still_there


def test_f061_the_inode_always_counts_and_the_device_within_one_boot() -> None:
    known = RootIdentity(device=1, inode=2, boot_id="one")
    assert same_root(known, known)
    assert not same_root(known, replace(known, inode=3))
    assert not same_root(known, replace(known, device=9))
    assert same_root(known, replace(known, device=9, boot_id="two"))
    assert not same_root(known, replace(known, device=9, inode=3, boot_id="two"))
    unknown = replace(known, boot_id="")
    assert same_root(unknown, replace(unknown, device=9))


def test_f061_a_directory_keeps_its_identity_when_it_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with DirectoryHandles.open(tmp_path / "a") as handles:
        before = identify(handles.root_fd)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    with DirectoryHandles.open(tmp_path / "b") as handles:
        assert same_root(before, identify(handles.root_fd))
    with DirectoryHandles.open(tmp_path / "a") as handles:
        assert not same_root(before, identify(handles.root_fd))


def test_f061_only_what_the_system_calls_missing_is_absent(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "loop").symlink_to("loop")
    with DirectoryHandles.open(tmp_path) as handles:
        root = handles.root_fd
        assert still_there(root, b"d/f") == "present"
        assert still_there(root, b"link") == "present"
        assert still_there(root, b"d/gone") == "absent"
        assert still_there(root, b"gone/f") == "absent"
        assert still_there(root, b"d/f/below") == "absent"
        assert still_there(root, b"link/f") == "absent"
        assert still_there(root, b"loop/f") == "unknown"
        assert still_there(root, b"x" * 256) == "unknown"


def test_f061_below_a_deleted_root_nothing_is_known(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with DirectoryHandles.open(root) as handles:
        root.rmdir()
        assert still_there(handles.root_fd, b"f") == "unknown"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_f060_denied_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    with DirectoryHandles.open(tmp_path) as handles:
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(0 if still_there(handles.root_fd, b"closed/f") == "unknown" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
