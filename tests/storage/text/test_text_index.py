"""The text index: what is committed is found, and nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import TextClause, TextDocument, TextIndex, TextIndexError, TextQuery, Watermark
from storage.text.merging import NICENESS

HEAP_BYTES = 15_000_000
MARK = Watermark(catalog="c-1", incarnation="i-1", chunk_id=7, deletion=3)


def document(chunk_id: int, code: str, **fields: object) -> TextDocument:
    values = {"cut_id": chunk_id, "repository": "r1", "language": "python", "kind": "function", "words": ""}
    return TextDocument(chunk_id=chunk_id, code=code.encode(), **(values | fields))  # type: ignore[arg-type]


def query(*texts: str, **filters: object) -> TextQuery:
    clauses = tuple(TextClause("code", text) for text in texts)
    return TextQuery(clauses, **({"repositories": frozenset({"r1"})} | filters))  # type: ignore[arg-type]


def ids(index: TextIndex, asked: TextQuery, limit: int = 10) -> list[int]:
    return [hit.chunk_id for hit in index.search(asked, limit).hits]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[TextIndex]:
    opened = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
    yield opened
    opened.close()


def test_a_new_index_is_empty_and_has_no_watermark(index: TextIndex) -> None:
    assert index.watermark() is None
    assert index.document_count == 0
    assert list(index.chunk_ids()) == []
    assert ids(index, query("anything")) == []


def test_chunks_are_found_after_the_commit_and_not_before(index: TextIndex) -> None:
    index.add([document(1, "def load_settings(path):")])
    assert ids(index, query("load_settings")) == []
    index.commit(MARK)
    assert ids(index, query("load_settings")) == [1]


def test_the_watermark_comes_back_as_it_was_and_is_replaced_by_the_next(index: TextIndex) -> None:
    index.commit(MARK)
    assert index.watermark() == MARK
    later = Watermark("c-1", "i-2", 9, 4)
    index.commit(later)
    assert index.watermark() == later
    assert index.document_count == 0


def test_former_watermarks_are_deleted_now_and_then(index: TextIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.text.index._MARKS_KEPT", 4)
    kept = []
    for number in range(1, 10):
        index.commit(replace(MARK, chunk_id=number))
        kept.append(index._index.searcher().num_docs)
        assert index.watermark() == replace(MARK, chunk_id=number)
    assert kept == [1, 2, 3, 1, 2, 3, 4, 1, 2]


def test_the_watermark_is_never_a_hit(index: TextIndex) -> None:
    index.commit(MARK)
    assert ids(index, query("c-1", "i-1", "catalog", "watermark", "1")) == []


def test_adding_the_same_chunks_again_changes_nothing(index: TextIndex) -> None:
    documents = [document(number, f"alpha beta{number}") for number in range(1, 6)]
    for _ in range(3):
        index.add(documents)
        index.commit(MARK)
    assert list(index.chunk_ids()) == [1, 2, 3, 4, 5]
    assert sorted(ids(index, query("alpha"))) == [1, 2, 3, 4, 5]


def test_a_replay_by_a_new_process_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        index = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
        index.add([document(1, "alpha"), document(2, "alpha")])
        index.commit(MARK)
        assert list(index.chunk_ids()) == [1, 2]
        index.close()


def test_deleted_chunks_are_gone_and_deleting_them_again_is_nothing(index: TextIndex) -> None:
    index.add([document(number, "alpha") for number in range(1, 5)])
    index.commit(MARK)
    for _ in range(2):
        index.delete([2, 3, 99])
        index.commit(MARK)
    assert list(index.chunk_ids()) == [1, 4]
    assert index.document_count == 2


def test_a_chunk_added_and_deleted_before_one_commit_is_gone(index: TextIndex) -> None:
    index.add([document(1, "alpha"), document(2, "alpha")])
    index.delete([1])
    index.commit(MARK)
    assert list(index.chunk_ids()) == [2]


def test_what_was_not_committed_is_lost_at_close(tmp_path: Path) -> None:
    index = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
    index.add([document(1, "alpha")])
    index.commit(MARK)
    index.add([document(2, "alpha")])
    index.close()
    index.close()
    reopened = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
    assert list(reopened.chunk_ids()) == [1]
    reopened.close()


def test_clearing_and_adding_all_again_is_one_step_for_searches(index: TextIndex) -> None:
    index.add([document(number, "alpha") for number in range(1, 4)])
    index.commit(MARK)
    index.clear()
    index.add([document(1, "alpha")])
    assert sorted(ids(index, query("alpha"))) == [1, 2, 3]
    index.commit(MARK)
    assert ids(index, query("alpha")) == [1]
    assert index.deleted_count == 0
    assert index.watermark() == MARK


def test_scores_after_a_rewrite_equal_those_of_a_new_index(tmp_path: Path) -> None:
    texts = {number: "alpha " * (number % 5 + 1) + f"beta{number % 7} gamma" for number in range(1, 60)}
    churned = TextIndex.open(tmp_path / "churned", heap_bytes=HEAP_BYTES, threads=1)
    for start in range(1, 60, 10):
        churned.add([document(number, texts[number]) for number in range(start, min(start + 10, 60))])
        churned.commit(MARK)
    churned.delete(range(30, 60))
    churned.commit(MARK)
    assert churned.deleted_count > 0
    churned.clear()
    churned.add([document(number, texts[number]) for number in range(1, 30)])
    churned.commit(MARK)
    fresh = TextIndex.open(tmp_path / "fresh", heap_bytes=HEAP_BYTES, threads=1)
    fresh.add([document(number, texts[number]) for number in range(1, 30)])
    fresh.commit(MARK)
    asked = query("alpha", "beta3")
    assert churned.search(asked, 30) == fresh.search(asked, 30)
    churned.close()
    fresh.close()


def test_ties_at_the_cut_all_come_in_order_of_their_ids(index: TextIndex) -> None:
    for number in range(60, 0, -1):
        index.add([document(number, "same words here")])
        if number % 20 == 0:
            index.commit(MARK)
    index.add([document(100, "same same same words")])
    index.commit(MARK)
    found = index.search(query("same"), 5)
    assert [hit.chunk_id for hit in found.hits] == [100, *range(1, 61)]
    assert found.exhausted


def test_a_cut_between_different_scores_gives_no_more_than_the_limit(index: TextIndex) -> None:
    index.add([document(number, "alpha " * number + "beta " * (300 - number)) for number in range(1, 200)])
    index.commit(MARK)
    found = index.search(query("alpha"), 10)
    assert len(found.hits) == 10
    assert not found.exhausted
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)


def test_filters_apply_before_the_cut_and_leave_scores_alone(index: TextIndex) -> None:
    index.add([document(number, "alpha " * 5) for number in range(1, 101)])
    index.add([document(200, "alpha beta gamma delta", repository="r2", language="go", kind="class", cut_id=7_777)])
    index.commit(MARK)
    both = frozenset({"r1", "r2"})
    (plain,) = [hit for hit in index.search(query("alpha", repositories=both), 200).hits if hit.chunk_id == 200]
    for filters in (
        {"repositories": frozenset({"r2"})},
        {"repositories": both, "languages": frozenset({"go", "rust"})},
        {"repositories": both, "kinds": frozenset({"class"})},
        {"repositories": both, "cut_ids": [5_000, 7_777]},
    ):
        assert index.search(query("alpha", **filters), 1).hits == (plain,)


def test_f096_without_an_allowed_repository_nothing_is_found(index: TextIndex) -> None:
    index.add([document(1, "alpha")])
    index.commit(MARK)
    assert ids(index, query("alpha", repositories=frozenset())) == []
    assert ids(index, query("alpha", repositories=frozenset({"other"}))) == []
    assert ids(index, query("alpha", repositories=frozenset({"r1"}), languages=frozenset())) == []


@pytest.mark.parametrize(
    "hostile",
    [
        '"',
        "'",
        "NEAR(",
        "*",
        "OR",
        "alpha OR beta",
        "code:alpha",
        "\0",
        "",
        "a" * 100_000,
        "\ud800",
        "+alpha -beta",
        "[a TO z]",
    ],
)
def test_f083_query_text_is_never_syntax(index: TextIndex, hostile: str) -> None:
    index.add([document(1, "gamma delta"), document(2, "or near")])
    index.commit(MARK)
    for field in ("code", "parts", "symbol", "scope"):
        asked = TextQuery((TextClause(field, hostile),), frozenset({"r1", hostile}))
        assert 1 not in ids(index, asked)


@pytest.mark.parametrize(
    "name", ["наблюдатель", "変数名", "höhe", "naïve_café", "מספר", "अंक_गणना", "x2", "_private", "ΑΒΓ"]
)
def test_identifiers_of_any_script_are_found_whole_and_in_any_case(index: TextIndex, name: str) -> None:
    index.add([document(1, f"value = {name}(1)", symbols=(name,)), document(2, "value = other(1)")])
    index.commit(MARK)
    assert ids(index, query(name.upper())) == [1]
    assert ids(index, TextQuery((TextClause("symbol", name),), frozenset({"r1"}))) == [1]


def test_parts_symbols_and_scopes_are_found_in_their_fields(index: TextIndex) -> None:
    index.add([document(1, "def getUser():", words="get user", symbols=("getUser", "helper"), scope="Accounts.Admin")])
    index.commit(MARK)
    for field, text in (("parts", "user"), ("symbol", "GETUSER"), ("symbol", "helper"), ("scope", "admin")):
        assert ids(index, TextQuery((TextClause(field, text),), frozenset({"r1"}))) == [1]  # type: ignore[arg-type]
    assert ids(index, TextQuery((TextClause("symbol", "get"),), frozenset({"r1"}))) == []


def test_a_heavier_clause_raises_its_chunks(index: TextIndex) -> None:
    index.add([document(1, "alpha filler"), document(2, "beta filler")])
    index.commit(MARK)
    for heavy, first in (("alpha", 1), ("beta", 2)):
        clauses = tuple(TextClause("code", word, 3.0 if word == heavy else 1.0) for word in ("alpha", "beta"))
        assert ids(index, TextQuery(clauses, frozenset({"r1"})))[0] == first


def test_names_are_listed_by_prefix_in_any_case(index: TextIndex) -> None:
    index.add([document(1, "x", symbols=("getUser", "getGroup", "other"))])
    index.commit(MARK)
    assert index.symbols_with_prefix("GET", 10) == ["getgroup", "getuser"]
    assert index.symbols_with_prefix("get", 1) == ["getgroup"]


def test_a_reader_sees_the_next_commit_after_reload(index: TextIndex, tmp_path: Path) -> None:
    index.commit(MARK)
    reader = TextIndex.open_for_reading(tmp_path / "text")
    index.add([document(1, "alpha")])
    index.commit(MARK)
    assert ids(reader, query("alpha")) == []
    reader.reload()
    assert ids(reader, query("alpha")) == [1]
    with pytest.raises(TextIndexError, match="open for reading only"):
        reader.add([document(2, "alpha")])


def test_f024_a_second_writer_is_refused(index: TextIndex, tmp_path: Path) -> None:
    with pytest.raises(TextIndexError, match="LockBusy"):
        TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)


def test_a_missing_index_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TextIndexError, match="for reading"):
        TextIndex.open_for_reading(tmp_path / "text")


def test_closing_leaves_no_merging_thread(tmp_path: Path) -> None:
    index = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
    for number in range(1, 30):
        index.add([document(number, "alpha")])
        index.commit(MARK)
    index.close()
    for _ in range(500):
        # The operating system needs a moment to take down threads that have ended.
        if not _writing_threads():
            return
        threading.Event().wait(0.01)
    assert _writing_threads() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
def test_every_thread_that_merges_yields_to_others(tmp_path: Path) -> None:
    for number in range(1, 15):
        before = _writing_threads()  # of an index that was closed just now
        index = TextIndex.open(tmp_path / str(number), heap_bytes=HEAP_BYTES, threads=1)
        index.add([document(number, "alpha")])
        index.commit(MARK)
        merging = [each for each, name in _writing_threads().items() if each not in before and "merge" in name]
        assert {os.getpriority(os.PRIO_PROCESS, each) for each in merging} == {NICENESS}
        index.close()


def _writing_threads() -> dict[int, str]:
    """Names of tantivy's threads that merge and publish, by id."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            found[int(task.name)] = (task / "comm").read_text().strip()
    return {each: name for each, name in found.items() if name.startswith(("merge_thread", "segment_upd"))}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["add", "delete", "commit"]), st.integers(1, 12)), max_size=25))
def test_the_index_holds_what_the_last_commit_left(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    index = TextIndex.open(tmp_path_factory.mktemp("text"), heap_bytes=HEAP_BYTES, threads=1)
    wanted: set[int] = set()
    committed: set[int] = set()
    for step, chunk_id in steps:
        if step == "add":
            index.add([document(chunk_id, "alpha")])
            wanted.add(chunk_id)
        elif step == "delete":
            index.delete([chunk_id])
            wanted.discard(chunk_id)
        else:
            index.commit(MARK)
            committed = set(wanted)
    assert list(index.chunk_ids()) == sorted(committed)
    index.close()


def test_the_newest_watermark_counts_also_after_hundreds_of_commits_and_a_new_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.text.index._MARKS_KEPT", 100)
    for start in (0, 130):
        index = TextIndex.open(tmp_path / "text", heap_bytes=HEAP_BYTES, threads=1)
        for number in range(start, start + 130):
            index.commit(replace(MARK, deletion=number))
        assert index.watermark() == replace(MARK, deletion=start + 129)
        assert index.document_count == 0
        index.close()
