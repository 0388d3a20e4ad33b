"""What a cut says about its chunks beyond their place: signatures, docstrings and every definition, packed.

One zstd frame of MessagePack a cut. As rows, the 2.7 million definitions of the Linux kernel took a sixth of the
catalog; names that begin alike compress well beside each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, cast

import msgspec

from storage.errors import CatalogDamaged
from storage.records import Symbol
from storage.texts import compress_text, expand_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


class _Signatures(msgspec.Struct, array_like=True, frozen=True):
    """The first of the columns; those behind it are passed over."""

    signatures: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Columns).decode
_decode_signatures = msgspec.msgpack.Decoder(_Signatures).decode


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
    columns = _columns(outline)
    symbols = map(
        _symbol, columns.names, columns.kinds, accumulate(columns.first_lines), columns.more_lines, columns.scopes
    )
    return [
        ChunkOutline(signature, docstring, tuple(islice(symbols, count)))
        for signature, docstring, count in zip(columns.signatures, columns.docstrings, columns.counts, strict=True)
    ]


def symbols_in(outline: bytes, wanted: Sequence[int]) -> dict[int, tuple[Symbol, ...]]:
    """Return the definitions in the chunks with these numbers (from 0): a page of hits wants few of many.

    Numbers that the cut does not have are passed over. Raises ``CatalogDamaged`` if the outline cannot be read.
    """
    columns = _columns(outline)
    ends = list(accumulate(columns.counts))
    first_lines = list(accumulate(columns.first_lines))
    found = {}
    for number in wanted:
        if 0 <= number < len(ends):
            span = slice(ends[number] - columns.counts[number], ends[number])
            found[number] = tuple(
                map(
                    _symbol,
                    columns.names[span],
                    columns.kinds[span],
                    first_lines[span],
                    columns.more_lines[span],
                    columns.scopes[span],
                )
            )
    return found


def signatures_in(outline: bytes, wanted: Sequence[int]) -> dict[int, str]:
    """Return the signatures of the chunks with these numbers; nothing else is decoded. Otherwise as ``symbols_in``."""
    with _readable():
        signatures = _decode_signatures(_body(outline)).signatures
    return {number: signatures[number] for number in wanted if 0 <= number < len(signatures)}


def _columns(outline: bytes) -> _Columns:
    with _readable():
        return _decode(_body(outline))


def _body(outline: bytes) -> bytes:
    return expand_text(outline[_SIZE_BYTES:], int.from_bytes(outline[:_SIZE_BYTES], "big"))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except msgspec.MsgspecError as error:
        raise CatalogDamaged(f"an outline cannot be read: {error}; run 'codetrove fsck --repair'") from error


def _symbol(name: str, kind: str, first_line: int, more_lines: int, scope: str) -> Symbol:
    return Symbol(name, cast("SymbolKind", kind), first_line, first_line + more_lines, scope)
