"""External ids of chunks: the same on every machine and in every run."""

from __future__ import annotations

from hashlib import blake2b

EXTERNAL_ID_BYTES = 16


def cut_key(repository: str, blob_sha256: bytes, extractor: int, language: str, cutter: str) -> bytes:
    """Return what the ids of all chunks of one cut share, with every part's length before it.

    Delimiting by length keeps different tuples from giving the same bytes (fault 43).
    """
    parts = (repository.encode(), blob_sha256, str(extractor).encode(), language.encode(), cutter.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def external_id(key: bytes, start_byte: int, end_byte: int) -> bytes:
    """Return the 128-bit BLAKE2b (RFC 7693) of a cut's key and a chunk's byte range."""
    span = start_byte.to_bytes(8, "big") + end_byte.to_bytes(8, "big")
    return blake2b(key + span, digest_size=EXTERNAL_ID_BYTES).digest()
