from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import CatalogError, open_reader
from storage.catalog.collections import (
    CollectionRow,
    add_collection,
    collections,
    collections_in,
    drop_retired,
    flip,
    retire,
)
from storage.catalog.points import (
    acknowledge_deleted,
    acknowledge_stored,
    mark_failed,
    raise_priority,
    want_again,
    want_all_again,
)
from tests.storage.conftest import FilledCatalog

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = CollectionRow(1, "local", "one", 3, "serving", "c-one", '{"name": "one"}')


def add(catalog: FilledCatalog, fingerprint: str, **changes: str | int) -> CollectionRow:
    values = {"store": "local", "dimension": 3, "name": f"c-{fingerprint}", "model": f'{{"name": "{fingerprint}"}}'}
    with catalog.transaction() as connection:
        return add_collection(connection, fingerprint=fingerprint, **(values | changes))  # type: ignore[arg-type]


def turn(catalog: FilledCatalog, collection_id: int) -> CollectionRow | None:
    with catalog.transaction() as connection:
        return flip(connection, collection_id)


def drop(catalog: FilledCatalog, collection_id: int) -> None:
    with catalog.transaction() as connection:
        drop_retired(connection, collection_id)


def points(catalog: FilledCatalog) -> list[tuple[int, int, str]]:
    return catalog.rows("SELECT collection_id, chunk_id, state FROM points ORDER BY 1, 2")


def test_the_first_collection_serves_and_the_next_is_built_beside_it(catalog: FilledCatalog) -> None:
    async def read() -> list[CollectionRow]:
        async with open_reader(catalog.path) as reader:
            return await collections(reader)

    assert add(catalog, "one") == ONE
    second = add(catalog, "two")
    assert (second.id, second.state) == (2, "building")
    assert asyncio.run(read()) == [ONE, second] == collections_in(catalog.connection)
    assert catalog.findings() == []


