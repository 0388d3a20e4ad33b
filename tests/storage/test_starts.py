from __future__ import annotations

from functools import partial
from pathlib import Path

from storage import note_served, note_start

note = partial(note_start, window_seconds=60.0, most=3)


def test_f029_the_third_start_within_the_window_does_not_attempt_recovery(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    assert [note(path, now=100.0), note(path, now=110.0), note(path, now=120.0)] == [True, True, False]
    assert not note(path, now=159.0)


def test_f029_refusing_does_not_lengthen_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    assert [note(path, now=100.0), note(path, now=110.0), note(path, now=150.0)] == [True, True, False]
    assert note(path, now=161.0), "one of the two that died is out of the window"


def test_a_start_that_serves_clears_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    note(path, now=100.0)
    note(path, now=101.0)
    note_served(path)
    assert [note(path, now=102.0), note(path, now=103.0)] == [True, True]
    note_served(path)
    note_served(path)


def test_f026_starts_noted_in_the_future_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    note(path, now=90_000.0)
    note(path, now=90_001.0)
    assert note(path, now=3600.0)


def test_a_damaged_note_does_not_keep_the_owner_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    for content in (b"\xff\xfe", b"soon", b"nan\ninf\n-inf\nnan"):
        path.write_bytes(content)
        assert note(path, now=100.0)
