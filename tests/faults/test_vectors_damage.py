"""Rows 36, 103, 104 and 106: vectors, their cache or their catalog lost, damaged, or put back from an earlier time.

In every case the next start makes the store whole again and encodes nothing that is in the cache.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from embeddings import HashingEncoder, TextKind
from indexing.fsck import check
from indexing.runtime import open_owner
from storage import DataDirectory, Vectors, load_registry, stage_restore, write_backup
from tests.faults import state, vector_state
from tests.faults.driver import WITH_VECTORS, Driver, Order, settings_for, vectors_of


@dataclass(frozen=True)
class Kept:
    """A tree, its index with all vectors, an older copy of that, a backup of then, and another installation's index."""

    root: Path
    data: Path
    older: Path
    backup: Path
    foreign: Path
    nearest: dict[str, list[tuple[bytes, float]]]

    @property
    def prefix(self) -> str:
        """What the names of the installation's collections begin with."""
        return f"codetrove_{load_registry(self.data).installation.replace('-', '')[:8]}_"

    def copy(self, to: Path) -> Path:
        """The index, to be damaged."""
        shutil.copytree(self.data, to, ignore=shutil.ignore_patterns("owner.lock"))
        return to


@pytest.fixture(scope="module")
def kept(drivers: list[Driver], tmp_path_factory: pytest.TempPathFactory) -> Kept:
    base = tmp_path_factory.mktemp("kept")
    root, data, older, foreign = base / "tree", base / "data", base / "older", base / "foreign"
    state.write(root, state.small_tree(8))
    _index(drivers[0], data, root)
    shutil.copytree(data, older)
    write_backup(DataDirectory(data), base / "backup.zip")
    state.write(root, {"pkg0/module0.py": "total = 1\n" * 3, "pkg2/later.py": "def later(): pass\n"})
    (root / "docs/part3.md").unlink()
    _index(drivers[0], data, root)
    _index(drivers[0], data, root)  # what is garbage goes with the next job after its vectors
    _index(drivers[0], foreign, root)
    return Kept(root, data, older, base / "backup.zip", foreign, asyncio.run(vector_state.nearest(data)))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of chunks that are encoded in this process during the test."""
    texts: list[str] = []
    encode = HashingEncoder.encode

    async def noting(self: HashingEncoder, given: Sequence[str], kind: TextKind) -> Vectors:
        texts.extend(given if kind == "document" else ())
        return await encode(self, given, kind)

    monkeypatch.setattr(HashingEncoder, "encode", noting)
    return texts


def flip(path: Path, where: float) -> None:
    """Invert a byte of a file."""
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 0xFF
    path.write_bytes(content)


def damage(kind: str, vectors: Path, kept: Kept) -> None:
    """Do something to a directory of vectors."""
    (collection,) = (each for each in vectors.iterdir() if each.is_dir())
    match kind:
        case "deleted":
            shutil.rmtree(vectors)
        case "collection deleted":
            shutil.rmtree(collection)
        case "a repository deleted":
            shutil.rmtree(next(each for each in collection.iterdir() if each.is_dir()))
        case "yesterday's copy":
            shutil.rmtree(vectors)
            shutil.copytree(kept.older / "vectors", vectors)
        case "of another installation":
            shutil.rmtree(vectors)
            shutil.copytree(kept.foreign / "vectors", vectors)
        case _:
            name, _, what = kind.partition(" ")
            pattern = "*/*.json" if name == "manifest" else f"**/*{name}"
            (file,) = collection.glob(pattern)
            if what == "truncated":
                os.truncate(file, file.stat().st_size // 2)
            else:
                flip(file, {"begin": 0.0, "middle": 0.5, "end": 1.0}[what])


LOST = ("deleted", "collection deleted", "a repository deleted", "yesterday's copy", "of another installation")
FLIPPED = (
    ".rows begin", ".rows middle", ".rows end", ".flat begin", ".flat middle", ".flat end",
    "manifest middle", "collection.json middle", "marker.json middle",
)  # fmt: skip
DAMAGE = (*LOST, *FLIPPED, ".rows truncated", ".flat truncated")


@pytest.mark.parametrize("kind", DAMAGE)
def test_f036_f103_vectors_are_right_after_the_next_start_and_nothing_is_encoded(
    kept: Kept, tmp_path: Path, encoded: list[str], kind: str
) -> None:
    data = kept.copy(tmp_path / "data")
    damage(kind, DataDirectory(data).vectors, kept)
    asyncio.run(_open_only(data))
    _assert_whole(data, kept)
    assert encoded == []


@pytest.mark.parametrize("kind", [*LOST, ".rows middle", ".flat middle", "manifest middle", "collection.json middle"])
def test_f036_f103_fsck_says_what_is_wrong_and_mends_it_without_encoding(
    kept: Kept, tmp_path: Path, encoded: list[str], kind: str
) -> None:
    data = kept.copy(tmp_path / "data")
    damage(kind, DataDirectory(data).vectors, kept)
    before = _snapshot(data)
    found = asyncio.run(check(settings_for(data, WITH_VECTORS), repair=False))
    assert {finding.code for finding in found.findings} == {"vectors"}
    assert _snapshot(data) == before
    repaired = asyncio.run(check(settings_for(data, WITH_VECTORS), repair=True))
    assert repaired.clean
    assert repaired.findings
    _assert_whole(data, kept)
    assert encoded == []


def test_f103_fsck_counts_what_is_missing_and_what_nobody_lists(kept: Kept, tmp_path: Path) -> None:
    data = kept.copy(tmp_path / "data")
    damage("yesterday's copy", DataDirectory(data).vectors, kept)
    (name,) = asyncio.run(vector_state.names_in_store(data))
    assert asyncio.run(state.findings(data, WITH_VECTORS)) == [
        f"vectors: 2 missing vectors in the collection {name}",
        f"vectors: 2 orphaned vectors in the collection {name}",
    ]


def test_f104_without_the_cache_points_stay_stored_and_nothing_is_encoded(
    kept: Kept, tmp_path: Path, encoded: list[str]
) -> None:
    data = kept.copy(tmp_path / "data")
    DataDirectory(data).embeddings.unlink()
    asyncio.run(_open_only(data))
    _assert_whole(data, kept)
    assert encoded == []


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("yesterday's copy", 2),
        ("deleted", 8),
    ],
)
def test_f104_a_repair_without_the_cache_encodes_what_is_missing_and_says_so(
    kept: Kept, tmp_path: Path, encoded: list[str], kind: str, texts: int
) -> None:
    data = kept.copy(tmp_path / "data")
    DataDirectory(data).embeddings.unlink()
    damage(kind, DataDirectory(data).vectors, kept)
    with capture_logs() as logs:
        asyncio.run(_open_only(data))
    _assert_whole(data, kept)
    assert len(encoded) == len(set(encoded)) == texts
    assert [each["event"] for each in logs].count("vectors.encoded_again") == 1


@pytest.mark.parametrize("kind", ["garbage", "flipped"])
def test_f104_a_damaged_cache_costs_at_most_what_it_no_longer_holds(
    kept: Kept, tmp_path: Path, encoded: list[str], kind: str
) -> None:
    data = kept.copy(tmp_path / "data")
    cache = DataDirectory(data).embeddings
    if kind == "garbage":
        cache.write_bytes(b"this is no cache" * 1000)
    else:
        for where in (0.3, 0.5, 0.7, 0.9):
            flip(cache, where)
    shutil.rmtree(DataDirectory(data).vectors)
    asyncio.run(_open_only(data))
    _assert_whole(data, kept)
    assert len(encoded) <= len(asyncio.run(vector_state.listed(data)).popitem()[1])


@pytest.mark.parametrize("way", ["backup", "catalog directory", "whole data directory but the vectors"])
def test_f106_with_an_older_catalog_the_store_follows_it_there_and_back(
    kept: Kept, driver: Driver, tmp_path: Path, encoded: list[str], way: str
) -> None:
    data = kept.copy(tmp_path / "data")
    if way == "backup":
        stage_restore(DataDirectory(data), kept.backup)
    elif way == "catalog directory":
        shutil.rmtree(data / "catalog")
        shutil.copytree(kept.older / "catalog", data / "catalog")
    else:
        vectors, cache = data / "vectors", data / "embeddings.db"
        shutil.rmtree(data / "catalog")
        shutil.copytree(kept.older, data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("vectors", cache.name))
        assert vectors.exists()
    asyncio.run(_open_only(data))
    assert asyncio.run(vector_state.held(data)) == asyncio.run(vector_state.held(kept.older))
    assert asyncio.run(vector_state.nearest(data)) == asyncio.run(vector_state.nearest(kept.older))
    assert asyncio.run(state.findings(data, WITH_VECTORS)) == []
    assert encoded == []
    for _ in range(2):
        assert _index(driver, data, kept.root)["encoded"] == 0
    _assert_whole(data, kept)


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_f106_with_a_new_catalog_the_old_collection_goes_and_the_new_one_comes_from_the_cache(
    kept: Kept, driver: Driver, tmp_path: Path, kind: str
) -> None:
    data = kept.copy(tmp_path / "data")
    if kind == "missing":
        shutil.rmtree(data / "catalog")
    else:
        DataDirectory(data).catalog.write_bytes(b"this is no catalog" * 1000)
    former = asyncio.run(vector_state.names_in_store(data))
    assert _index(driver, data, kept.root)["encoded"] == 0
    _assert_whole(data, kept)
    assert not former & asyncio.run(vector_state.names_in_store(data))


def _assert_whole(data: Path, kept: Kept) -> None:
    """Everything is as it was, and the collection that serves is the only one of ours on disk."""
    held = asyncio.run(vector_state.held(data))
    assert held == asyncio.run(vector_state.listed(data)) == asyncio.run(vector_state.held(kept.data))
    assert asyncio.run(vector_state.nearest(data)) == kept.nearest
    assert asyncio.run(state.findings(data, WITH_VECTORS)) == []
    assert state.dump(data) == state.dump(kept.data)
    names = {name for name in asyncio.run(vector_state.names_in_store(data)) if name.startswith(kept.prefix)}
    assert names == {row.name for row in asyncio.run(vector_state.rows_of(data))}


def _snapshot(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (data / "vectors").rglob("*") if path.is_file()}


async def _open_only(data: Path) -> None:
    async with open_owner(settings_for(data, WITH_VECTORS)) as owner:
        report = await vectors_of(owner)
    assert report["complete"]


def _index(driver: Driver, data: Path, root: Path) -> dict[str, object]:
    report = driver.run(Order(str(data), str(root), overrides=WITH_VECTORS)).report
    vectors = report.get("vectors")
    assert isinstance(vectors, dict), report
    assert (report["state"], vectors["complete"], vectors["pending"]) == ("succeeded", True, 0)
    return vectors
