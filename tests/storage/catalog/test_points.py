from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from storage import collect_garbage, forget, open_for_writing, open_reader
from storage.catalog import points as module
from storage.catalog.check import _POINT_RULES
from storage.catalog.collections import add_collection, flip
from storage.catalog.garbage import _OVERDUE
from storage.catalog.points import (
    LONGEST_REASON,
    PendingPoint,
    acknowledge_deleted,
    acknowledge_stored,
    deleting_points,
    expected_ids,
    mark_failed,
    pending_points,
    point_counts,
    raise_priority,
    retry_failed,
    want_again,
    want_all_again,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.storage.conftest import FilledCatalog, MakeCatalog

NOTHING = {"pending": 0, "stored": 0, "deleting": 0, "failed": 0, "parked": 0}


@pytest.fixture
def filled(catalog: FilledCatalog) -> FilledCatalog:
    """A collection that serves, and three files with four chunks."""
    with catalog.transaction() as connection:
        add_collection(connection, store="local", fingerprint="f", dimension=3, model="", name="one")
    catalog.add("a.py", "def one\ndef two\n")
    catalog.add("b.py", "def three\n")
    catalog.add("c.py", "def four\n")
    return catalog


def pending(
    catalog: FilledCatalog, limit: int = 100, collection: int = 1, besides: Iterable[int] = ()
) -> list[PendingPoint]:
    async def read() -> list[PendingPoint]:
        async with open_reader(catalog.path) as reader:
            return await pending_points(reader, collection, limit, besides)

    return asyncio.run(read())


def deleting(catalog: FilledCatalog, limit: int = 100, besides: Iterable[int] = ()) -> list[tuple[int, bytes, int]]:
    async def read() -> list[tuple[int, bytes, int]]:
        async with open_reader(catalog.path) as reader:
            return await deleting_points(reader, 1, limit, besides)

    return asyncio.run(read())


def expected(catalog: FilledCatalog, after: bytes | None = None, limit: int = 100) -> list[bytes]:
    async def read() -> list[bytes]:
        async with open_reader(catalog.path) as reader:
            return await expected_ids(reader, 1, after, limit)

    return asyncio.run(read())


def counts(catalog: FilledCatalog) -> dict[str, int]:
    async def read() -> dict[str, int]:
        async with open_reader(catalog.path) as reader:
            return await point_counts(reader, 1)

    return asyncio.run(read())


def store_all(catalog: FilledCatalog, collection: int = 1) -> int:
    with catalog.transaction() as connection:
        return acknowledge_stored(
            connection, collection, [(p.chunk_id, p.seq) for p in pending(catalog, 100, collection)]
        )


def points(catalog: FilledCatalog) -> list[tuple[int, str, int]]:
    return catalog.rows("SELECT chunk_id, state, seq FROM points ORDER BY collection_id, chunk_id")


def change(catalog: FilledCatalog, function: Callable[..., int], *values: object) -> int:
    with catalog.transaction() as connection:
        return function(connection, 1, *values)


def test_pending_points_bring_all_that_a_store_keeps(filled: FilledCatalog) -> None:
    (point,) = [point for point in pending(filled) if point.symbol == "two"]
    external_id, seq = filled.rows(
        "SELECT external_id, seq FROM chunks JOIN points USING (chunk_id) WHERE chunk_id = 2"
    )[0]
    uuid = filled.repository.uuid
    assert point == PendingPoint(2, external_id, seq, 1, uuid, "python", "a.py", 8, 16, 2, 2, "two", "function", "")


def test_the_newest_points_come_first_and_those_of_raised_cuts_before_them(filled: FilledCatalog) -> None:
    assert [point.chunk_id for point in pending(filled)] == [4, 3, 2, 1]
    before = points(filled)
    assert change(filled, raise_priority, [1, 99]) == 2
    assert [point.chunk_id for point in pending(filled)] == [2, 1, 4, 3]
    assert [point.chunk_id for point in pending(filled, 3)] == [2, 1, 4]
    assert points(filled) == before, "what is wanted is the same, and so are the numbers"
    assert change(filled, raise_priority, [1]) == 0
    assert change(filled, raise_priority, [2], 5) == 1
    assert [point.chunk_id for point in pending(filled)] == [3, 2, 1, 4]


def test_points_that_are_on_their_way_make_room_for_the_next_ones(filled: FilledCatalog) -> None:
    assert [point.chunk_id for point in pending(filled, 2, besides=[4, 2, 99])] == [3, 1]
    store_all(filled)
    filled.remove("a.py")
    filled.collect()
    assert [chunk_id for chunk_id, _, _ in deleting(filled, 1)] == [2]
    assert [chunk_id for chunk_id, _, _ in deleting(filled, 1, besides=[2])] == [1]


def test_only_pending_points_are_raised(filled: FilledCatalog) -> None:
    store_all(filled)
    assert change(filled, raise_priority, [1, 2, 3]) == 0


def test_the_smallest_path_that_shows_a_chunk_is_given_in_printable_form(filled: FilledCatalog) -> None:
    filled.add("0.py", "def three\n")
    assert {point.symbol: point.path for point in pending(filled)}["three"] == "0.py"
    filled.change("UPDATE entries SET path = x'ff2e7079' WHERE path = CAST('c.py' AS BLOB)")
    assert {point.symbol: point.path for point in pending(filled)}["four"] == "\\xff.py"


def test_what_nothing_shows_is_parked_and_comes_back_when_it_is_shown_again(filled: FilledCatalog) -> None:
    filled.remove("a.py")
    assert [point.chunk_id for point in pending(filled)] == [4, 3]
    assert counts(filled) == NOTHING | {"pending": 2, "parked": 2}
    assert change(filled, raise_priority, [1]) == 0
    assert filled.findings() == []
    before = points(filled)
    filled.add("z.py", "def one\ndef two\n")
    assert [point.chunk_id for point in pending(filled)] == [4, 3, 2, 1]
    assert points(filled) == before, "a batch in hand is still what is wanted"
    assert filled.findings() == []


def test_a_parked_point_whose_vector_comes_all_the_same_is_stored(filled: FilledCatalog) -> None:
    batch = [(point.chunk_id, point.seq) for point in pending(filled)]
    filled.remove("a.py")
    assert change(filled, acknowledge_stored, batch) == 4
    assert filled.findings() == []


def test_f002_a_batch_that_was_never_acknowledged_is_handed_out_again(filled: FilledCatalog) -> None:
    batch = pending(filled)
    filled.connection.execute("BEGIN IMMEDIATE")
    acknowledge_stored(filled.connection, 1, [(point.chunk_id, point.seq) for point in batch])
    filled.connection.close()
    filled.connection = open_for_writing(filled.path)
    assert pending(filled) == batch


def test_an_acknowledgement_counts_once_and_only_under_the_number_it_saw(filled: FilledCatalog) -> None:
    batch = [(point.chunk_id, point.seq) for point in pending(filled)]
    assert change(filled, acknowledge_stored, [(chunk, seq - 1) for chunk, seq in batch]) == 0
    assert change(filled, acknowledge_stored, batch) == 4
    assert change(filled, acknowledge_stored, batch) == 0
    assert change(filled, acknowledge_stored, []) == 0
    assert counts(filled) == NOTHING | {"stored": 4}


def test_a_late_acknowledgement_of_a_revived_chunk_changes_nothing(filled: FilledCatalog) -> None:
    """Stored, deleted from the store, shown again: the first upsert's answer must not make it stored."""
    first = [(point.chunk_id, point.seq) for point in pending(filled)]
    change(filled, acknowledge_stored, first)
    filled.remove("b.py")
    filled.collect()
    removal = [(chunk, seq) for chunk, _, seq in deleting(filled)]
    filled.add("d.py", "def three\n")
    revived = points(filled)
    assert (3, "pending") in [row[:2] for row in revived]
    assert change(filled, acknowledge_stored, first) == 0
    assert change(filled, acknowledge_deleted, removal) == 0, "f109: the deletion that came late"
    assert change(filled, mark_failed, [(3, first[1][1], "late")]) == 0
    assert points(filled) == revived
    assert filled.findings() == []


def test_f109_a_late_answer_to_an_earlier_deletion_takes_no_row_away(filled: FilledCatalog) -> None:
    """Deleted, shown again and stored, deleted once more: the store still holds the vector."""
    store_all(filled)
    removals = []
    for _ in range(2):
        filled.remove("b.py")
        filled.collect()
        removals.append([(chunk, seq) for chunk, _, seq in deleting(filled)])
        filled.add("b.py", "def three\n")
        again = [(point.chunk_id, point.seq) for point in pending(filled)]
        assert change(filled, acknowledge_deleted, again) == 0, "nothing of the kind was asked for"
        assert change(filled, acknowledge_stored, again) == 1
    filled.remove("b.py")
    filled.collect()
    for late in removals:
        assert change(filled, acknowledge_deleted, late) == 0
    assert counts(filled) == NOTHING | {"stored": 3, "deleting": 1}


def test_a_parked_point_that_is_shown_again_while_it_is_being_deleted_is_back_in_the_queue(
    filled: FilledCatalog,
) -> None:
    filled.remove("b.py")
    assert filled.collect() == ()
    filled.add("b.py", "def three\n")
    assert [point.chunk_id for point in pending(filled)] == [4, 3, 2, 1]
    assert filled.findings() == []


def test_failed_points_keep_a_short_reason_until_they_are_tried_again(filled: FilledCatalog) -> None:
    batch = {point.chunk_id: point.seq for point in pending(filled)}
    assert (
        change(filled, mark_failed, [(1, batch[1], "not finite" * 99), (2, batch[2], ""), (3, batch[3] - 1, "late")])
        == 2
    )
    reasons = dict(filled.rows("SELECT chunk_id, reason FROM points WHERE state = 'failed'"))
    assert reasons == {1: ("not finite" * 99)[:LONGEST_REASON], 2: "no reason given"}
    assert counts(filled) == NOTHING | {"pending": 2, "failed": 2}
    assert change(filled, acknowledge_stored, [(1, batch[1])]) == 0, "it has failed under this number"
    assert filled.findings() == []
    assert change(filled, retry_failed) == 2
    assert [point.chunk_id for point in pending(filled)] == [4, 3, 2, 1]
    assert filled.one("SELECT min(seq) FROM points WHERE chunk_id < 3") > max(batch.values())


def test_f036_what_a_store_lacks_is_wanted_again_under_a_new_number(filled: FilledCatalog) -> None:
    store_all(filled)
    before = points(filled)
    ids = expected(filled)
    assert change(filled, want_again, [ids[0], ids[2], b"?" * 16]) == 2
    assert change(filled, want_again, [ids[0], ids[2]]) == 0
    assert change(filled, acknowledge_stored, [(chunk, seq) for chunk, _, seq in before]) == 0
    assert counts(filled) == NOTHING | {"pending": 2, "stored": 2}
    assert change(filled, want_all_again) == 2
    assert counts(filled) == NOTHING | {"pending": 4}
    assert min(seq for *_, seq in points(filled)) > max(seq for *_, seq in before)
    assert filled.findings() == []


def test_an_answer_of_a_store_that_was_lost_since_makes_nothing_stored(filled: FilledCatalog) -> None:
    batch = [(point.chunk_id, point.seq) for point in pending(filled)]
    assert change(filled, want_all_again) == 0
    assert change(filled, acknowledge_stored, batch) == 0
    assert len(pending(filled)) == 4


def test_a_lost_store_is_not_filled_again_with_what_nothing_shows(filled: FilledCatalog) -> None:
    store_all(filled)
    filled.remove("a.py")
    (lost,) = filled.rows("SELECT external_id FROM chunks WHERE chunk_id = 1")
    assert change(filled, want_again, lost) == 1
    assert change(filled, want_all_again) == 3
    assert [point.chunk_id for point in pending(filled)] == [4, 3]
    assert counts(filled) == NOTHING | {"pending": 2, "parked": 2}
    assert filled.findings() == []


def test_expected_ids_are_those_of_stored_points_in_pages_in_order(filled: FilledCatalog) -> None:
    assert expected(filled) == []
    batch = [(point.chunk_id, point.seq) for point in pending(filled)]
    change(filled, acknowledge_stored, batch[:3])
    kept = sorted(external_id for (external_id,) in filled.rows("SELECT external_id FROM chunks WHERE chunk_id > 1"))
    assert expected(filled) == kept
    assert expected(filled, None, 2) == kept[:2]
    assert expected(filled, kept[1], 2) == kept[2:]
    assert expected(filled, kept[2], 2) == []


def test_collections_are_worked_off_apart(filled: FilledCatalog) -> None:
    store_all(filled)
    with filled.transaction() as connection:
        add_collection(connection, store="local", fingerprint="g", dimension=3, model="", name="two")
    assert counts(filled) == NOTHING | {"stored": 4}
    assert len(pending(filled, 100, 2)) == 4
    assert store_all(filled, 2) == 4
    change(filled, want_all_again)
    assert filled.rows("SELECT DISTINCT collection_id, state FROM points ORDER BY 1") == [(1, "pending"), (2, "stored")]


def test_garbage_goes_from_the_store_before_its_rows_and_a_kill_in_between_loses_neither(filled: FilledCatalog) -> None:
    store_all(filled)
    filled.remove("a.py")
    for _ in range(2):
        # Killed before the commit: the vectors are still wanted, and the next owner comes to the same.
        filled.connection.execute("BEGIN IMMEDIATE")
        collect_garbage(filled.connection, older_than_ms=1 << 60)
        filled.connection.close()
        filled.connection = open_for_writing(filled.path)
        assert counts(filled) == NOTHING | {"stored": 4}
    assert filled.collect() == ()
    removal = deleting(filled)
    assert [chunk_id for chunk_id, _, _ in removal] == [2, 1]
    assert deleting(filled, 1) == removal[:1]
    # Killed between the store's deletion and its acknowledgement: it is asked for again.
    filled.connection.close()
    filled.connection = open_for_writing(filled.path)
    assert deleting(filled) == removal
    assert change(filled, acknowledge_deleted, [(2, removal[0][2])]) == 1
    assert filled.collect() == (), "one chunk of the cut still waits"
    assert change(filled, acknowledge_deleted, [(chunk, seq) for chunk, _, seq in removal]) == 1
    assert filled.collect() == (1, 2)
    assert counts(filled) == NOTHING | {"stored": 2}
    assert filled.findings() == []


def test_points_that_were_never_stored_are_deleted_like_the_others(filled: FilledCatalog) -> None:
    """A batch in hand may bring their vectors after the collection of garbage has looked."""
    batch = [(point.chunk_id, point.seq) for point in pending(filled)]
    filled.remove("a.py")
    assert filled.collect() == ()
    assert change(filled, acknowledge_stored, batch) == 2
    assert [chunk_id for chunk_id, _, _ in deleting(filled)] == [2, 1]


def test_garbage_does_not_wait_for_a_retired_collection(filled: FilledCatalog) -> None:
    store_all(filled)
    with filled.transaction() as connection:
        add_collection(connection, store="local", fingerprint="g", dimension=3, model="", name="two")
        flip(connection, 2)
    store_all(filled, 2)
    filled.remove("b.py")
    filled.collect()
    assert filled.rows("SELECT collection_id, state FROM points WHERE chunk_id = 3") == [(1, "stored"), (2, "deleting")]
    filled.change("DELETE FROM points WHERE state = 'deleting'")
    assert filled.collect() == (3,)
    assert filled.rows("SELECT * FROM points WHERE chunk_id = 3") == []
    assert filled.findings() == []


def test_garbage_does_not_wait_for_deletions_of_a_collection_that_was_retired_since(filled: FilledCatalog) -> None:
    store_all(filled)
    filled.remove("b.py")
    filled.collect()
    with filled.transaction() as connection:
        add_collection(connection, store="local", fingerprint="g", dimension=3, model="", name="two")
        flip(connection, 2)
    assert filled.collect() == (3,)
    assert filled.findings() == []


def test_much_garbage_is_marked_and_removed_in_rounds(filled: FilledCatalog) -> None:
    for path in ("a.py", "b.py", "c.py"):
        filled.remove(path)

    def rounds() -> list[int]:
        gone, more = [], True
        while more:
            with filled.transaction() as connection:
                collected = collect_garbage(connection, older_than_ms=1 << 60, most_cuts=1)
            gone.append(len(collected.chunk_ids))
            more = collected.more
        return gone

    assert sum(rounds()) == 0
    assert counts(filled) == NOTHING | {"deleting": 4}
    change(filled, acknowledge_deleted, [(chunk, seq) for chunk, _, seq in deleting(filled)])
    assert rounds() == [2, 1, 1, 0]


def test_the_vectors_of_a_forgotten_repository_go_and_then_its_rows(filled: FilledCatalog) -> None:
    other = filled.add_repository(b"/src/two")
    filled.apply(filled.version("x.py", "def five\n", snapshot_id=other.snapshot_id), repository=other)
    filled.apply(filled.version("y.py", "def six\n", snapshot_id=other.snapshot_id), repository=other)
    change(
        filled, acknowledge_stored, [(point.chunk_id, point.seq) for point in pending(filled) if point.chunk_id != 6]
    )
    with filled.transaction() as connection:
        forget(connection, other.id)
    assert pending(filled) == []
    assert filled.findings() == []
    assert filled.collect(older_than_ms=0) == ()
    assert [chunk_id for chunk_id, _, _ in sorted(deleting(filled))] == [5, 6]
    assert filled.one("SELECT count(*) FROM repositories") == 2
    assert filled.findings() == []
    change(filled, acknowledge_deleted, [(chunk, seq) for chunk, _, seq in deleting(filled)])
    assert filled.collect(older_than_ms=0) == (5, 6)
    assert filled.one("SELECT count(*) FROM repositories") == 1
    assert counts(filled) == NOTHING | {"stored": 4}
    assert filled.findings() == []


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (module._PENDING, (1, -100, "[7]", 5)),
        (module._DELETING, (1, "[7]", 5)),
        (module._EXPECTED, (1, b"", 5)),
        (module._COUNTS, (1, -100)),
    ],
    ids=["pending", "deleting", "expected", "counts"],
)
def test_the_queue_is_read_by_index_and_never_sorted(
    filled: FilledCatalog, query: str, values: tuple[object, ...]
) -> None:
    plan = [row[3] for row in filled.rows(f"EXPLAIN QUERY PLAN {query}", *values)]
    assert len(plan) > 1
    lists = ("SCAN CONSTANT ROW", "SCAN json_each VIRTUAL TABLE INDEX 1:")
    assert [step for step in plan if step.startswith("SCAN") and step not in lists] == []
    assert [step for step in plan if "TEMP B-TREE" in step] == []


