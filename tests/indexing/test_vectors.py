"""The vectors of an owner: which model they are of, the change to another one, and what is done without one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embeddings import HashingEncoder, resolve, resolved_from_json
from indexing.runtime import open_owner
from indexing.settings import Settings
from indexing.vectorize.embedded_text import TEMPLATE
from storage import DataDirectory, LocalStore, collections, open_reader, point_counts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Sequence

    from embeddings import ResolvedModel, TextKind
    from indexing.runtime import Owner
    from storage import CollectionRow, Vectors
    from tests.conftest import TreeFactory

CHUNKS = 20
FILES = {f"m{number}.py": f"def banana_{number}():\n    return 'apple{number}'\n" for number in range(CHUNKS)}


@asynccontextmanager
async def opened(data: Path, model: str) -> AsyncIterator[Owner]:
    settings = Settings(
        storage={"data_dir": str(data)},
        embeddings={"model": model, "batch_chunks": 4, "download": False},
    )
    async with open_owner(settings) as owner:
        yield owner


@asynccontextmanager
async def owning(data: Path, root: Path, model: str = "hashing-384") -> AsyncIterator[Owner]:
    """An owner that has indexed the tree."""
    async with opened(data, model) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            assert (await job.run()).state == "succeeded"
        yield owner


@pytest.fixture
def root(tree: TreeFactory) -> Path:
    return tree(FILES)


def hashing(dimension: int) -> ResolvedModel:
    return resolve(f"hashing-{dimension}", allow_download=False, text_template=TEMPLATE)


async def rows(data: Path) -> list[CollectionRow]:
    async with open_reader(DataDirectory(data).catalog) as reader:
        return await collections(reader)


async def on_disk(data: Path) -> set[str]:
    store = await LocalStore.open_for_reading(DataDirectory(data).vectors)
    try:
        return set(await store.collections())
    finally:
        await store.aclose()


async def answer(owner: Owner) -> tuple[str, int]:
    """Search once; returns fingerprint and dimension. Encoder, collection and row must be of one model."""
    assert owner.vectors is not None
    async with owner.vectors.service.searching() as serving:
        assert serving is not None
        spec = serving.encoder.spec
        assert (spec.fingerprint, spec.dimension) == (serving.row.fingerprint, serving.row.dimension)
        assert serving.collection.spec.dimension == spec.dimension
        (vector,) = await serving.encoder.encode(["banana_7"], "query")
        uuids = frozenset(each.uuid for each in await owner.reader.repositories())
        found = await serving.collection.search(vector, 3, repositories=uuids)
        path = await owner.reader.query(
            "SELECT path FROM entries JOIN chunks USING (cut_id) WHERE external_id = ?", (found.hits[0].id,)
        )
        assert path == [(b"m7.py",)]
        return spec.fingerprint, spec.dimension


async def test_every_search_during_a_switch_answers_from_one_model(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    encode = HashingEncoder.encode

    async with owning(data_dir, root) as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        (former,) = await rows(data_dir)

        async def searching_first(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
            # Before each batch of the new vectors: a search in the middle of the change.
            if kind == "document" and self.spec.dimension == 256:
                searched.append((await answer(owner))[0])
            return await encode(self, texts, kind)

        monkeypatch.setattr(HashingEncoder, "encode", searching_first)
        await owner.vectors.switch(hashing(256))
        switching = asyncio.create_task(owner.vectors.drained())
        while not switching.done():
            searched.append((await answer(owner))[0])
        assert switching.result()
        assert (await answer(owner))[0] == hashing(256).fingerprint

    old, new = hashing(384).fingerprint, hashing(256).fingerprint
    assert set(searched) >= {old}
    assert searched.count(old) >= CHUNKS // 4
    assert searched == sorted(searched, key=[old, new].index)
    (row,) = await rows(data_dir)
    assert (row.fingerprint, row.state, row.dimension) == (new, "serving", 256)
    assert await on_disk(data_dir) == {row.name} != {former.name}


async def test_a_search_that_began_before_the_change_ends_in_the_old_collection(root: Path, data_dir: Path) -> None:
    async with owning(data_dir, root) as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        async with owner.vectors.service.searching() as serving:
            assert serving is not None
            await owner.vectors.switch(hashing(256))
            while (await answer(owner))[1] != 256:
                pass
            assert await serving.collection.count() == CHUNKS
            assert len(await on_disk(data_dir)) == 2
        assert await owner.vectors.drained()
        assert len(await on_disk(data_dir)) == 1


async def test_a_switch_that_was_stopped_goes_on_with_the_next_owner(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = HashingEncoder.encode
    calls = 0

    async with owning(data_dir, root) as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        second = asyncio.Event()

        async def noting(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
            nonlocal calls
            calls += 1
            if calls == 2:
                second.set()
            return await encode(self, texts, kind)

        monkeypatch.setattr(HashingEncoder, "encode", noting)
        await owner.vectors.switch(hashing(256))
        await second.wait()
    assert [row.state for row in await rows(data_dir)] == ["serving", "building"]
    before = calls
    assert before < CHUNKS // 4
    # "auto" goes on with what is stored; so would the name of either.
    async with owning(data_dir, root, "auto") as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        assert await answer(owner) == (hashing(256).fingerprint, 256)
    assert calls == CHUNKS // 4 + 1  # and the query
    (row,) = await rows(data_dir)
    assert (row.state, await on_disk(data_dir)) == ("serving", {row.name})


async def test_another_model_in_the_settings_is_changed_to_and_back_without_encoding_again(
    root: Path, data_dir: Path
) -> None:
    encoded = {}
    for round_, model in enumerate(("hashing-384", "hashing-256", "hashing-384")):
        async with owning(data_dir, root, model) as owner:
            assert owner.vectors is not None
            assert await owner.vectors.drained()
            assert owner.vectors.progress is not None
            encoded[round_] = owner.vectors.progress.encoded
            assert owner.vectors.model == model
    assert encoded == {0: CHUNKS, 1: CHUNKS, 2: 0}
    assert len(await rows(data_dir)) == 1


async def test_a_switch_to_the_model_that_serves_changes_nothing(root: Path, data_dir: Path) -> None:
    async with owning(data_dir, root) as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        before = await rows(data_dir)
        await owner.vectors.switch(hashing(384))
        assert await owner.vectors.drained()
        assert await rows(data_dir) == before


async def test_auto_stays_with_the_model_that_is_stored(root: Path, data_dir: Path) -> None:
    async with owning(data_dir, root, "hashing-96") as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
    before = await rows(data_dir)
    async with owning(data_dir, root, "auto") as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        assert (owner.vectors.model, owner.vectors.progress.encoded) == ("hashing-96", 0)  # type: ignore[union-attr]
    assert await rows(data_dir) == before


async def test_a_text_of_another_template_is_vectorized_anew_by_the_same_model(root: Path, data_dir: Path) -> None:
    async with owning(data_dir, root) as owner:
        assert owner.vectors is not None
        former = resolve("hashing-384", allow_download=False, text_template="scope-0")
        await owner.vectors.switch(former)
        assert await owner.vectors.drained()
        assert [row.fingerprint for row in await rows(data_dir)] == [former.fingerprint]
    async with owning(data_dir, root, "auto") as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
    assert [row.fingerprint for row in await rows(data_dir)] == [hashing(384).fingerprint]


@pytest.mark.parametrize("model", ["unixcoder-base", "./no/such/directory"])
async def test_without_a_model_everything_else_works_and_the_reason_is_kept(
    root: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    async with owning(data_dir, root, model) as owner:
        assert owner.vectors is not None
        assert not await owner.vectors.drained()
        assert model in owner.vectors.problem
        assert (owner.vectors.progress, owner.vectors.model) == (None, "")
        async with owner.vectors.service.searching() as serving:
            assert serving is None
        # A model that comes later is taken without a new start.
        await owner.vectors.switch(hashing(384))
        assert await owner.vectors.drained()
        assert owner.vectors.problem == ""
        assert (await answer(owner))[1] == 384


async def test_a_stored_model_that_vanished_is_said_and_nothing_else_takes_its_place(
    root: Path, data_dir: Path, tmp_path: Path
) -> None:
    row = await _index_and_lose_the_model(data_dir, root, tmp_path / "gone")
    for _ in range(2):
        async with opened(data_dir, "auto") as owner:
            assert owner.vectors is not None
            assert not await owner.vectors.drained()
            assert str(tmp_path / "gone") in owner.vectors.missing_because
            assert await rows(data_dir) == [row]
            counts = await point_counts(owner.reader, row.id)
            assert (counts["stored"], counts["pending"]) == (CHUNKS, 1)


async def test_a_stored_model_that_vanished_is_replaced_when_that_is_asked_for(
    root: Path, data_dir: Path, tmp_path: Path
) -> None:
    await _index_and_lose_the_model(data_dir, root, tmp_path / "gone")
    async with opened(data_dir, "auto") as owner:
        assert owner.vectors is not None
        assert not await owner.vectors.drained()
        await owner.vectors.switch(hashing(256))
        assert await owner.vectors.drained()
        assert await answer(owner) == (hashing(256).fingerprint, 256)
    assert [each.dimension for each in await rows(data_dir)] == [256]


async def _index_and_lose_the_model(data: Path, root: Path, directory: Path) -> CollectionRow:
    """Make vectors for all chunks but one, of a model in a directory that is gone; returns their collection."""
    async with owning(data, root) as owner:
        assert owner.vectors is not None
        assert await owner.vectors.drained()
        (row,) = await rows(data)
        stored = resolved_from_json(row.model)
        spec = replace(stored.spec, name="gone", source="directory", location=str(directory), window=64)
        vanished = replace(stored, spec=spec, path=directory).to_json()
        await owner.writer.apply(partial(_put_model, vanished))
    (root / "new.py").write_text("def late():\n    return 'late'\n", encoding="utf-8")
    async with owning(data, root, "none"):
        pass
    return replace(row, model=vanished)


def _put_model(model: str, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE collections SET model = ?", (model,))
