from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import (
    NestedRepository,
    Root,
    Stat,
    UnknownRepository,
    accept_root,
    count_death,
    finish_scan,
    forget,
    register,
    repositories,
    repository_at,
    start_run,
)

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog


def test_a_root_is_registered_once(catalog: FilledCatalog) -> None:
    assert catalog.add_repository(b"/src/one") == catalog.repository
    assert catalog.add_repository(b"/src/oneself").id != catalog.repository.id
    assert [each.root.path for each in repositories(catalog.connection)] == [b"/src/one", b"/src/oneself"]


def test_a_root_inside_a_registered_one_is_refused_by_name(catalog: FilledCatalog) -> None:
    with pytest.raises(NestedRepository, match="'/src/one/inner' lies inside the indexed repository '/src/one'"):
        catalog.add_repository(b"/src/one/inner")


def test_a_root_around_registered_ones_is_taken_and_they_stay_what_they_are(catalog: FilledCatalog) -> None:
    outer = catalog.add_repository(b"/")
    assert catalog.add_repository(b"/src/one") == catalog.repository
    assert catalog.add_repository(b"/") == outer


def test_a_repository_that_comes_back_keeps_its_uuid(catalog: FilledCatalog) -> None:
    assert catalog.add_repository(b"/src/two", "the-uuid").uuid == "the-uuid"


def test_a_root_that_is_not_registered_is_an_error_that_says_what_to_run(catalog: FilledCatalog) -> None:
    assert repository_at(catalog.connection, b"/src/one") == catalog.repository
    with pytest.raises(UnknownRepository, match="codetrove index '/caf"):
        repository_at(catalog.connection, b"/caf\xe9")


def test_an_accepted_root_and_a_finished_scan_are_kept(catalog: FilledCatalog) -> None:
    root = Root(b"/src/one", 8, 9, "next boot", b"/src/one/.git")
    with catalog.transaction() as connection:
        accept_root(connection, catalog.repository.id, root)
        finish_scan(connection, catalog.repository.id, "rules", now_ms=77)
    (found,) = repositories(catalog.connection)
    assert (found.root, found.rules, found.scanned_at) == (root, "rules", 77)


def test_forgetting_removes_every_row_of_a_repository_but_its_chunks_and_nothing_of_another(
    catalog: FilledCatalog,
) -> None:
    other = catalog.add_repository(b"/src/two")
    catalog.apply(catalog.version("kept.py", "def kept\n", snapshot_id=other.snapshot_id), repository=other)
    catalog.add("a.py", "def one\n")
    with catalog.transaction() as connection:
        count_death(connection, catalog.place("b.py"), Stat(1, 2, 3, 4))
        for each in (catalog.repository, other):
            start_run(connection, each.id, f"job {each.id}", incarnation=1, now_ms=1)
        forget(connection, catalog.repository.id)
    assert [each.uuid for each in repositories(catalog.connection)] == [other.uuid]
    assert catalog.rows("SELECT path FROM entries") == [(b"kept.py",)]
    assert catalog.rows("SELECT words FROM path_words") == [("kept.py",)]
    assert catalog.rows("SELECT * FROM suspects") == []
    assert catalog.rows("SELECT id FROM jobs") == [(f"job {other.id}",)]
    assert catalog.rows("SELECT unshown_since FROM cuts ORDER BY id") == [(None,), (0,)]
    assert catalog.findings() == []


def test_a_forgotten_root_can_be_registered_again_as_a_new_repository(catalog: FilledCatalog) -> None:
    catalog.add("a.py", "def one\n")
    with catalog.transaction() as connection:
        forget(connection, catalog.repository.id)
        again = register(connection, catalog.repository.root, now_ms=2)
    assert again.uuid != catalog.repository.uuid