def test_garbage_is_found_by_index_and_each_point_of_it_by_its_key(filled: FilledCatalog) -> None:
    plan = [row[3] for row in filled.rows(f"EXPLAIN QUERY PLAN {_OVERDUE}", 1, 1)]
    assert {" ".join(step.split()[:2]) for step in plan if step.startswith("SCAN")} == {"SCAN collections"}
    assert [step for step in plan if "TEMP B-TREE" in step] == []
    assert "SEARCH points USING PRIMARY KEY (collection_id=? AND chunk_id=?)" in plan


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("point that nothing shows is not parked", "UPDATE points SET priority = 0"),
        ("point of a shown chunk is parked", "UPDATE points SET priority = -100"),
        ("point failed without a reason", "UPDATE points SET state = 'failed' WHERE chunk_id = 1"),
    ],
)
def test_the_check_of_the_catalog_finds_a_point_that_is_not_as_it_should_be(
    filled: FilledCatalog, rule: str, statement: str
) -> None:
    filled.remove("c.py")
    assert filled.findings() == []
    filled.change(statement)
    assert rule in _POINT_RULES
    assert rule in {finding.rule for finding in filled.findings()}


def test_points_come_about_alike_whenever_the_collection_is_added(make_catalog: MakeCatalog) -> None:
    """I6: before the files, between them, after them."""
    dumps = []
    for name, when in (("before", 0), ("between", 1), ("after", 2)):
        catalog = make_catalog(name, uuid="the-uuid")
        for number in range(3):
            if number == when:
                with catalog.transaction() as connection:
                    add_collection(connection, store="local", fingerprint="f", dimension=3, model="", name="one")
            if number < 2:
                catalog.add(f"{number}.py", f"def f{number}\n")
        assert catalog.findings() == []
        dumps.append(catalog.dump())
    assert dumps[0] == dumps[1] == dumps[2]
