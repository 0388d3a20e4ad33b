"""The naive way to make the same index: one file after the other, one transaction and one commit each.

The same libraries and the same cutting, but no worker process, no batches, no group commit, no pipeline.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import tantivy

from indexing.cutting import cut, extract, language_of
from indexing.cutting.identifiers import compound_words
from storage import compress_text

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAP_BYTES = 64 * 1024 * 1024


def index_naively(root: Path, files: Sequence[str], data: Path, *, commit_each: bool) -> int:
    """Index files of ``root`` into ``data``; returns the number of chunks, all findable by then.

    ``commit_each``: the text index is committed after each file, else once at the end.
    """
    data.mkdir(parents=True)
    connection = sqlite3.connect(data / "catalog.db", isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT UNIQUE, language TEXT, text BLOB);"
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, file INTEGER, start INTEGER, stop INTEGER, symbol TEXT);"
    )
    index = _text_index(data / "text")
    writer = index.writer(HEAP_BYTES, 1)
    chunks = 0
    for file in files:
        raw = (root / file).read_bytes()
        language = language_of(file.encode(), raw[:4096])
        extracted = extract(raw, language)
        made = cut(extracted.text, language, extracted.sections)
        connection.execute("BEGIN IMMEDIATE")
        row = (file, language, compress_text(extracted.text, 3))
        owner = connection.execute("INSERT INTO files (path, language, text) VALUES (?, ?, ?)", row).lastrowid
        for chunk in made.chunks:
            chunk_id = connection.execute(
                "INSERT INTO chunks (file, start, stop, symbol) VALUES (?, ?, ?, ?)",
                (owner, chunk.start_byte, chunk.end_byte, chunk.symbol),
            ).lastrowid
            code = extracted.text[chunk.start_byte : chunk.end_byte]
            document = tantivy.Document()
            document.add_unsigned("chunk_id", chunk_id or 0)
            document.add_text("code", code.decode())
            document.add_text("parts", compound_words(code))
            for symbol in chunk.symbols:
                document.add_text("symbol", symbol.name)
            writer.add_document(document)
        connection.execute("COMMIT")
        if commit_each:
            writer.commit()
        chunks += len(made.chunks)
    writer.commit()
    writer.wait_merging_threads()
    connection.close()
    return chunks


def _text_index(path: Path) -> tantivy.Index:
    path.mkdir()
    builder = tantivy.SchemaBuilder()
    for name in ("code", "parts", "symbol"):
        builder.add_text_field(name, index_option="freq")
    builder.add_unsigned_field("chunk_id", indexed=True, fast=True)
    return tantivy.Index(builder.build(), str(path))
