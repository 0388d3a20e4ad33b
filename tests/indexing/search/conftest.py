"""A small index made directly through the catalog and the text index, without the ingest pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexing.cutting import EXTRACTOR_VERSION, cut, extract, language_of
from indexing.search import SearchRequest, SearchResult, SymbolResult, find_symbol, search
from indexing.sources.rules import Rules
from indexing.sources.classify import classify
from indexing.cutting import identifier_parts
from indexing.ingest.path_words import path_words
from storage import (
    Committed,
    FileVersion,
    NewText,
    Place,
    Reader,
    Removal,
    Stat,
    TextDocument,
    TextIndex,
    Watermark,
    commit_file,
    compress_text,
    migrate,
    open_for_writing,
    open_reader,
    remove_file,
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
        with closing(open_for_writing(self.data / "catalog.db")) as connection:
            (seq,) = connection.execute("SELECT seq FROM entries WHERE path = ?", (path.encode(),)).fetchone()
            remove_file(connection, Removal(Place(1, path.encode(), seq), "gone"), now_ms=0)


Build = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Build]:
    """``await world({path: text, …})``: an indexed tree; a second call adds a second repository to the same index."""
    async with AsyncExitStack() as stack:

        async def build(files: Mapping[str | bytes, str], *, kind: str = "worktree", complete: bool = True) -> World:
            data = tmp_path / "data"
            data.mkdir(exist_ok=True)
            number = len(list(tmp_path.glob("tree-*"))) + 1
            tree = tmp_path / f"tree-{number}"
            uuid = f"repository-{number}"
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
                    _commit(connection, index, tree, raw, number, uuid)
                connection.execute("COMMIT")
                index.commit(Watermark("c", "i", 1, 0))
            reader = await stack.enter_async_context(open_reader(data / "catalog.db"))
            return World(data, tree, reader, TextIndex.open_for_reading(data / "text"), uuid)

        yield build


def _write(tree: Path, path: bytes, content: str) -> None:
    import os

    full = os.path.join(bytes(tree), path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(content.encode())


def _commit(connection, index: TextIndex, tree: Path, path: bytes, snapshot: int, uuid: str) -> None:  # type: ignore[no-untyped-def]
    import os

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
