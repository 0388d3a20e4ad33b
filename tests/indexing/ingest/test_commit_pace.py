"""How long a change waits for the text index."""

from __future__ import annotations

from indexing.ingest.commit_pace import AT_ONCE_SECONDS, QUIET_SECONDS, commit_patience


def test_what_comes_after_a_quiet_time_hardly_waits() -> None:
    assert commit_patience(0.1, 0.005, QUIET_SECONDS + 0.1) == AT_ONCE_SECONDS
    assert commit_patience(0.001, 0.005, QUIET_SECONDS + 0.1) == 0.001


def test_under_load_commits_are_an_interval_apart_and_a_quarter_more_where_they_take_long() -> None:
    assert commit_patience(0.1, 0.005, 0.2) == 0.1
    assert commit_patience(0.1, 0.02, 0.2) == 0.12
    assert commit_patience(0.1, 5.0, 0.2) == 0.125
