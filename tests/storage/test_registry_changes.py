"""Changes of ``registry.json`` that come at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from storage import Registry, change_registry, load_registry

SOURCE = Path(__file__).parents[2] / "src"


def test_changes_of_several_threads_all_count_and_leave_a_whole_file(tmp_path: Path) -> None:
    change_registry(tmp_path, lambda registry: registry)

    def add(number: int) -> None:
        def changed(registry: Registry) -> Registry:
            return replace(registry, flags=registry.flags | {f"flag{number}": True})

        change_registry(tmp_path, changed)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert len(load_registry(tmp_path).flags) == 40


ADDING = """
import sys
from dataclasses import replace
from pathlib import Path
from storage import change_registry

sys.stdin.readline()
for number in range(40):
    name = f"{sys.argv[2]}-{number}"
    change_registry(Path(sys.argv[1]), lambda registry: replace(registry, flags=registry.flags | {name: True}))
"""


def test_changes_of_several_processes_all_count(tmp_path: Path) -> None:
    change_registry(tmp_path, lambda registry: registry)
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", ADDING, str(tmp_path), str(number)],
                    stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)},
                )
            )
            for number in range(3)
        ]  # fmt: skip
        for process in running:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in running:
            process.wait()
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(load_registry(tmp_path).flags) == 120


def test_a_registry_that_stays_as_it_is_is_not_written_again(tmp_path: Path) -> None:
    change_registry(tmp_path, lambda registry: registry)
    before = (tmp_path / "registry.json").stat().st_ino
    change_registry(tmp_path, lambda registry: registry)
    assert (tmp_path / "registry.json").stat().st_ino == before
