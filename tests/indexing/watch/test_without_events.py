"""Where events are lost or cannot be had, scans find what changed: rows 69, 70 and 74."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from indexing.settings import WatchSettings
from indexing.watch import following, handing_in, listener
from indexing.watch.changes import Change
from indexing.watch.errors import EventsEnded, EventsUnavailable
from indexing.watch.listener import Listener
from tests.indexing.watch.conftest import Watch

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

FILES = {"a.py": "a = 1\n", "pkg/b.py": "b = 1\n"}
OFTEN = WatchSettings(debounce_ms=20, scan_seconds=1)


class Deaf(Listener):
    """Hears nothing, as when the queue of the system ran over, or on a file system without events."""

    def __init__(
        self,
        directories: Sequence[bytes],
        on_changes: Callable[[Sequence[Change], bool], None],
        on_end: Callable[[EventsEnded], None],
    ) -> None:
        del on_changes
        super().__init__(directories, lambda *_: None, on_end)


async def test_f069_what_no_event_told_is_found_by_the_next_scan(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.watch.tree_events.Listener", Deaf)
    async with watch(tree(FILES), settings=OFTEN) as watched:
        await watched.listening()
        for number in range(500):
            (watched.root / f"pkg/n{number}.py").write_text(f"n = {number}\n")
        (watched.root / "a.py").unlink()
        await watched.until(watched.equals_the_tree)
        assert {job.origin for job in watched.jobs[2:]} == {"scan"}
        assert watched.state.mode == "events"


async def test_f069_after_a_time_without_a_look_the_whole_tree_counts_as_changed(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Callable[[Sequence[Change], bool], None]] = []

    class Kept(Deaf):
        def __init__(
            self,
            directories: Sequence[bytes],
            on_changes: Callable[[Sequence[Change], bool], None],
            on_end: Callable[[EventsEnded], None],
        ) -> None:
            heard.append(on_changes)
            super().__init__(directories, on_changes, on_end)

    monkeypatch.setattr("indexing.watch.tree_events.Listener", Kept)
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        (watched.root / "a.py").write_text("a = 2\n")
        await asyncio.to_thread(heard[-1], (), True)
        await watched.until(lambda: watched.is_indexed("a.py"))
        assert watched.state.overflows == 1
        assert watched.jobs[-1].paths is None


def test_f069_a_thread_that_could_not_look_for_long_says_so() -> None:
    pulse = listener._Pulse()
    assert not pulse.is_set()
    assert not pulse.take_gap()
    pulse._looked -= listener.GAP_SECONDS + 1
    assert not pulse.is_set()
    assert pulse.take_gap()
    assert not pulse.take_gap()


EXHAUSTED = [
    OSError(28, "OS file watch limit reached"),
    WatchfilesRustInternalError("Error creating recommended watcher: Too many open files (os error 24)"),
]


@pytest.mark.parametrize("error", EXHAUSTED, ids=["no watches", "no instances"])
async def test_f070_without_watches_the_tree_is_scanned_and_it_is_said_and_events_come_back(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    exhausted = True

    def limited(*arguments: object, **options: object) -> RustNotify:
        if exhausted:
            raise error
        return RustNotify(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(listener, "RustNotify", limited)
    monkeypatch.setattr(handing_in, "POLL_SECONDS", 0.05)
    monkeypatch.setitem(following.AGAIN_SECONDS, EventsUnavailable, (0.2, 0.2))
    async with watch(tree(FILES)) as watched:
        await watched.until(lambda: bool(watched.state.problem))
        assert watched.state.mode == "scan"
        assert "fs.inotify.max_user_watches" in watched.state.problem
        (watched.root / "pkg/new.py").write_text("new = 1\n")
        await watched.until(watched.equals_the_tree)
        assert watched.state.mode == "scan"
        exhausted = False
        await watched.listening()
        assert watched.state.problem == ""


async def test_f070_when_watches_run_out_for_a_new_directory_the_tree_is_scanned(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_in, "POLL_SECONDS", 0.05)
    async with watch(tree(FILES)) as watched:
        await watched.listening()

        def refuse(*_: object, **__: object) -> RustNotify:
            raise EXHAUSTED[0]

        monkeypatch.setattr(listener, "RustNotify", refuse)
        (watched.root / "new").mkdir()
        await watched.until(lambda: watched.state.mode == "scan")
        (watched.root / "new/n.py").write_text("n = 1\n")
        await watched.until(watched.equals_the_tree)


async def test_f074_on_a_file_system_without_events_scans_find_every_kind_of_change(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.watch.tree_events.Listener", Deaf)
    async with watch(tree(FILES), settings=OFTEN) as watched:
        await watched.until(watched.equals_the_tree)
        (watched.root / "a.py").write_text("a = 22\n")
        (watched.root / "pkg").rename(watched.root / "moved")
        (watched.root / "new.py").write_text("new = 1\n")
        await watched.until(watched.equals_the_tree)
        (watched.root / "new.py").unlink()
        await watched.until(watched.equals_the_tree)
