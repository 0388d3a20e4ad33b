from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from storage import (
    DataDirectoryUnsuitable,
    DiskFull,
    Registry,
    TokenRecord,
    load_registry,
    save_registry,
    write_atomically,
)

SOURCE = Path(__file__).parents[2] / "src"
ONE, TWO = "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a01", "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a02"
TOKEN = TokenRecord("id", "editor", "0f" * 32, ("read",), (TWO,), 1700000000.5)
REGISTRY = Registry(
    ONE,
    {TWO: b"/src/caf\xe9 \n"},
    {"enable_parallel": True},
    tokens=(TOKEN, replace(TOKEN, name="other", repositories=None)),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_registry(tmp_path, REGISTRY)
    assert load_registry(tmp_path) == REGISTRY
    save_registry(tmp_path, REGISTRY.with_repositories({}))
    assert load_registry(tmp_path) == replace(REGISTRY, repositories={})


def test_a_new_installation_gets_a_uuid_of_its_own(tmp_path: Path) -> None:
    assert load_registry(tmp_path).installation != load_registry(tmp_path).installation
    assert list(tmp_path.iterdir()) == []


def test_f100_the_registry_is_readable_by_its_owner_alone_also_over_what_a_crash_left(tmp_path: Path) -> None:
    left = tmp_path / ".registry.json.new"
    left.write_text("left by a crash", encoding="ascii")
    left.chmod(0o666)
    save_registry(tmp_path, REGISTRY)
    assert (tmp_path / "registry.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["registry.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"schema": 1}',
        b'{"schema": 1, "installation": "x", "repositories": {}, "flags": {}}',
        json.dumps({"schema": 1, "installation": ONE, "repositories": {TWO: "L3NyYw"}, "flags": {}})
        .encode(),
        json.dumps({"schema": 1, "installation": ONE, "repositories": [], "flags": {}}).encode(),
        json.dumps({"schema": 1, "installation": ONE, "repositories": {}, "flags": 1}).encode(),
        json.dumps({"schema": 1, "installation": ONE, "repositories": {}, "flags": {}, "tokens": [{}]}).encode(),
        json.dumps({"schema": 1, "installation": ONE, "repositories": {}, "flags": {}, "tokens": ["x"]}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_registry_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "registry.json").write_bytes(content)
    with pytest.raises(DataDirectoryUnsuitable, match=r"is damaged .*restore it from a backup or move it away"):
        load_registry(tmp_path)
    assert (tmp_path / "registry.json").read_bytes() == content


def test_a_registry_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.json").write_text('{"schema": 2}', encoding="ascii")
    with pytest.raises(DataDirectoryUnsuitable, match="has schema 2, this codetrove knows 1"):
        load_registry(tmp_path)


def test_a_registry_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.json").mkdir()
    with pytest.raises(DataDirectoryUnsuitable, match="cannot be read"):
        load_registry(tmp_path)


def test_f004_a_full_disk_leaves_the_old_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_registry(tmp_path, REGISTRY)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull, match="no room left"):
            save_registry(tmp_path, Registry(TWO))
    assert load_registry(tmp_path) == REGISTRY


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryUnsuitable, match="cannot be written: No such file or directory"):
        write_atomically(tmp_path / "missing" / "file", b"")


KILLED = """
import os, signal, sys
from pathlib import Path
from storage import write_atomically

steps = 0

def counted(function):
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

os.open, os.fdopen, os.fchmod, os.fsync = map(counted, (os.open, os.fdopen, os.fchmod, os.fsync))
Path.replace = counted(Path.replace)
write_atomically(Path(sys.argv[1]), b"new" * 100_000)
"""


def test_f001_a_process_killed_at_any_step_of_a_replacement_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    old, new = b"old", b"new" * 100_000
    seen = []
    for step in range(1, 20):
        path.write_bytes(old)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(step)],
            check=False, env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )  # fmt: skip
        content = path.read_bytes()
        assert content in (old, new)
        seen.append(content)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert seen[-1] == new, "the last one was not killed"
    assert seen[0] == old
    assert seen == sorted(seen, reverse=True), "once it is new it stays so"
    assert len(seen) > 6
