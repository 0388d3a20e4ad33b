"""How texts are kept: one zstd frame each (RFC 8878), with its size and a checksum in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from storage.errors import CatalogDamaged

if TYPE_CHECKING:
    import zstandard


def compress_text(text: bytes, level: int = 3) -> bytes:
    """Return ``text`` as one zstd frame."""
    return _of_thread.compressor(level).compress(text)


def expand_text(body: bytes, size: int) -> bytes:
    """Return the text of a frame that ``compress_text`` made.

    Raises ``CatalogDamaged`` if the frame fails its checksum or is not ``size`` bytes long.
    """
    import zstandard  # noqa: PLC0415  (only readers of texts pay for it)

    try:
        # The frame's header is looked at first: a flipped bit in it can ask for any amount of memory.
        recorded = zstandard.frame_content_size(body)
        text = _of_thread.decompressor().decompress(body) if recorded == size else None
    except zstandard.ZstdError as error:
        message = f"a stored text of {size} bytes does not decompress: {error}; run 'codetrove fsck --repair'"
        raise CatalogDamaged(message) from error
    if text is None or len(text) != size:
        message = f"a stored text has {recorded} bytes where {size} are recorded; run 'codetrove fsck --repair'"
        raise CatalogDamaged(message)
    return text


class _OfThread(threading.local):
    """What (de)compresses, reused because a new one costs more than a small text; each belongs to one thread."""

    def __init__(self) -> None:
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        self._decompressor: zstandard.ZstdDecompressor | None = None

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self._compressors:
            import zstandard  # noqa: PLC0415  (only the processes that cut files compress)

            made = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
            self._compressors[level] = made
        return self._compressors[level]

    def decompressor(self) -> zstandard.ZstdDecompressor:
        if self._decompressor is None:
            import zstandard  # noqa: PLC0415  (only readers of texts pay for it)

            self._decompressor = zstandard.ZstdDecompressor()
        return self._decompressor


_of_thread = _OfThread()
