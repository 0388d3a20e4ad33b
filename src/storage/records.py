"""What passes between the packages: plain frozen records, in the units their fields name.

Byte ranges are offsets into the UTF-8 *text* of a file (what decoding its bytes gave), end exclusive.
Lines are 1-based and inclusive, and break at ``\\n``, ``\\r\\n`` and ``\\r`` only.
Paths are raw bytes relative to the root of their repository, with ``/`` between components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

SymbolKind: TypeAlias = Literal[
    "function",
    "method",
    "class",
    "interface",
    "struct",
    "enum",
    "type",
    "module",
    "constant",
    "variable",
    "macro",
    "section",
]

FileFlag: TypeAlias = Literal["vendored", "generated", "test", "replaced_bytes", "suspected_secret"]

SkipReason: TypeAlias = Literal[
    "ignored",
    "excluded",
    "hidden",
    "vendored",
    "generated",
    "minified",
    "binary",
    "too_large",
    "secret",
    "symlink",
    "special_file",
    "other_repository",
    "unsupported_name",
]

FailReason: TypeAlias = Literal["denied", "io_error", "changing", "poison", "vanished_root", "internal"]


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``lstat`` says of a file, as far as it tells whether its content can have changed."""

    size: int
    """bytes"""
    mtime_ns: int
    ctime_ns: int
    inode: int


# Millions of the next two are made, sent and dropped: a struct is made four times as fast as a frozen dataclass, and
# one that is sent as an array without its field names is half as long.
class Symbol(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One definition in a file."""

    name: str
    kind: SymbolKind
    start_line: int
    end_line: int
    scope: str = ""
    """Names of the enclosing definitions, outermost first, joined by ``.``; empty at top level."""


class Chunk(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A piece of a text that is indexed and found as one unit."""

    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    symbol: str = ""
    """Name of the leading definition: the one that the chunk is (a part of), or the first inside it."""
    kind: SymbolKind | Literal[""] = ""
    scope: str = ""
    signature: str = ""
    docstring: str = ""
    symbols: tuple[Symbol, ...] = ()
    """Every definition that begins in the chunk, in order of its start."""


@dataclass(frozen=True, slots=True)
class Cut:
    """All chunks of one text, cut as one language by one version of a cutter.

    The chunks are in order and cover every byte of the text exactly once; an empty text has none.
    """

    language: str
    cutter: str
    chunks: tuple[Chunk, ...]
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an extracted text that has a place of its own in the original: a notebook cell or a page."""

    label: str
    """For example ``cell 3`` or ``page 12``."""
    start_line: int
