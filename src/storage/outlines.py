"""What a cut says about its chunks beyond their place: signatures, docstrings and every definition, packed.

One zstd frame of MessagePack a cut. As rows, the 2.7 million definitions of the Linux kernel took a sixth of the
catalog; names that begin alike compress well beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, cast

import msgspec

from storage.errors import CatalogDamaged
from storage.records import Symbol
from storage.texts import compress_text, expand_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.records import Chunk, SymbolKind

_SIZE_BYTES = 4


class _Columns(msgspec.Struct, array_like=True, frozen=True):
    """An outline column by column: what is alike lies together, which a compressor likes."""

    signatures: list[str]
    docstrings: list[str]
    counts: list[int]
    """definitions that begin in each chunk; the columns below have one value for each of them"""
    names: list[str]
    kinds: list[str]
    scopes: list[str]
    first_lines: list[int]
    """each less the one before"""
    more_lines: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Columns).decode


@dataclass(frozen=True, slots=True)
class ChunkOutline:
    """What one chunk is and defines."""

    signature: str
    docstring: str
    symbols: tuple[Symbol, ...]


def pack_outline(chunks: Sequence[Chunk], level: int = 3) -> bytes:
    """Return the outline of a cut's chunks, in their order."""
    symbols = [symbol for chunk in chunks for symbol in chunk.symbols]
    lines = [symbol.start_line for symbol in symbols]
    body = _encode(
        _Columns(
            signatures=[chunk.signature for chunk in chunks],
            docstrings=[chunk.docstring for chunk in chunks],
            counts=[len(chunk.symbols) for chunk in chunks],
            names=[symbol.name for symbol in symbols],
            kinds=[symbol.kind for symbol in symbols],
            scopes=[symbol.scope for symbol in symbols],
            first_lines=[line - before for before, line in pairwise([0, *lines])],
            more_lines=[symbol.end_line - symbol.start_line for symbol in symbols],
        )
    )
    return len(body).to_bytes(_SIZE_BYTES, "big") + compress_text(body, level)


def unpack_outline(outline: bytes) -> list[ChunkOutline]:
    """Return what ``pack_outline`` packed, one a chunk; raises ``CatalogDamaged`` if it cannot be read."""
    body = expand_text(outline[_SIZE_BYTES:], int.from_bytes(outline[:_SIZE_BYTES], "big"))
    try:
        columns = _decode(body)
    except msgspec.MsgspecError as error:
        raise CatalogDamaged(f"an outline cannot be read: {error}; run 'codetrove fsck --repair'") from error
    symbols = map(
        _symbol, columns.names, columns.kinds, accumulate(columns.first_lines), columns.more_lines, columns.scopes
    )
    return [
        ChunkOutline(signature, docstring, tuple(islice(symbols, count)))
        for signature, docstring, count in zip(columns.signatures, columns.docstrings, columns.counts, strict=True)
    ]


def _symbol(name: str, kind: str, first_line: int, more_lines: int, scope: str) -> Symbol:
    return Symbol(name, cast("SymbolKind", kind), first_line, first_line + more_lines, scope)
