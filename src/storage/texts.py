"""How texts are kept: one zstd frame each (RFC 8878), with its size and a checksum in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from storage.errors import CatalogDamaged

if TYPE_CHECKING:
    import zstandard


def compress_text(text: bytes, level: int = 3) -> bytes:
    """Return ``text`` as one zstd frame."""
    return _compressor(level).compress(text)


def expand_text(body: bytes, size: int) -> bytes:
    """Return the text of a frame that ``compress_text`` made.

    Raises ``CatalogDamaged`` if the frame fails its checksum or is not ``size`` bytes long.
    """
    import zstandard  # noqa: PLC0415  (only readers of texts pay for it)

    try:
        text = _decompressor().decompress(body, max_output_size=size)
    except zstandard.ZstdError as error:
        message = f"a stored text of {size} bytes does not decompress: {error}; run 'codetrove fsck --repair'"
        raise CatalogDamaged(message) from error
    if len(text) != size:
        message = f"a stored text has {len(text)} bytes where {size} are recorded; run 'codetrove fsck --repair'"
        raise CatalogDamaged(message)
    return text


# zstandard's contexts are not safe for simultaneous use: one a thread would do, but a new one costs 3 µs.
@cache
def _compressor(level: int) -> zstandard.ZstdCompressor:
    import zstandard  # noqa: PLC0415

    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)


def _decompressor() -> zstandard.ZstdDecompressor:
    import zstandard  # noqa: PLC0415

    return zstandard.ZstdDecompressor()
