"""Lines of a file as it was indexed, from the catalog: what the index knows, not what is on disk now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.asks import MAX_TEXT_LINES
from indexing.search import BadRequest
from indexing.search.freshness import is_stale
from indexing.search.present import printable_path
from storage import hits, visible

if TYPE_CHECKING:
    import sqlite3

    from indexing.asks import TextAsk


class NotIndexed(LookupError):
    """Nothing is indexed at that path."""


@dataclass(frozen=True, slots=True)
class FileText:
    """Some lines of an indexed file."""

    repository: str
    path: str
    """printable"""
    path_b64: str | None
    start_line: int
    """1-based"""
    end_line: int
    """inclusive; one less than the start in an empty file"""
    lines_total: int
    text: str
    """with the line ends as they were; bytes that are no UTF-8 are shown as U+FFFD"""
    language: str
    indexed_hash: str
    """SHA-256 of the file's bytes"""
    stale: bool
    """the file has changed or gone since"""

    def to_json(self) -> dict[str, Any]:
        """The lines as plain JSON values."""
        return {
            "repository": self.repository,
            "path": self.path,
            **({"path_b64": self.path_b64} if self.path_b64 is not None else {}),
            "start_line": self.start_line,
            "end_line": self.end_line,
            "lines_total": self.lines_total,
            "text": self.text,
            "language": self.language,
            "indexed_hash": self.indexed_hash,
            "stale": self.stale,
        }


def file_text(connection: sqlite3.Connection, ask: TextAsk) -> FileText:
    """Return what is asked for; looks at the catalog and, with one ``lstat``, at the file.

    The work tree of one repository is looked at and nothing else. Raises ``NotIndexed``, ``BadRequest`` for a start
    past the end, and ``CatalogDamaged``.
    """
    shown, exact = printable_path(ask.path)
    cut_id = visible.cut_in_worktree(connection, ask.repository, ask.path)
    place = file = None
    if cut_id is not None:
        places = visible.places_of(connection, [cut_id], [ask.repository], lambda path: path == ask.path)
        place = next((each for each in places.get(cut_id, ()) if each.in_worktree), None)
        file = hits.packed_files(connection, [cut_id]).get(cut_id)
    if cut_id is None or place is None or file is None:
        raise NotIndexed(f"{shown!r} is not indexed in repository {ask.repository!r}")
    # Of bytes: the ends of lines that chunks count by, and no others.
    lines = file.text().splitlines(keepends=True)
    if ask.start > max(1, len(lines)):
        raise BadRequest(f"line {ask.start} is not in {shown!r}, which was indexed with {len(lines)} lines")
    last = min(len(lines), ask.end or len(lines), ask.start + MAX_TEXT_LINES - 1)
    return FileText(
        ask.repository,
        shown,
        exact,
        ask.start,
        last,
        len(lines),
        b"".join(lines[ask.start - 1 : last]).decode("utf-8", "replace"),
        place.language,
        file.sha256.hex(),
        is_stale(place, visible.stats_of(connection, {place.entry_id: cut_id}).get(place.entry_id), file.sha256),
    )
