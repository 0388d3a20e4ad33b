"""Changes of ``registry.json`` that come at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from storage import Registry, change_registry, load_registry

if TYPE_CHECKING:
    from pathlib import Path


def test_changes_of_several_threads_all_count_and_leave_a_whole_file(tmp_path: Path) -> None:
    change_registry(tmp_path, lambda registry: registry)

    def add(number: int) -> None:
        def changed(registry: Registry) -> Registry:
            return replace(registry, flags=registry.flags | {f"flag{number}": True})

        change_registry(tmp_path, changed)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert len(load_registry(tmp_path).flags) == 40


def test_a_registry_that_stays_as_it_is_is_not_written_again(tmp_path: Path) -> None:
    change_registry(tmp_path, lambda registry: registry)
    before = (tmp_path / "registry.json").stat().st_ino
    change_registry(tmp_path, lambda registry: registry)
    assert (tmp_path / "registry.json").stat().st_ino == before
