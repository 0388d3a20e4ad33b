"""What tests of faults look at in a vector store that nobody has open: which vectors it holds, and what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from embeddings import HashingEncoder
from storage import CollectionSpec, DataDirectory, LocalStore, collections, expected_ids, load_registry, open_reader
from tests.faults.state import WORDS

if TYPE_CHECKING:
    from pathlib import Path

    from storage import CollectionRow

EVERY = 1 << 30

Held: TypeAlias = dict[str, list[bytes]]
"""{fingerprint: ids, ascending}"""


async def rows_of(data: Path) -> list[CollectionRow]:
    """The collections that the catalog names."""
    async with open_reader(DataDirectory(data).catalog) as reader:
        return await collections(reader)


async def held(data: Path) -> Held:
    """Ids of the vectors in the store, of the collections that the catalog names."""
    store = await LocalStore.open_for_reading(DataDirectory(data).vectors)
    try:
        found = {}
        for row in await rows_of(data):
            collection = await store.open(CollectionSpec(row.name, row.dimension))
            assert collection.problems == []
            found[row.fingerprint] = await collection.ids(None, EVERY)
        return found
    finally:
        await store.aclose()


async def listed(data: Path) -> Held:
    """Ids of the points that the catalog has as stored."""
    async with open_reader(DataDirectory(data).catalog) as reader:
        return {row.fingerprint: await expected_ids(reader, row.id, None, EVERY) for row in await collections(reader)}


async def names_in_store(data: Path) -> set[str]:
    """Names of the collections on disk, whether the catalog knows them or not."""
    store = await LocalStore.open_for_reading(DataDirectory(data).vectors)
    try:
        return set(await store.collections())
    finally:
        await store.aclose()


async def nearest(data: Path, dimension: int = 384) -> dict[str, list[tuple[bytes, float]]]:
    """{word: the ten nearest (id, cosine)} of `WORDS` in the one collection there is."""
    encoder = HashingEncoder(dimension)
    vectors = await encoder.encode(WORDS, "query")
    (row,) = await rows_of(data)
    repositories = frozenset(load_registry(data).repositories)
    store = await LocalStore.open_for_reading(DataDirectory(data).vectors)
    try:
        collection = await store.open(CollectionSpec(row.name, row.dimension))
        answers = {}
        for word, vector in zip(WORDS, vectors, strict=True):
            found = await collection.search(vector, 10, repositories=repositories)
            answers[word] = sorted((hit.id, round(hit.score, 5)) for hit in found.hits)
        return answers
    finally:
        await store.aclose()
