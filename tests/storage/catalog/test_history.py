from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage import (
    Incarnation,
    begin_incarnation,
    end_incarnation,
    judge_mark,
    last_deletion,
    trim_deletions,
)
from storage.catalog.files import last_chunk_id
from storage.catalog.history import catalog_uuid

if TYPE_CHECKING:
    from tests.storage.conftest import FilledCatalog, MakeCatalog

Mark = dict[str, Any]


def start(catalog: FilledCatalog) -> Incarnation:
    with catalog.transaction() as connection:
        return begin_incarnation(connection, now_ms=1)


def mark(catalog: FilledCatalog, incarnation: Incarnation) -> Mark:
    """The mark of an index that has followed everything."""
    return {
        "catalog": incarnation.catalog,
        "incarnation": incarnation.uuid,
        "chunk_id": last_chunk_id(catalog.connection),
        "deletion": last_deletion(catalog.connection),
    }


def churn(catalog: FilledCatalog, name: str) -> None:
    """Two new chunks, one of which goes again."""
    catalog.add(f"{name}.py", f"def {name}\n")
    catalog.add(f"{name}.gone", f"def {name}_gone\n")
    catalog.remove(f"{name}.gone")
    catalog.collect()


def back_up(catalog: FilledCatalog, target: Path) -> None:
    target.parent.mkdir()
    catalog.connection.execute("VACUUM INTO ?", (str(target),))


def test_the_first_start_makes_the_catalogs_uuid_and_later_ones_keep_it(catalog: FilledCatalog) -> None:
    assert catalog_uuid(catalog.connection) == ""
    first = start(catalog)
    assert (first.is_first, first.stopped_cleanly_before) == (True, True)
    second = start(catalog)
    assert (second.is_first, second.stopped_cleanly_before) == (False, False)
    assert first.catalog == second.catalog == catalog_uuid(catalog.connection) != ""
    assert first.uuid != second.uuid
    with catalog.transaction() as connection:
        end_incarnation(connection, second.id, now_ms=2)
    assert start(catalog).stopped_cleanly_before


def test_a_mark_of_this_history_can_be_caught_up_from_however_far_it_is_behind(catalog: FilledCatalog) -> None:
    incarnation = start(catalog)
    early = mark(catalog, incarnation)
    churn(catalog, "one")
    assert judge_mark(catalog.connection, **early) == "ours"
    assert judge_mark(catalog.connection, **mark(catalog, incarnation)) == "ours"
    late = mark(catalog, incarnation)
    start(catalog)
    churn(catalog, "two")
    assert judge_mark(catalog.connection, **early) == "ours"
    assert judge_mark(catalog.connection, **late) == "ours"


@pytest.mark.parametrize("field", ["catalog", "incarnation"])
def test_f102_a_mark_of_another_history_is_foreign(catalog: FilledCatalog, field: str) -> None:
    incarnation = start(catalog)
    assert judge_mark(catalog.connection, **{**mark(catalog, incarnation), field: "unknown"}) == "foreign"


@pytest.mark.parametrize("field", ["chunk_id", "deletion"])
def test_f102_a_mark_past_the_end_is_ahead(catalog: FilledCatalog, field: str) -> None:
    incarnation = start(catalog)
    churn(catalog, "one")
    followed = mark(catalog, incarnation)
    followed[field] += 1
    assert judge_mark(catalog.connection, **followed) == "ahead"


def test_f102_a_mark_older_than_the_deletions_that_are_kept_cannot_be_caught_up(catalog: FilledCatalog) -> None:
    incarnation = start(catalog)
    old = mark(catalog, incarnation)
    churn(catalog, "one")
    with catalog.transaction() as connection:
        trim_deletions(connection, 1)
    assert judge_mark(catalog.connection, **old) == "too_old"
    assert judge_mark(catalog.connection, **mark(catalog, incarnation)) == "ours"


def test_f106_after_an_older_backup_is_restored_what_followed_the_newer_catalog_is_ahead(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    """The same incarnation, so only the numbers tell: those given out after the backup are given out twice."""
    catalog = make_catalog()
    incarnation = start(catalog)
    churn(catalog, "one")
    before = mark(catalog, incarnation)
    back_up(catalog, tmp_path / "backup" / "catalog.db")
    churn(catalog, "two")
    newer = mark(catalog, incarnation)

    (tmp_path / "restored").mkdir()
    shutil.copytree(tmp_path / "backup", tmp_path / "restored" / "catalog")
    restored = make_catalog("restored")
    assert judge_mark(restored.connection, **newer) == "ahead", "also before an owner has begun"
    start(restored)
    assert judge_mark(restored.connection, **newer) == "ahead"
    churn(restored, "three")
    churn(restored, "four")
    assert last_chunk_id(restored.connection) > newer["chunk_id"]
    assert judge_mark(restored.connection, **newer) == "ahead", "also once the numbers have been given out again"
    assert judge_mark(restored.connection, **before) == "ours"


def test_f106_a_mark_of_a_start_that_the_backup_does_not_know_is_foreign(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    catalog = make_catalog()
    start(catalog)
    churn(catalog, "one")
    back_up(catalog, tmp_path / "backup" / "catalog.db")
    later = start(catalog)
    unknown = mark(catalog, later)

    (tmp_path / "restored").mkdir()
    shutil.copytree(tmp_path / "backup", tmp_path / "restored" / "catalog")
    restored = make_catalog("restored")
    start(restored)
    assert judge_mark(restored.connection, **unknown) == "foreign"


def test_f106_a_deletion_alone_after_the_backup_is_enough_to_be_ahead(
    make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    catalog = make_catalog()
    incarnation = start(catalog)
    catalog.add("a.py", "def one\n")
    back_up(catalog, tmp_path / "backup" / "catalog.db")
    catalog.remove("a.py")
    catalog.collect()
    newer = mark(catalog, incarnation)

    (tmp_path / "restored").mkdir()
    shutil.copytree(tmp_path / "backup", tmp_path / "restored" / "catalog")
    restored = make_catalog("restored")
    start(restored)
    assert judge_mark(restored.connection, **newer) == "ahead"
