"""Damaged files, foreign files, files of a kill: noticed before anything is mapped, and never a crash."""

from __future__ import annotations

import asyncio
import errno
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numkong
import numpy as np
import pytest
from usearch.index import Index

from storage.errors import DataDirectoryUnsuitable, DiskFull, VectorStoreDamaged, VectorStoreError
from storage.errors import VectorStoreUnavailable as Unavailable
from storage.vectors import CollectionSpec, StoreMarker
from storage.vectors.local_errors import translated
from tests.storage.vectors.conftest import OpenLocal
from tests.storage.vectors.points import SPEC, batch_of, point_id, random_rows

ALL = frozenset({"r1"})
ROWS = 400
TAIL = 20

FILL = """
import asyncio, sys
from pathlib import Path
from storage.vectors import LocalStore
from storage.vectors import LocalOptions
from tests.storage.vectors.points import SPEC, batch_of, point_id

async def main():
    store = await LocalStore.open_for_writing(Path(sys.argv[1]), LocalOptions(graph_from=100))
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(300, 500)))
    await collection.delete([point_id(number) for number in range(50)])
    await collection.optimize()

asyncio.run(main())
"""

TRY = """
import asyncio, sys
from pathlib import Path
from storage.vectors import LocalStore
from tests.storage.vectors.points import SPEC, random_rows

async def main():
    for path in sys.argv[1:]:
        store = await LocalStore.open_for_reading(Path(path))
        collection = await store.open(SPEC)
        found = await collection.search(random_rows(1)[0], 1000, repositories=frozenset({"r1"}))
        ids = await collection.ids(None, 1000)
        assert len(found.hits) == len(ids) == await collection.count()
        print(len(ids), len(collection.problems))
        await store.aclose()

asyncio.run(main())
"""


def run(program: str, *arguments: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[3])]), **environment},
    )


async def fill(open_local: OpenLocal) -> None:
    """A base with a graph of ``ROWS`` rows and ``TAIL`` flat ones beside it."""
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(ROWS)))
    await collection.optimize()
    await collection.upsert(batch_of(range(ROWS, ROWS + TAIL)))
    await collection.set_marker(StoreMarker("c", "i", 1))
    await store.aclose()


async def test_f103_a_flipped_or_missing_byte_anywhere_drops_the_base_and_is_said(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    await fill(open_local)
    original = tmp_path / "vectors"
    files = sorted((original / SPEC.name / "r1").iterdir())
    assert {each.suffix for each in files} == {".json", ".rows", ".flat", ".graph"}
    damaged: list[Path] = []
    expected: list[str] = []
    random = np.random.default_rng(5)
    for file in files:
        size = file.stat().st_size
        for position in [0, 4, size // 2, size - 2, *random.integers(0, size, 4).tolist(), "cut", "longer", "gone"]:
            copy = tmp_path / f"copy-{len(damaged)}"
            shutil.copytree(original, copy)
            damage(copy / SPEC.name / "r1" / file.name, position)
            damaged.append(copy)
            # Without its manifest a base was never there: its ids are missing, and nothing is damaged.
            expected.append("0 0" if (file.suffix, position) == (".json", "gone") else "0 1")
    done = await asyncio.to_thread(run, TRY, original, *damaged)
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.split("\n")[:-1]
    assert outcomes[0] == f"{ROWS + TAIL} 0"
    assert outcomes[1:] == expected


def damage(path: Path, position: int | str) -> None:
    if position == "gone":
        path.unlink()
    elif position == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif position == "longer":
        with path.open("ab") as file:
            file.write(b"x")
    else:
        content = bytearray(path.read_bytes())
        content[int(position)] ^= 0x10
        path.write_bytes(content)


async def test_f103_the_owner_drops_a_damaged_base_and_can_be_filled_again(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    await fill(open_local)
    damage(next((tmp_path / "vectors" / SPEC.name / "r1").glob("*.graph")), 5_000)
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    assert len(collection.problems) == 1
    assert "checksum" in collection.problems[0]
    assert await collection.count() == 0
    await collection.upsert(batch_of(range(ROWS)))
    await store.aclose()
    collection = await (await open_local()).open(SPEC)
    assert (await collection.count(), collection.problems) == (ROWS, [])


async def test_f103_a_base_of_another_dimension_is_not_mapped(tmp_path: Path, open_local: OpenLocal) -> None:
    store = await open_local()
    wide = await store.open(CollectionSpec("wide", 16))
    rows = random_rows(30, dimension=16)
    await wide.upsert(batch_of(range(30), rows))
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(30)))
    await store.aclose()
    root = tmp_path / "vectors"
    for file in (root / "wide" / "r1").iterdir():
        shutil.copy(file, root / SPEC.name / "r1" / file.name.replace("wide", SPEC.name))
    collection = await (await open_local()).open(SPEC)
    assert await collection.count() == 0
    assert "dimension" in collection.problems[0]


async def test_f103_a_file_overwritten_while_it_is_mapped_is_replaced_by_rename_only(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    """What is mapped is never written to: every file keeps its inode and content until it is gone."""
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(ROWS)))
    await collection.optimize()
    reader = await (await open_local(reading=True)).open(SPEC)
    directory = tmp_path / "vectors" / SPEC.name / "r1"
    held = {path: (path.stat().st_ino, path.read_bytes()) for path in directory.iterdir()}
    await collection.upsert(batch_of(range(ROWS), random_rows(ROWS, seed=4)))
    await collection.optimize()
    assert all(
        path not in held or held[path] == (path.stat().st_ino, path.read_bytes()) for path in held if path.exists()
    )
    assert len((await reader.search(random_rows(1)[0], 9_999, repositories=ALL)).hits) == ROWS


