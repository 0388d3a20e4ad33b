"""How large a batch is, and the texts in it."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from indexing.vectorize.embedded_text import embedded_text
from indexing.vectorize.records import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexing.vectorize.records import VectorizeSettings
    from storage import PendingPoint

HASH_BYTES = 16


def batch_size(settings: VectorizeSettings, texts_a_second: float | None) -> int:
    """Return how many points make a batch, given how fast texts have been encoded; None where none has been yet."""
    if texts_a_second is None:
        return min(settings.least_chunks, settings.batch_chunks)
    fitting = int(texts_a_second * settings.batch_seconds)
    return min(settings.batch_chunks, max(settings.least_chunks, fitting))


def take(points: Iterable[PendingPoint], most: int, most_bytes: int) -> list[PendingPoint]:
    """Return the first points that together stay within both bounds, and always the very first."""
    taken: list[PendingPoint] = []
    size = 0
    for point in points:
        size += point.end_byte - point.start_byte
        if taken and (len(taken) == most or size > most_bytes):
            break
        taken.append(point)
    return taken


def text_hash(text: str) -> bytes:
    """Return under which hash the embedding cache keeps the vector of a text."""
    return blake2b(text.encode(), digest_size=HASH_BYTES).digest()


def compose(points: list[PendingPoint], texts: Mapping[int, bytes]) -> tuple[Work, dict[bytes, str]]:
    """Cut the pieces of points out of ``texts`` ({cut id: UTF-8}); returns the batch and its texts by their hash."""
    pieces = [texts[point.cut_id][point.start_byte : point.end_byte].decode("utf-8", "replace") for point in points]
    hashes: list[bytes] = []
    by_hash: dict[bytes, str] = {}
    for point, piece in zip(points, pieces, strict=True):
        text = embedded_text(scope=point.scope, symbol=point.symbol, piece=piece)
        digest = text_hash(text)
        hashes.append(digest)
        by_hash[digest] = text
    return Work(points, pieces, hashes), by_hash
