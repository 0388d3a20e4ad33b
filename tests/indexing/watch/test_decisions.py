"""What a change makes dirty, how dirt is joined, when it is handed in: without a file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.watch.changes import Change, ChangeKind, Heard, Territory, hear, made_dirty
from indexing.watch.directories import directories_below
from indexing.watch.dirt import CLEAN, WHOLE, Dirt, lies_below
from indexing.watch.ledger import Ledger
from indexing.watch.timing import GATHER_MOST_SECONDS, GATHER_STORM_SECONDS, delay, due, polling_interval, scan_interval

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

TERRITORY = Territory(b"/r/oot", (b"/r/oot/data", b"/r/oot/inner"))
PATHS = st.lists(st.sampled_from([b"a", b"b", b"c\xff", b"d"]), min_size=1, max_size=4).map(b"/".join)


@pytest.mark.parametrize(
    ("path", "kind", "dirty"),
    [
        (b"/r/oot/a.py", "modified", b"a.py"),
        (b"/r/oot/p/caf\xe9.py", "added", b"p/caf\xe9.py"),
        (b"/r/oot", "modified", b""),
        (b"/r/ootother/a.py", "modified", None),
        (b"/elsewhere/a.py", "modified", None),
        (b"/r/oot/data", "added", None),
        (b"/r/oot/data/catalog.db", "modified", None),
        (b"/r/oot/database.py", "modified", b"database.py"),
        (b"/r/oot/inner/x.py", "modified", None),
        (b"/r/oot/.git/index", "modified", None),
        (b"/r/oot/.git/index.lock", "added", None),
        (b"/r/oot/sub/.hg/dirstate", "modified", None),
        (b"/r/oot/.git/info/exclude", "modified", b""),
        (b"/r/oot/sub/.git/info/exclude", "added", b"sub"),
        (b"/r/oot/.git", "added", b""),
        (b"/r/oot/sub/.git", "deleted", b"sub"),
        (b"/r/oot/sub/.git", "modified", None),
        (b"/r/oot/.gitignore", "modified", b""),
        (b"/r/oot/p/q/.gitignore", "deleted", b"p/q"),
        (b"/r/oot/p/.codetroveignore", "added", b"p"),
        (b"/r/oot/env/pyvenv.cfg", "added", b"env"),
    ],
)
def test_a_change_makes_a_path_dirty_or_nothing(path: bytes, kind: ChangeKind, dirty: bytes | None) -> None:
    assert made_dirty(Change(kind, path), TERRITORY) == dirty


def test_a_root_that_ends_in_a_slash_is_the_file_system_itself() -> None:
    assert Territory(b"/").relative(b"/a/b") == b"a/b"
    assert Territory(b"/").absolute(b"a/b") == b"/a/b"


def test_new_directories_and_the_loss_of_the_root_are_heard() -> None:
    changes = [
        Change("added", b"/r/oot/new", is_directory=True),
        Change("added", b"/r/oot/out/below", is_directory=True),
        Change("modified", b"/r/oot/out/file"),
        Change("deleted", b"/r/oot"),
    ]
    heard = hear(changes, TERRITORY, frozenset({b"out"}), 10)
    assert heard == Heard(WHOLE, frozenset({b"new"}), 4, has_lost_root=True)
    assert hear(changes[:3], TERRITORY, frozenset({b"out"}), 10).dirt.job_paths == (b"new",)


@given(st.lists(PATHS, max_size=12), st.lists(PATHS, max_size=12), st.integers(1, 20))
@settings(max_examples=60)
def test_dirt_forgets_nothing_and_more_than_the_most_is_the_whole_tree(
    first: list[bytes], second: list[bytes], most: int
) -> None:
    joined = CLEAN.with_paths(first, most).joined(CLEAN.with_paths(second, most), most)
    assert joined.is_whole == (len({*first, *second}) > most)
    if not joined.is_whole:
        assert joined.job_paths == tuple(sorted({*first, *second}))
    assert bool(joined) == bool(first or second)


@given(PATHS, PATHS)
@settings(max_examples=60)
def test_a_path_lies_below_its_directories_and_no_others(path: bytes, other: bytes) -> None:
    assert lies_below(path, frozenset({other})) == path.startswith(other + b"/")


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(0.001, 10), st.booleans())
@settings(max_examples=60)
def test_changes_are_handed_in_soon_after_the_first_however_many_follow(
    gaps: list[float], quiet: float, is_whole: bool
) -> None:
    last = sum(gaps[1:])
    at = due(0.0, last, quiet, is_whole=is_whole)
    assert at <= max(GATHER_STORM_SECONDS if is_whole else GATHER_MOST_SECONDS, quiet)
    if len(gaps) == 1 and not is_whole:
        assert at == quiet


def test_waits_grow_and_are_bounded() -> None:
    assert [delay(number, first=1.0, most=10.0) for number in (0, 1, 2, 3, 5, 10_000)] == [1, 1, 2, 4, 10, 10]
    assert scan_interval(60, 1) == 60
    assert scan_interval(60, 10) == 200
    assert polling_interval(2.0, least=2.0, most=60, has_changed=False) == 3.0
    assert polling_interval(50.0, least=2.0, most=60, has_changed=False) == 60
    assert polling_interval(50.0, least=2.0, most=60, has_changed=True) == 2.0


def test_what_jobs_left_out_is_replaced_where_they_looked() -> None:
    ledger = Ledger(0.05, 10)
    assert ledger.learn(WHOLE, [b"out", b"sub/build"]) == frozenset()
    assert ledger.learn(Dirt(frozenset({b"sub"})), []) == {b"sub/build"}
    assert ledger.quiet == {b"out"}
    assert ledger.learn(Dirt(frozenset({b"out/x", b"outer"})), []) == frozenset()
    assert ledger.learn(WHOLE, []) == {b"out"}


def test_what_is_lossy_makes_the_whole_tree_dirty_and_taking_leaves_nothing() -> None:
    ledger = Ledger(0.05, 10)
    ledger.hear(Heard(Dirt(frozenset({b"a"})), frozenset({b"d"}), 3), now=1.0)
    ledger.hear(Heard(Dirt(frozenset({b"b"})), events=1), now=1.02)
    assert ledger.due() == pytest.approx(1.07)
    ledger.hear(Heard(is_lossy=True), now=1.03)
    assert (ledger.take(), ledger.due(), ledger.overflows, ledger.events) == (WHOLE, None, 1, 4)
    assert ledger.uncovered == {b"d"}


def test_directories_to_listen_to_leave_out_what_is_not_indexed_and_follow_no_link(
    tree: TreeFactory, tmp_path: Path
) -> None:
    outside = tree({"far/x.py": ""}, name="outside")
    names = ["a/b/c.py", "out/deep/o.txt", ".git/info/exclude", ".git/objects/aa/x", "data/x", "sub/.hg/y", "sub/z.py"]
    root = tree(dict.fromkeys(names, "x"))
    (root / "link").symlink_to(outside)
    bad = os.fsencode(root) + b"/a/b/\xff"
    Path(os.fsdecode(bad)).write_text("x")
    territory = Territory(os.fsencode(root), (os.fsencode(root / "data"),))
    found = directories_below(territory, [b""], frozenset({b"out"}))
    assert sorted(found) == [b"", b".git/info", b"a", b"a/b", b"sub"]
    assert sorted(directories_below(territory, [b""], frozenset({b"out"}), only_utf8=True)) == [
        b"",
        b".git/info",
        b"a",
        b"sub",
    ]
    assert directories_below(territory, [b"gone", b"out", b"sub/z.py"], frozenset({b"out"})) == []
