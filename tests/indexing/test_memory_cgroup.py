"""A real memory control group around real processes, where this machine lets one be made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.memory_group import memory_group

MIB = 1024 * 1024
CGROUP_BYTES = 192 * MIB


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """An empty control group with a limit of `CGROUP_BYTES`; skips with the reasons where none can be made."""
    with ExitStack() as stack:
        try:
            group = stack.enter_context(memory_group(CGROUP_BYTES))
        except OSError as error:
            pytest.skip(str(error))
        yield group


def in_the_group(group: Path, script: str, *arguments: str) -> Any:
    """What a Python process in the group prints as JSON; fails if the kernel killed it."""
    enter = f"import os, pathlib; pathlib.Path({str(group / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
    program = [sys.executable, "-P", "-c", enter + script, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


READ = """
import json, mmap
import psutil
from indexing.memory import read_memory
before = read_memory()
held = mmap.mmap(-1, 2**26)
held.write(b"x" * 2**26)
after = read_memory()
growth = after.used_bytes - before.used_bytes
print(json.dumps([after.source, after.limit_bytes, growth, psutil.virtual_memory().total]))
"""


def test_f014_a_real_control_group_is_seen_where_psutil_sees_the_machine(memory_cgroup: Path) -> None:
    source, limit, growth, machine = in_the_group(memory_cgroup, READ)
    assert (source, limit) == ("cgroup", CGROUP_BYTES)
    assert limit < machine
    assert 60 * MIB <= growth < 200 * MIB


# Workers are only counted here; the blocks are the memory that they take, 4 MiB a step.
GUARDED = """
import asyncio, json, mmap
from indexing.memory_guard import GuardSettings, MemoryGuard

async def main():
    limits, pressed, held = [], [], []
    def note(verdict):
        limits.append(verdict.limit)
        pressed.append(verdict.is_pressed)
    settings = GuardSettings(max_percent=70, max_worker_bytes=2**24, check_seconds=3600)
    guard = MemoryGuard(settings, wanted=lambda: 4, running=lambda: guard.verdict.limit, on_verdict=note)
    async with guard:
        while not guard.verdict.is_pressed:
            block = mmap.mmap(-1, 2**22)
            block.write(b"x" * 2**22)
            held.append(block)
            await guard.look()
        reason, taken = guard.verdict.reason, len(held)
        for block in held:
            block.close()
        for _ in range(4):
            await guard.look()
    return limits, pressed, reason, taken

print(json.dumps(asyncio.run(main())))
"""


def test_f014_in_a_real_control_group_work_is_held_back_before_the_kernel_kills(memory_cgroup: Path) -> None:
    limits, pressed, reason, taken = in_the_group(memory_cgroup, GUARDED)
    assert limits == [4, 3, 2, 1, 1, 2, 3, 4]
    assert pressed == [False] * 4 + [True] + [False] * 3
    assert reason.startswith(("85 %", "86 %", "87 %", "88 %"))
    assert "of the 192 MiB of the control group are in use" in reason
    assert 10 < taken < CGROUP_BYTES // 2**22


FILES = """
import json, os, sys
from indexing.memory import read_memory
block = os.urandom(2**20)
with open(sys.argv[1], "w+b") as file:
    for _ in range(128):
        file.write(block)
    os.fsync(file.fileno())
    for _ in range(3):
        file.seek(0)
        while file.read(2**20):
            pass
    print(json.dumps(read_memory().percent))
"""


def test_f014_files_that_were_read_do_not_hold_work_back(memory_cgroup: Path, tmp_path: Path) -> None:
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True)
    if filesystem.stdout.strip() in {"tmpfs", "ramfs"}:
        pytest.skip("files of a tmpfs are memory in use")
    assert in_the_group(memory_cgroup, FILES, str(tmp_path / "file")) < 60