@pytest.mark.parametrize("file", ["collection.json", "marker.json"])
async def test_a_damaged_description_is_no_loss_of_vectors(tmp_path: Path, open_local: OpenLocal, file: str) -> None:
    await fill(open_local)
    path = tmp_path / "vectors" / SPEC.name / file
    damage(path, path.stat().st_size // 2)
    collection = await (await open_local(graph_from=100)).open(SPEC)
    assert await collection.count() == ROWS + TAIL
    assert (await collection.marker() is None) == (file == "marker.json")
    assert len(collection.problems) == (file == "collection.json")


async def test_f036_a_store_wiped_while_nobody_looked_is_empty_and_has_no_marker(
    tmp_path: Path, open_local: OpenLocal
) -> None:
    await fill(open_local)
    shutil.rmtree(tmp_path / "vectors")
    collection = await (await open_local()).open(SPEC)
    assert (await collection.count(), await collection.marker()) == (0, None)


async def test_f106_an_older_copy_brings_its_marker_along(tmp_path: Path, open_local: OpenLocal) -> None:
    await fill(open_local)
    shutil.copytree(tmp_path / "vectors", tmp_path / "copy")
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(900, 950)))
    await collection.set_marker(StoreMarker("c", "later", 9))
    await store.aclose()
    shutil.rmtree(tmp_path / "vectors")
    (tmp_path / "copy").rename(tmp_path / "vectors")
    collection = await (await open_local(graph_from=100)).open(SPEC)
    assert await collection.marker() == StoreMarker("c", "i", 1)
    assert await collection.count() == ROWS + TAIL


STAGES = ["rows", "graph", "manifest", "written", "remove"]


@pytest.mark.parametrize("stage", STAGES)
async def test_f001_a_kill_while_optimizing_leaves_the_old_base_or_the_new_one(
    tmp_path: Path, open_local: OpenLocal, stage: str
) -> None:
    store = await open_local(graph_from=100)
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(300)))
    await collection.optimize()
    await store.aclose()
    # The opening passes "remove" too.
    count = 2 if stage == "remove" else 1
    done = await asyncio.to_thread(run, FILL, tmp_path / "vectors", _CODETROVE_FAULT=f"vectors.{stage}:{count}:kill")
    assert done.returncode == -signal.SIGKILL, done.stderr
    collection = await (await open_local(graph_from=100)).open(SPEC)
    expected = range(50, 500) if stage in ("written", "remove") else range(300)
    assert await collection.ids(None, 999) == [point_id(number) for number in expected]
    assert collection.problems == []
    found = await collection.search(random_rows(1)[0], 999, repositories=ALL)
    assert len(found.hits) == len(expected)
    assert len(list((tmp_path / "vectors" / SPEC.name / "r1").iterdir())) == 3


