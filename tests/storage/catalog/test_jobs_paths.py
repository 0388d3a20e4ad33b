from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from storage import JobPaths
from storage.catalog import job_paths
from storage.catalog.job_paths import join_paths, pack_paths, unpack_paths

# Few names, some of which sort around the separator, so that paths often lie below one another.
PARTS = st.sampled_from([b"a", b"a-", b"a0", b"b", b"caf\xe9", b" \n"])
PATHS = st.lists(st.lists(PARTS, min_size=1, max_size=4).map(b"/".join), min_size=1, max_size=12).map(tuple)


@examples(max_examples=200)
@given(PATHS, PATHS)
def test_joined_paths_cover_both_wishes_and_name_nothing_twice(
    one: tuple[bytes, ...], other: tuple[bytes, ...]
) -> None:
    joined = join_paths(one, other)
    assert joined is not None
    assert set(joined) <= {*one, *other}
    for path in (*one, *other):
        assert sum(path == each or path.startswith(each + b"/") for each in joined) == 1
    assert joined == join_paths(other, one) == join_paths(joined, one)
    assert unpack_paths(pack_paths(joined)) == joined


def test_a_neighbour_whose_name_begins_alike_does_not_lie_below() -> None:
    assert join_paths((b"a/x", b"a-b"), (b"a", b"a.b")) == (b"a", b"a-b", b"a.b")


def test_the_whole_tree_absorbs_everything() -> None:
    assert join_paths(None, (b"a",)) is None
    assert join_paths((b"a",), None) is None
    assert unpack_paths(pack_paths(None)) is None


def test_too_many_paths_become_the_whole_tree() -> None:
    most = tuple(b"%d" % number for number in range(job_paths.MOST_PATHS))
    joined = join_paths(most, most)
    assert joined is not None
    assert len(joined) == job_paths.MOST_PATHS
    assert join_paths(most, (b"0/below",)) == joined
    assert join_paths(most, (b"one more",)) is None


def test_paths_that_are_too_long_together_become_the_whole_tree() -> None:
    half = job_paths.MOST_PATHS_BYTES // 2
    assert join_paths((b"a" * (half - 1), b"b" * (half - 1))) is not None
    assert join_paths((b"a" * half, b"b" * (half - 1))) is None


@pytest.mark.parametrize(
    "paths", [(b"",), (b".",), (b"/etc",), (b"a/",), (b"a//b",), (b"../a",), (b"a/../b",), (b"a\0b",), ()]
)
def test_a_path_that_names_nothing_inside_a_tree_is_refused(paths: JobPaths) -> None:
    with pytest.raises(ValueError, match="None for the whole tree"):
        join_paths((b"fine",), paths)
