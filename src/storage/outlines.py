"""What a cut says about its chunks beyond their place: signatures, docstrings and every definition, packed.

One zstd frame of MessagePack a cut. As rows, the 2.7 million definitions of the Linux kernel took a sixth of the
catalog; names that begin alike compress well beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from storage.errors import CatalogDamaged
from storage.records import Symbol
from storage.texts import compress_text, expand_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.records import Chunk

_SIZE_BYTES = 4
_Packed = tuple[str, str, list[tuple[str, str, int, int, str]]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


@dataclass(frozen=True, slots=True)
class ChunkOutline:
    """What one chunk is and defines."""

    signature: str
    docstring: str
    symbols: tuple[Symbol, ...]


def pack_outline(chunks: Sequence[Chunk], level: int = 3) -> bytes:
    """Return the outline of a cut's chunks, in their order."""
    body = _encode(
        [
            (
                chunk.signature,
                chunk.docstring,
                [(each.name, each.kind, each.start_line, each.end_line, each.scope) for each in chunk.symbols],
            )
            for chunk in chunks
        ]
    )
    return len(body).to_bytes(_SIZE_BYTES, "big") + compress_text(body, level)


def unpack_outline(outline: bytes) -> list[ChunkOutline]:
    """Return what ``pack_outline`` packed, one a chunk; raises ``CatalogDamaged`` if it cannot be read."""
    body = expand_text(outline[_SIZE_BYTES:], int.from_bytes(outline[:_SIZE_BYTES], "big"))
    try:
        packed = _decode(body)
    except msgspec.MsgspecError as error:
        raise CatalogDamaged(f"an outline cannot be read: {error}; run 'codetrove fsck --repair'") from error
    return [
        ChunkOutline(signature, docstring, tuple(Symbol(*symbol) for symbol in symbols))  # type: ignore[arg-type]
        for signature, docstring, symbols in packed
    ]