def test_a_new_collection_wants_a_vector_for_every_chunk_that_is_shown(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\ndef two\n")
    catalog.add("b.py", "def three\n")
    catalog.remove("b.py")
    before = catalog.one("SELECT value FROM sequence")
    add(catalog, "one")
    assert points(catalog) == [(1, 1, "pending"), (1, 2, "pending")]
    assert catalog.one("SELECT min(seq) FROM points") > before
    assert catalog.findings() == []
    catalog.add("c.py", "def three\n")
    assert points(catalog) == [(1, 1, "pending"), (1, 2, "pending"), (1, 3, "pending")], "shown again"
    assert catalog.findings() == []


def test_i4_adding_a_collection_again_changes_nothing(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    add(catalog, "one")
    catalog.change("UPDATE points SET state = 'stored'")
    before = list(catalog.connection.iterdump())
    assert add(catalog, "one", name="another") == ONE
    assert list(catalog.connection.iterdump()) == before


def test_a_fingerprint_has_one_dimension_and_a_name_one_collection(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    with pytest.raises(CatalogError, match="have 4 dimensions, and those of the collection 'c-one' 3"):
        add(catalog, "one", dimension=4)
    with pytest.raises(CatalogError, match="'c-one' already"):
        add(catalog, "two", name="c-one")
    assert len(collections_in(catalog.connection)) == 1


def test_the_same_model_in_two_stores_are_two_collections(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    assert add(catalog, "one", store="weaviate", name="c-two").state == "building"


def test_flip_lets_the_built_one_serve_and_retires_the_other_in_one_step(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    add(catalog, "two")
    former = turn(catalog, 2)
    assert former is not None
    assert (former.id, former.state) == (1, "retired")
    assert [row.state for row in collections_in(catalog.connection)] == ["retired", "serving"]
    assert turn(catalog, 2) is None, "done twice it changes nothing"
    assert [row.state for row in collections_in(catalog.connection)] == ["retired", "serving"]
    assert catalog.findings() == []


def test_a_flip_that_is_undone_leaves_the_former_collection_serving(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    add(catalog, "two")
    catalog.connection.execute("BEGIN IMMEDIATE")
    flip(catalog.connection, 2)
    catalog.connection.execute("ROLLBACK")
    assert [row.state for row in collections_in(catalog.connection)] == ["serving", "building"]


def test_a_retired_collection_is_never_revived_and_gets_no_points(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    add(catalog, "two")
    turn(catalog, 2)
    with pytest.raises(CatalogError, match="retired and never serves again"):
        turn(catalog, 1)
    catalog.add("a.py", "def one\n")
    assert points(catalog) == [(2, 1, "pending")]
    again = add(catalog, "one", name="c-one-again")
    assert (again.id, again.state) == (3, "building")
    assert points(catalog) == [(2, 1, "pending"), (3, 1, "pending")]
    assert catalog.findings() == []


def test_a_dropped_collection_goes_with_its_points_and_no_others(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    add(catalog, "one")
    add(catalog, "two")
    turn(catalog, 2)
    drop(catalog, 1)
    assert [row.id for row in collections_in(catalog.connection)] == [2]
    assert points(catalog) == [(2, 1, "pending")]
    drop(catalog, 1)
    assert points(catalog) == [(2, 1, "pending")]
    assert catalog.findings() == []
    with pytest.raises(CatalogError, match="there is no collection 1"):
        turn(catalog, 1)


def test_the_serving_collection_is_not_dropped_and_one_that_was_being_built_is(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    add(catalog, "one")
    add(catalog, "two")
    with pytest.raises(CatalogError, match="'c-one' serves"):
        drop(catalog, 1)
    drop(catalog, 2)
    assert points(catalog) == [(1, 1, "pending")]


def test_a_serving_collection_can_be_given_up_for_none(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    with catalog.transaction() as connection:
        retire(connection, 1)
    catalog.add("a.py", "def one\n")
    assert points(catalog) == []
    assert catalog.findings() == []
    assert add(catalog, "two").state == "serving"


def test_the_schema_allows_one_serving_collection_and_one_that_is_filled_for_a_model(catalog: FilledCatalog) -> None:
    add(catalog, "one")
    insert = "INSERT INTO collections (store, fingerprint, dimension, state, name) VALUES ('local', ?, 3, ?, 'x')"
    with pytest.raises(sqlite3.IntegrityError):
        catalog.change(insert, "two", "serving")
    with pytest.raises(sqlite3.IntegrityError):
        catalog.change(insert, "one", "building")
    catalog.change(insert, "one", "retired")


def test_i6_a_retired_collection_is_not_in_the_dump(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    add(catalog, "one")
    before = catalog.dump()
    add(catalog, "two")
    turn(catalog, 2)
    assert [line for line in catalog.dump() if '"one"' in line and '"point"' in line] == []
    turned = catalog.dump()
    drop(catalog, 1)
    assert catalog.dump() == turned
    assert [line.replace('"two"', '"one"') for line in turned] == before


class Life:
    """A catalog and the stores behind its collections: what is handed out, done and acknowledged, in any order."""

    def __init__(self, path: Path) -> None:
        self.catalog = FilledCatalog(path / "catalog" / "catalog.db")
        self.stores: dict[int, set[int]] = {}
        self.sent: list[tuple[str, int, list[tuple[int, int]]]] = []
        self.made = 0
        self.build(0)

    def edit(self, number: int) -> None:
        path, text = f"{number % 3}.py", "".join(f"def f{line}\n" for line in range(number % 4 + 1))
        self.catalog.add(path, text)

    def remove(self, number: int) -> None:
        if self.catalog.place(f"{number % 3}.py").expected_seq is not None:
            self.catalog.remove(f"{number % 3}.py")

    def collect(self, _: int) -> None:
        self.catalog.collect()

    def build(self, _: int) -> None:
        if len(self.live()) < 2:
            self.made += 1
            row = add(self.catalog, str(self.made))
            self.stores[row.id] = set()

    def flip(self, _: int) -> None:
        for row in collections_in(self.catalog.connection):
            if row.state == "building":
                former = turn(self.catalog, row.id)
                assert former is not None
                del self.stores[former.id]

    def drop(self, _: int) -> None:
        for row in collections_in(self.catalog.connection):
            if row.state == "retired":
                drop(self.catalog, row.id)

    def lose(self, number: int) -> None:
        """A store is emptied, or lacks one vector, and that is noticed."""
        collection = self.live()[number % len(self.live())]
        with self.catalog.transaction() as connection:
            if number % 2:
                self.stores[collection].clear()
                want_all_again(connection, collection)
            elif self.stores[collection] & self.ids(collection, "stored"):
                lost = min(self.stores[collection] & self.ids(collection, "stored"))
                self.stores[collection].remove(lost)
                ids = [each for (each,) in self.catalog.rows("SELECT external_id FROM chunks WHERE chunk_id = ?", lost)]
                want_again(connection, collection, ids)

    def hurry(self, number: int) -> None:
        with self.catalog.transaction() as connection:
            raise_priority(connection, self.live()[0], [number])

    def work(self, number: int) -> None:
        """One batch goes to the store and is acknowledged; the acknowledgement may be repeated much later."""
        collection = self.live()[number % len(self.live())]
        kind = ("pending", "deleting", "failing")[number % 3]
        state = "deleting" if kind == "deleting" else "pending"
        batch = self.catalog.rows(
            "SELECT chunk_id, seq FROM points WHERE collection_id = ? AND state = ? LIMIT ?",
            collection,
            state,
            number % 5,
        )
        chunks = {chunk_id for chunk_id, _ in batch}
        if kind == "pending":
            self.stores[collection] |= chunks
        elif kind == "deleting":
            self.stores[collection] -= chunks
        self.sent.append((kind, collection, batch))
        if number % 2:
            self.acknowledge(-1)

    def acknowledge(self, number: int) -> None:
        """Any answer comes once more, however late; also one that a kill had kept from being written down."""
        if not self.sent:
            return
        kind, collection, batch = self.sent[number if number < 0 else number % len(self.sent)]
        with self.catalog.transaction() as connection:
            if kind == "pending":
                acknowledge_stored(connection, collection, batch)
            elif kind == "deleting":
                acknowledge_deleted(connection, collection, batch)
            else:
                mark_failed(connection, collection, [(chunk_id, seq, "no") for chunk_id, seq in batch])

    def live(self) -> list[int]:
        return [row.id for row in collections_in(self.catalog.connection) if row.state != "retired"]

    def ids(self, collection: int, state: str) -> set[int]:
        return {
            chunk_id
            for (chunk_id,) in self.catalog.rows(
                "SELECT chunk_id FROM points WHERE collection_id = ? AND state = ?", collection, state
            )
        }

    def check(self) -> None:
        assert self.catalog.findings() == []
        for collection in self.live():
            assert self.ids(collection, "stored") <= self.stores[collection], "stored, and the store lacks it"
            known = set().union(*(self.ids(collection, state) for state in ("stored", "pending", "deleting", "failed")))
            assert self.stores[collection] <= known, "in the store, and the catalog does not know"

    def settle(self) -> None:
        """Let everything be done that waits to be done."""
        for _ in range(2):
            for collection in self.live():
                for kind in ("pending", "deleting"):
                    batch = self.catalog.rows(
                        "SELECT chunk_id, seq FROM points WHERE collection_id = ? AND state = ?", collection, kind
                    )
                    chunks = {chunk_id for chunk_id, _ in batch}
                    store = self.stores[collection]
                    self.stores[collection] = store | chunks if kind == "pending" else store - chunks
                    self.sent.append((kind, collection, batch))
                    self.acknowledge(-1)
            self.drop(0)
            self.collect(0)
        for collection in self.live():
            assert self.stores[collection] == self.ids(collection, "stored") | (
                self.stores[collection] & self.ids(collection, "failed")
            )
            kept = {chunk_id for (chunk_id,) in self.catalog.rows("SELECT chunk_id FROM chunks")}
            assert kept == self.ids(collection, "stored") | self.ids(collection, "failed")


STEPS: tuple[Callable[[Life, int], None], ...] = (
    Life.edit, Life.edit, Life.remove, Life.collect, Life.build, Life.flip, Life.drop, Life.lose, Life.hurry,
    Life.work, Life.work, Life.work, Life.acknowledge,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 209)), min_size=10, max_size=40))
def test_i1_i3_i4_whatever_happens_in_whatever_order_catalog_and_stores_agree(
    steps: list[tuple[Callable[[Life, int], None], int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        life = Life(Path(directory))
        try:
            life.catalog.connection.execute("PRAGMA synchronous = OFF")
            for step, number in steps:
                step(life, number)
                life.check()
            life.settle()
            life.check()
        finally:
            life.catalog.close()
