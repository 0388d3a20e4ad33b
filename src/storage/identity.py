"""External ids of chunks: the same on every machine and in every run."""

from __future__ import annotations

from hashlib import blake2b

EXTERNAL_ID_BYTES = 16
CUT_KEY_BYTES = 16
_HALF = EXTERNAL_ID_BYTES // 2


def cut_key(repository: str, blob_sha256: bytes, extractor: int, language: str, cutter: str) -> bytes:
    """Return the 128-bit BLAKE2b (RFC 7693) of what identifies a cut, with every part's length before it.

    Delimiting by length keeps different tuples from giving the same bytes (fault 43).
    """
    parts = (repository.encode(), blob_sha256, str(extractor).encode(), language.encode(), cutter.encode())
    delimited = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return blake2b(delimited, digest_size=CUT_KEY_BYTES).digest()


def external_id(key: bytes, start_byte: int, end_byte: int) -> bytes:
    """Return the id of the chunk with that byte range in the cut with that key: 128 bits, half of them the cut's.

    Chunks of one cut lie side by side in an index over ids: a file's commit changes one page of it, not one a chunk.
    """
    span = start_byte.to_bytes(8, "big") + end_byte.to_bytes(8, "big")
    return key[:_HALF] + blake2b(key + span, digest_size=_HALF).digest()
