"""A worker process's look at what is already cut, so that known content is not cut again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from storage.catalog.connection import open_for_reading, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class KnownCuts:
    """Answers whether a repository has a cut of some content; a read-only connection of its own."""

    def __init__(self, catalog: Path) -> None:
        """Open the catalog."""
        self._catalog = catalog
        self._connection = open_for_reading(catalog)

    @contextmanager
    def as_of_now(self) -> Iterator[None]:
        """Answer from the catalog as it is now for a batch of questions; a transaction for each takes twice as long."""
        with translated(self._catalog):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def has(self, repository_id: int, sha256: bytes, *, extractor: int, language: str, cutter: str) -> bool:
        """Return whether this content is cut, as this language by this cutter, in this repository."""
        with translated(self._catalog):
            row = self._connection.execute(
                "SELECT 1 FROM blobs JOIN texts ON blob_id = blobs.id JOIN cuts ON text_id = texts.id"
                " WHERE sha256 = ? AND extractor = ? AND repository_id = ? AND language = ? AND cutter = ?",
                (sha256, extractor, repository_id, language, cutter),
            ).fetchone()
        return row is not None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
