"""Opening and reading files that somebody else is changing."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from indexing.sources import (
    DirectoryHandles,
    FileChanging,
    NotBeneathRoot,
    NotRegularFile,
    ReadFile,
    TooLarge,
    open_beneath,
    read_bounded,
    read_stable,
)


def test_a_file_is_read_with_the_stat_that_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_bytes(b"x = 1\n")
    with DirectoryHandles.open(tmp_path) as handles:
        read = read_stable(handles, b"a/b.py", 100)
    assert isinstance(read, ReadFile)
    now = (tmp_path / "a" / "b.py").stat()
    assert read.data == b"x = 1\n"
    assert read.stat.size == 6
    assert (read.stat.mtime_ns, read.stat.ctime_ns, read.stat.inode) == (now.st_mtime_ns, now.st_ctime_ns, now.st_ino)


@pytest.mark.parametrize(
    "path", [b"", b"/etc/passwd", b"../x", b"a/../x", b"a//b", b"./a", b"a/.", b"a/", b"a\0b", b"/"]
)
def test_f057_paths_that_do_not_stay_below_the_root_are_refused(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "a").mkdir()
    with DirectoryHandles.open(tmp_path) as handles, pytest.raises(NotBeneathRoot):
        open_beneath(handles.root_fd, path)


def test_f057_links_are_followed_neither_as_files_nor_as_directories(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside / "secret")
    (root / "dir").symlink_to(outside)
    with DirectoryHandles.open(root) as handles:
        with pytest.raises(NotRegularFile, match="symbolic link"):
            read_stable(handles, b"link", 100)
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            read_stable(handles, b"dir/secret", 100)


@pytest.mark.parametrize("where", ["file", "directory"])
def test_f058_swapping_a_component_for_a_link_never_reads_outside(tmp_path: Path, where: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "d").mkdir(parents=True)
    (outside / "d" / "f").write_bytes(b"SECRET")
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"public")
    swapped = root / "d" / "f" if where == "file" else root / "d"
    good, bad = tmp_path / "good", tmp_path / "bad"
    bad.symlink_to(outside / "d" / "f" if where == "file" else outside / "d")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            swapped.rename(good)
            bad.rename(swapped)
            swapped.rename(bad)
            good.rename(swapped)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes] = set()
    refused = 0
    try:
        tries = 0
        while tries < 500 or not (seen and refused):
            tries += 1
            with DirectoryHandles.open(root) as handles:
                try:
                    read = read_stable(handles, b"d/f", 100)
                except (OSError, NotRegularFile, FileChanging):
                    refused += 1
                    continue
                assert isinstance(read, ReadFile)
                seen.add(read.data)
    finally:
        stop.set()
        thread.join()
    assert seen == {b"public"}


@pytest.mark.parametrize("kind", ["link", "FIFO"])
def test_f058_what_takes_the_place_of_a_file_after_it_was_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "outside").write_bytes(b"SECRET")
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_bytes(b"public")
    look = os.stat

    def look_then_swap(path: bytes, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        result = look(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        monkeypatch.undo()
        (root / "f").unlink()
        if kind == "link":
            (root / "f").symlink_to(tmp_path / "outside")
        else:
            os.mkfifo(root / "f")
        return result

    with DirectoryHandles.open(root) as handles:
        monkeypatch.setattr(os, "stat", look_then_swap)
        with pytest.raises(NotRegularFile, match=r"no longer a regular file|is a FIFO"):
            read_stable(handles, b"f", 100)


def test_f059_fifos_sockets_and_devices_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.py")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s.py"))
    with server, DirectoryHandles.open(tmp_path) as handles:
        with pytest.raises(NotRegularFile, match="FIFO"):
            read_stable(handles, b"x.py", 100)
        with pytest.raises(NotRegularFile, match="socket"):
            read_stable(handles, b"s.py", 100)
    with DirectoryHandles.open(Path("/dev")) as handles, pytest.raises(NotRegularFile, match="character device"):
        open_beneath(handles.root_fd, b"zero")


def test_f049_a_file_that_grows_while_it_is_read_stays_within_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 10)
    fd = os.open(path, os.O_RDONLY)
    try:
        with path.open("ab") as file:
            file.write(b"y" * 1_000_000)
        assert read_bounded(fd, 100) == TooLarge(100)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 101
    finally:
        os.close(fd)


@pytest.mark.parametrize(("size", "fits"), [(0, True), (99, True), (100, True), (101, False)])
def test_f049_the_limit_itself_is_allowed(tmp_path: Path, size: int, fits: bool) -> None:
    (tmp_path / "f").write_bytes(b"x" * size)
    with DirectoryHandles.open(tmp_path) as handles:
        read = read_stable(handles, b"f", 100)
    assert isinstance(read, ReadFile) is fits


def test_f062_a_file_that_changes_during_a_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    changes = _change_after_reading(path, monkeypatch, times=3)
    with DirectoryHandles.open(tmp_path) as handles:
        read = read_stable(handles, b"f", 100)
    assert isinstance(read, ReadFile)
    assert read.data == b"+++"
    assert changes == [3, 2, 1]


def test_f062_a_change_that_keeps_the_size_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    real = os.read

    def read_then_overwrite(fd: int, size: int) -> bytes:
        data = real(fd, size)
        if not data:
            monkeypatch.undo()
            path.write_bytes(b"new")
            os.utime(path, ns=(1, 1))
        return data

    monkeypatch.setattr(os, "read", read_then_overwrite)
    with DirectoryHandles.open(tmp_path) as handles:
        read = read_stable(handles, b"f", 100)
    assert isinstance(read, ReadFile)
    assert read.data == b"new"


def test_f062_a_file_that_never_rests_is_given_up_after_four_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    changes = _change_after_reading(path, monkeypatch, times=10)
    with (
        DirectoryHandles.open(tmp_path) as handles,
        pytest.raises(FileChanging, match="'f' changed during each of 4 reads"),
    ):
        read_stable(handles, b"f", 100)
    assert len(changes) == 4


def test_handles_are_shared_within_a_directory_and_bounded(tmp_path: Path) -> None:
    for directory in "abcdef":
        (tmp_path / directory / "x" / "y").mkdir(parents=True)
        (tmp_path / directory / "x" / "y" / "f").write_bytes(directory.encode())
    with DirectoryHandles.open(tmp_path, capacity=3) as handles:
        assert handles.directory(b"a/x/y") == handles.directory(b"a/x/y")
        before = _open_descriptors()
        for directory in "abcdef" * 2:
            read = read_stable(handles, f"{directory}/x/y/f".encode(), 10)
            assert isinstance(read, ReadFile)
            assert read.data == directory.encode()
        assert _open_descriptors() <= before


def test_reading_ahead_asks_for_what_will_be_read_and_never_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    asked = []

    def advise(fd: int, offset: int, length: int, advice: int) -> None:
        asked.append((os.fstat(fd).st_ino, offset, length, advice))

    monkeypatch.setattr(os, "posix_fadvise", advise, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    before = _open_descriptors()
    with DirectoryHandles.open(tmp_path) as handles:
        for path in (b"f", b"fifo", b"link", b"missing", b"missing/f", b"../f", b"/f"):
            handles.read_ahead(path, 100)
        monkeypatch.delattr(os, "posix_fadvise")  # as on macOS
        handles.read_ahead(b"f", 100)
    assert asked == [((tmp_path / "f").stat().st_ino, 0, 100, 3)]
    assert _open_descriptors() == before


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "f").write_bytes(b"x")
    before = _open_descriptors()
    with DirectoryHandles.open(tmp_path) as handles:
        os.close(open_beneath(handles.root_fd, b"f"))
        for path in (b"fifo", b"missing", b"missing/f"):
            with pytest.raises((NotRegularFile, FileNotFoundError)):
                handles.open_file(path)
    assert _open_descriptors() == before


def _change_after_reading(path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Appends to the file between a read and the second stat; the size it then has is in the data of the next read."""
    left = [times]
    changes: list[int] = []
    real = os.read

    def read_then_change(fd: int, size: int) -> bytes:
        data = real(fd, size)
        if not data and left[0]:
            changes.append(left[0])
            left[0] -= 1
            with path.open("ab") as file:
                file.write(b"+")
        return data

    monkeypatch.setattr(os, "read", read_then_change)
    return changes


def _open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
