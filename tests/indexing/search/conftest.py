"""A small index made directly through the catalog and the text index, without the ingest pipeline."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexing.cutting import EXTRACTOR_VERSION, cut, extract, identifier_parts, language_of
from indexing.ingest.path_words import path_words
from indexing.search import SearchRequest, SearchResult, SymbolResult, find_symbol, search
from indexing.sources import Rules, classify
from storage import (
    Committed,
    FileVersion,
    NewText,
    Place,
    Reader,
    Stat,
    TextDocument,
    TextIndex,
    Watermark,
    commit_file,
    compress_text,
    migrate,
    open_for_writing,
    open_reader,
)

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
        return [hit.path for hit in (await self.search(query, **request)).hits]

    async def search(self, query: str, **request: object) -> SearchResult:
        values = {"repositories": frozenset({self.uuid})} | request
        return await search(SearchRequest(query, **values), catalog=self.reader, text_index=self.text)  # type: ignore[arg-type]

    async def symbols(self, name: str, **request: object) -> SymbolResult:
        values = {"repositories": frozenset({self.uuid})} | request
        return await find_symbol(name, catalog=self.reader, text_index=self.text, **values)  # type: ignore[arg-type]

    def remove(self, path: str) -> None:
        with closing(sqlite3.connect(self.data / "catalog.db", isolation_level=None)) as connection:
            connection.execute("DELETE FROM entries WHERE path = ?", (path.encode(),))


Build = Callable[..., Awaitable[World]]


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
                code=extracted.text[chunk.start_byte : chunk.end_byte].decode(),
                words=chunk.words,
                symbols=tuple(symbol.name for symbol in chunk.symbols),
                scope=chunk.scope,
            )
            for chunk_id, chunk in enumerate(made.chunks, done.added.first_chunk_id)
        ]
    )
