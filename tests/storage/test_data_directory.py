from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import (
    DataDirectory,
    DataDirectoryInUse,
    DataDirectoryUnsuitable,
    Ownership,
    StorageError,
    Writer,
    open_reader,
)
from storage.data_directory import file_system_of

SOURCE = Path(__file__).parents[2] / "src"

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
tmpfs /mnt/with\\040space\\011and\\134more tmpfs rw 0 0
autofs /data autofs rw 0 0
//server/share /data cifs rw 0 0
me@server:/ /ssh fuse.sshfs rw 0 0

odd
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/home/me/.codetrove", "nfs4"),
        ("/home/local/x", "xfs"),
        ("/homework", "ext4"),
        ("/mnt/with space\tand\\more/x", "tmpfs"),
        ("/data", "cifs"),
        ("/ssh/x", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_innermost_latest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_new_directory_is_made_for_its_owner_alone(data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    directory.prepare()
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert directory.catalog.parent.stat().st_mode & 0o777 == 0o700
    directory.prepare()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_f100_a_directory_that_is_open_to_others_is_refused_with_the_remedy(data_dir: Path, mode: int) -> None:
    data_dir.mkdir()
    data_dir.chmod(mode)
    with pytest.raises(DataDirectoryUnsuitable, match=f"has mode {mode:04o}, open to others; run: chmod 700"):
        DataDirectory(data_dir).prepare()
    data_dir.chmod(0o700)
    DataDirectory(data_dir).prepare()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts = f"server:/ {data_dir.parent.resolve()} {kind} rw 0 0\n"
    monkeypatch.setattr("storage.data_directory.file_system_of", lambda path: file_system_of(path, mounts))
    with pytest.raises(DataDirectoryUnsuitable, match=rf"network file system \({kind}\).*--data-dir"):
        DataDirectory(data_dir).prepare()


def test_a_file_in_place_of_the_directory_is_refused(data_dir: Path) -> None:
    data_dir.write_text("", encoding="ascii")
    with pytest.raises(DataDirectoryUnsuitable, match="is not a directory"):
        DataDirectory(data_dir).prepare()
    with pytest.raises(DataDirectoryUnsuitable, match="cannot be used: Not a directory"):
        DataDirectory(data_dir / "below").prepare()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be made read-only."""
    point = tmp_path / "disk"
    point.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def remount_read_only(point: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)


async def test_f005_a_read_only_file_system_is_refused_to_writers_and_readers(disk: Path) -> None:
    directory = DataDirectory(disk / "data")
    await asyncio.to_thread(directory.prepare)
    async with Writer(directory.catalog) as writer:
        await writer.apply(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'a')").rowcount)
    remount_read_only(disk)
    for check in (directory.prepare, directory.check_readable):
        with pytest.raises(DataDirectoryUnsuitable, match=r"read-only file system.*remount it writable"):
            await asyncio.to_thread(check)
    # Those who come past the check get an error of ours, not the catalog without its last commits.
    with pytest.raises(StorageError):
        async with Writer(directory.catalog):
            pass
    with pytest.raises(StorageError):
        async with open_reader(directory.catalog) as reader:
            await reader.repositories()


def test_f005_a_directory_that_cannot_be_made_is_refused_with_the_reason(disk: Path) -> None:
    remount_read_only(disk)
    with pytest.raises(DataDirectoryUnsuitable, match="Read-only file system"):
        DataDirectory(disk / "data").prepare()


HOLDER = """
import sys
from pathlib import Path
from storage import DataDirectory, Ownership

with Ownership(DataDirectory(Path(sys.argv[1]))):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    sys.stdin.readline()
"""


@pytest.fixture
def holder(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the data directory."""
    DataDirectory(data_dir).prepare()
    program = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-c", HOLDER, str(data_dir)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_f024_a_directory_in_use_is_refused_and_its_owner_named(data_dir: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(DataDirectoryInUse, match=rf"in use by process {holder.pid} "),
        Ownership(DataDirectory(data_dir)),
    ):
        pass


def test_f024_the_lock_of_a_killed_owner_is_free(data_dir: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with Ownership(DataDirectory(data_dir)):
        pass


def test_f024_two_owners_in_one_process_exclude_each_other_too(data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    directory.prepare()
    with Ownership(directory), pytest.raises(DataDirectoryInUse), Ownership(directory):
        pass
    with Ownership(directory):
        pass


def test_a_lock_that_cannot_be_opened_is_refused_with_the_reason(data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    directory.prepare()
    directory.owner_lock.mkdir()
    with pytest.raises(DataDirectoryUnsuitable, match="cannot be opened: Is a directory"), Ownership(directory):
        pass
