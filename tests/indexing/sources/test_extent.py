"""An extent against its definition, and a scan of a part of a tree against a scan of all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from indexing.sources import Extent, Found, Rules, Scan

PARTS = st.lists(st.sampled_from([b"a", b"b", b"ab", b"a.b", b"a-", b"\xff"]), min_size=1, max_size=4)
PATHS = PARTS.map(b"/".join)


def parts(path: bytes) -> list[bytes]:
    return path.split(b"/") if path else []


def is_at_or_below(path: bytes, other: bytes) -> bool:
    return parts(path)[: len(parts(other))] == parts(other)


@given(paths=st.lists(PATHS, max_size=6), path=PATHS)
@examples(max_examples=300)
def test_it_covers_its_paths_and_what_is_below_them(paths: list[bytes], path: bytes) -> None:
    assert Extent(paths).covers(path) == any(is_at_or_below(path, each) for each in paths)


@given(paths=st.lists(PATHS, max_size=6), directory=PATHS)
@examples(max_examples=300)
def test_a_directory_leads_to_it_that_is_above_or_below_one_of_its_paths(paths: list[bytes], directory: bytes) -> None:
    expected = any(is_at_or_below(each, directory) or is_at_or_below(directory, each) for each in paths)
    assert Extent(paths).leads_to(directory) == expected
    assert Extent(paths).leads_to(b"")


@given(path=PATHS)
@examples(max_examples=20)
def test_the_whole_covers_everything_and_no_paths_cover_nothing(path: bytes) -> None:
    assert Extent(None).is_whole
    assert Extent(None).covers(path)
    assert Extent(None).leads_to(path)
    assert not Extent(()).is_whole
    assert not Extent(()).covers(path)
    assert not Extent(()).leads_to(path)


FILES = [b"a/x", b"a/b/y", b"a/b/c/z", b"ab/x", b"a.b/x", b"b/x", b"x", b"a-", b"caf\xe9/x"]


@pytest.mark.parametrize(
    "paths",
    [
        (b"a",), (b"a/b",), (b"a/b/y", b"x"), (b"a-", b"caf\xe9"), (b"nowhere/at/all",), (b"a/x/below a file",),
        (b"ab", b"a/b/c"),
    ],
)  # fmt: skip
def test_a_scan_finds_what_is_covered_and_nothing_else(tmp_path: Path, paths: tuple[bytes, ...]) -> None:
    for name in FILES:
        path = bytes(tmp_path) + b"/" + name
        Path(path.decode(errors="surrogateescape")).parent.mkdir(parents=True, exist_ok=True)
        Path(path.decode(errors="surrogateescape")).write_bytes(b"x = 1\n")
    extent = Extent(paths)
    found = [finding.path for finding in Scan(tmp_path, Rules(), extent) if isinstance(finding, Found)]
    whole = [finding.path for finding in Scan(tmp_path, Rules()) if isinstance(finding, Found)]
    assert sorted(whole) == sorted(FILES)
    assert found == [path for path in whole if extent.covers(path)]