async def test_a_kill_while_dropping_leaves_no_half_collection(tmp_path: Path, open_local: OpenLocal) -> None:
    await fill(open_local)
    (tmp_path / "vectors" / SPEC.name).rename(tmp_path / "vectors" / ".dropped-1")
    store = await open_local()
    assert await store.collections() == ()
    assert not (tmp_path / "vectors" / ".dropped-1").exists()


async def test_a_full_disk_is_unavailability_and_the_vectors_stay(
    open_local: OpenLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.vectors import local_build

    store = await open_local()
    collection = await store.open(SPEC)
    await collection.upsert(batch_of(range(20)))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(local_build, "seal", full)
        with pytest.raises(Unavailable, match="No space"):
            await collection.optimize()
    await collection.optimize()
    assert await collection.count() == 20


def changed_view(path: Path) -> object:
    index = Index(ndim=4)
    index.add(1, random_rows(1, dimension=4)[0])
    index.save(str(path))
    view = Index(ndim=4)
    view.view(str(path))
    return view.add(2, random_rows(1, dimension=4)[0])


def doubled_key(path: Path) -> object:
    index = Index(ndim=4)
    index.add(1, random_rows(1, dimension=4)[0])
    return index.add(1, random_rows(1, dimension=4)[0])


def mapped(path: Path) -> object:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def full_disk(path: Path) -> object:
    raise DiskFull("no room")


def not_writable(path: Path) -> object:
    raise DataDirectoryUnsuitable("cannot be written")


HALF = np.ones((1, 4), np.float16)
FOREIGN: list[tuple[str, Callable[[Path], object], type[VectorStoreError]]] = [
    ("usearch: a file that is none", lambda path: Index(ndim=4).view(str(path)), VectorStoreDamaged),
    ("usearch: no file", lambda path: Index(ndim=4).load(str(path / "none")), Unavailable),
    ("usearch: a doubled key", doubled_key, VectorStoreDamaged),
    ("usearch: another dimension", lambda _: Index(ndim=4).add(1, np.ones(5, np.float32)), VectorStoreDamaged),
    ("usearch: a view cannot change", changed_view, VectorStoreDamaged),
    ("numkong: no rows", lambda _: numkong.cdist(HALF, HALF[:0], "dot"), VectorStoreDamaged),
    (
        "numkong: another dimension",
        lambda _: numkong.cdist(HALF, np.ones((2, 5), np.float16), "dot"),
        VectorStoreDamaged,
    ),
    ("numpy: too few bytes", lambda _: np.frombuffer(b"abc", np.float16, 9), VectorStoreDamaged),
    ("numpy: too much memory", lambda _: np.empty(1 << 58, np.uint8), Unavailable),
    ("numpy: no such row", lambda _: HALF[np.array([7])], VectorStoreDamaged),
    ("numpy: another shape", lambda _: HALF.reshape(3, 2), VectorStoreDamaged),
    ("mmap: an empty file", mapped, VectorStoreDamaged),
    ("json", lambda _: json.loads("{"), VectorStoreDamaged),
    ("no such file", lambda path: path.with_name("none").read_bytes(), Unavailable),
    ("no room, ours", full_disk, Unavailable),
    ("not writable, ours", not_writable, Unavailable),
]


@pytest.mark.parametrize(("provoke", "kind"), [each[1:] for each in FOREIGN], ids=[each[0] for each in FOREIGN])
def test_every_foreign_error_becomes_one_of_ours(
    tmp_path: Path, provoke: Callable[[Path], object], kind: type[VectorStoreError]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"" if provoke is mapped else b"x" * 100)
    with pytest.raises(VectorStoreError, match="failed to try") as caught, translated("to try"):
        provoke(path)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
