"""Makes the text index's documents, from a commit in memory or from rows of the catalog; both give the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.cutting.identifiers import compound_words
from storage import TextDocument, expand_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage import NewChunks, StoredChunk


def documents_of_commit(added: NewChunks) -> list[TextDocument]:
    """Return the documents of the chunks that one commit added, in order of their ids."""
    text = expand_text(added.body, added.text_size)
    pieces = [text[chunk.start_byte : chunk.end_byte] for chunk in added.chunks]
    words = added.words or [compound_words(piece) for piece in pieces]
    return [
        TextDocument(
            chunk_id=chunk_id,
            cut_id=added.cut_id,
            repository=added.repository,
            language=added.language,
            kind=chunk.kind,
            code=piece,
            words=found,
            symbols=tuple([symbol.name for symbol in chunk.symbols]),
            scope=chunk.scope,
        )
        for chunk_id, (chunk, piece, found) in enumerate(
            zip(added.chunks, pieces, words, strict=True), added.first_chunk_id
        )
    ]


def documents_of_rows(chunks: Sequence[StoredChunk], texts: Mapping[int, bytes]) -> list[TextDocument]:
    """Return the documents of stored chunks; ``texts`` holds the text of each cut."""
    documents: list[TextDocument] = []
    for chunk in chunks:
        piece = texts[chunk.cut_id][chunk.start_byte : chunk.end_byte]
        documents.append(
            TextDocument(
                chunk_id=chunk.chunk_id,
                cut_id=chunk.cut_id,
                repository=chunk.repository,
                language=chunk.language,
                kind=chunk.kind,
                code=piece,
                words=compound_words(piece),
                symbols=chunk.symbols,
                scope=chunk.scope,
            )
        )
    return documents
