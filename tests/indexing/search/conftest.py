"""A small index made directly through the catalog and the text index, without the ingest pipeline."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from embeddings import Encoder, EncoderSpec, TextKind, Vectors
from indexing.cutting import EXTRACTOR_VERSION, cut, extract, identifier_parts, language_of
from indexing.cutting.identifiers import compound_words
from indexing.ingest.path_words import path_words
from indexing.search import (
    SearchRequest,
    SearchResult,
    SymbolResult,
    VectorSearch,
    VectorSource,
    encoded_again,
    find_symbol,
    search,
)
from indexing.sources import Rules, classify
from indexing.vectorize.embedded_text import embedded_text
from storage import (
    CollectionSpec,
    Committed,
    FileVersion,
    MemoryStore,
    NewText,
    Place,
    PointPayload,
    Reader,
    Stat,
    TextDocument,
    TextIndex,
    VectorBatch,
    Watermark,
    compress_text,
    hits,
    migrate,
    open_for_writing,
    open_reader,
)
from storage.catalog.files import commit_file

HEAP_BYTES = 15_000_000


@dataclass
class World:
    """An indexed source tree."""

    data: Path
    tree: Path
    reader: Reader
    text: TextIndex
    uuid: str = "repository-1"

    async def paths(self, query: str, **request: object) -> list[str]:
        return [hit.path for hit in (await self.search(query, vectors=None, **request)).hits]

    async def search(self, query: str, *, vectors: VectorSource | None = None, **request: object) -> SearchResult:
        values = {"repositories": frozenset({self.uuid})} | request
        asked = SearchRequest(query, **values)  # type: ignore[arg-type]
        return await search(asked, catalog=self.reader, text_index=self.text, vectors=vectors)

    async def vectors(self, encoder: Encoder) -> VectorSearch:
        """A vector for every chunk of the index."""
        rows = await self.reader.query(
            "SELECT external_id, uuid, language, cut_id, start_byte, end_byte, scope, symbol FROM chunks"
            " JOIN cuts ON cuts.id = cut_id JOIN repositories ON repositories.id = repository_id"
        )
        texts = await hits.texts_of(self.reader, {row[3] for row in rows})
        pieces = [texts[row[3]].text[row[4] : row[5]].decode() for row in rows]
        embedded = [
            embedded_text(scope=row[6], symbol=row[7], piece=piece) for row, piece in zip(rows, pieces, strict=True)
        ]
        collection = await MemoryStore().open(CollectionSpec("test", encoder.spec.dimension))
        await collection.upsert(
            VectorBatch(
                tuple(row[0] for row in rows),
                await encoder.encode(embedded, "document"),
                tuple(PointPayload(row[1], row[2]) for row in rows),
            )
        )
        return VectorSearch(collection, encoder, vector_of=encoded_again(encoder))

    async def symbols(self, name: str, **request: object) -> SymbolResult:
        values = {"repositories": frozenset({self.uuid})} | request
        return await find_symbol(name, catalog=self.reader, text_index=self.text, **values)  # type: ignore[arg-type]

    def remove(self, path: str) -> None:
        with closing(sqlite3.connect(self.data / "catalog.db", isolation_level=None)) as connection:
            connection.execute("DELETE FROM entries WHERE path = ?", (path.encode(),))


Build = Callable[..., Awaitable[World]]


class Concepts:
    """An encoder that knows that some words mean the same: a dimension a concept, and one for everything else."""

    def __init__(self, *concepts: str) -> None:
        self._concepts = [each.split() for each in concepts]
        dimension = len(concepts) + 1
        self.spec = EncoderSpec("concepts", "0" * 32, dimension, 512, 1)
        self.encoded: list[tuple[str, TextKind]] = []

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        self.encoded += [(text, kind) for text in texts]
        vectors = np.zeros((len(texts), self.spec.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"[a-z]+", text.lower())
            vectors[row, :-1] = [sum(word in concept for word in words) for concept in self._concepts]
            vectors[row, -1] = not vectors[row].any()
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Build]:
    """Give a function that indexes a tree of ``{path: text}``; each call adds a repository to the same index."""
    async with AsyncExitStack() as stack:

        async def build(files: Mapping[str | bytes, str], *, kind: str = "worktree", complete: bool = True) -> World:
            tree, uuid = await asyncio.to_thread(_build, tmp_path, files, kind, complete)
            data = tmp_path / "data"
            reader = await stack.enter_async_context(open_reader(data / "catalog.db"))
            text = await asyncio.to_thread(TextIndex.open_for_reading, data / "text")
            return World(data, tree, reader, text, uuid)

        yield build


def _build(directory: Path, files: Mapping[str | bytes, str], kind: str, complete: bool) -> tuple[Path, str]:
    data = directory / "data"
    data.mkdir(exist_ok=True)
    number = len(list(directory.glob("tree-*"))) + 1
    tree, uuid = directory / f"tree-{number}", f"repository-{number}"
    index = TextIndex.open(data / "text", heap_bytes=HEAP_BYTES, threads=1)
    with closing(index), closing(open_for_writing(data / "catalog.db")) as connection:
        migrate(connection, data / "catalog.db")
        connection.execute("BEGIN")
        connection.execute(
            "INSERT INTO repositories (uuid, root, root_device, root_inode, boot_id, created_at)"
            " VALUES (?, ?, 0, 0, '', 0)",
            (uuid, bytes(tree)),
        )
        connection.execute(
            "INSERT INTO snapshots (repository_id, kind, name, complete) VALUES (?, ?, 'main', ?)",
            (number, kind, complete),
        )
        for path, content in files.items():
            raw = path.encode() if isinstance(path, str) else path
            _write(tree, raw, content)
            _commit(connection, index, tree, raw, snapshot=number, uuid=uuid)
        connection.execute("COMMIT")
        index.commit(Watermark("c", "i", 1, 0))
    return tree, uuid


def _write(tree: Path, path: bytes, content: str) -> None:
    full = os.path.join(bytes(tree), path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(content.encode())


def _commit(
    connection: sqlite3.Connection, index: TextIndex, tree: Path, path: bytes, *, snapshot: int, uuid: str
) -> None:
    full = os.path.join(bytes(tree), path)
    now = os.lstat(full)
    with open(full, "rb") as file:
        content = file.read()
    language = language_of(path, content)
    extracted = extract(content, language)
    made = cut(extracted.text, language, extracted.sections)
    verdict = classify(path, Rules(use_git=False), tracked=True)
    version = FileVersion(
        place=Place(snapshot, path, None),
        stat=Stat(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino),
        read_at_ns=0,
        sha256=hashlib.sha256(content).digest(),
        language=language,
        cutter=made.cutter,
        extractor=EXTRACTOR_VERSION,
        flags=tuple(sorted(verdict.flags)),
        path_words=path_words(path, identifier_parts),
        text=NewText(extracted.encoding, len(extracted.text), compress_text(extracted.text)),
        cut=made,
    )
    done = commit_file(connection, version, repository=uuid, now_ms=0)
    assert isinstance(done, Committed)
    if done.added is None:
        return
    index.add(
        [
            TextDocument(
                chunk_id=chunk_id,
                cut_id=done.added.cut_id,
                repository=uuid,
                language=language,
                kind=chunk.kind,
                code=extracted.text[chunk.start_byte : chunk.end_byte],
                words=compound_words(extracted.text[chunk.start_byte : chunk.end_byte]),
                symbols=tuple(symbol.name for symbol in chunk.symbols),
                scope=chunk.scope,
            )
            for chunk_id, chunk in enumerate(made.chunks, done.added.first_chunk_id)
        ]
    )
