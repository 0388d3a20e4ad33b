"""What is known of some paths is the same as what is known of all, cut to them."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.sources import Extent
from storage import Exclusion, Stat, open_reader
from storage.catalog.files import exclude_file
from tests.storage.conftest import FilledCatalog, MakeCatalog

NAMES = ("a", "a/b", "a/b.py", "a/b/c.py", "a/bc", "a.py", "a0", "b/c", "é/x", "b")
ASKED = st.lists(st.sampled_from([b"a", b"a/b", b"b", b"a/b/c.py", b"a.py", "é".encode(), b"zz"]), max_size=5)


def filled(make: MakeCatalog) -> FilledCatalog:
    catalog = make()
    for name in NAMES:
        catalog.add(name, f"def f_{len(name)}()\n")
    for name in ("a/b/x.bin", "a/y.bin", "c.bin"):
        with catalog.transaction() as connection:
            exclude_file(connection, Exclusion(catalog.place(name), Stat(1, 2, 3, 4), 5, "binary", "", "r"), now_ms=1)
    return catalog


def test_paths_are_answered_for_with_what_lies_below_them_and_nothing_else(make_catalog: MakeCatalog) -> None:
    catalog = filled(make_catalog)

    @given(ASKED)
    @settings(max_examples=40)
    def same(paths: list[bytes]) -> None:
        asyncio.run(check(paths))

    async def check(paths: list[bytes]) -> None:
        async with open_reader(catalog.path) as reader:
            everything = await reader.known_files(catalog.repository.snapshot_id)
            some = await reader.known_files(catalog.repository.snapshot_id, paths)
            extent = Extent(paths)
            assert some == {path: known for path, known in everything.items() if extent.covers(path)}
            assert Extent(paths).paths == tuple(sorted(set(paths)))

    same()


def test_no_statement_about_some_paths_reads_a_whole_snapshot(make_catalog: MakeCatalog) -> None:
    from storage.catalog.reader import _AT, _BELOW, _ENTRIES, _EXCLUSIONS

    catalog = filled(make_catalog)
    for table in (_ENTRIES, _EXCLUSIONS):
        for where, bounds in ((_AT, (b"a",)), (_BELOW, (b"a/", b"a0"))):
            plan = catalog.rows(f"EXPLAIN QUERY PLAN {table} {where}", catalog.repository.snapshot_id, *bounds)
            assert "SCAN" not in " ".join(row[3] for row in plan)
            assert "path" in plan[0][3]
