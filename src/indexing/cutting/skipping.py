"""Parsing without the insides of blocks that are kept whole anyway: a third of the text of C, and of parsing it more.

The cutter enters no node that fits into a chunk, and a definition inside a block is rare and easily seen. tree-sitter
reads some ranges of a text only, as of a language that is embedded in another one; places stay those of the whole text
(https://tree-sitter.github.io/tree-sitter/using-parsers/3-advanced-parsing.html).

Blocks are found by their layout: an opening brace ends a line, and the first line that is indented as that one and
begins with a closing brace ends the block. What is laid out in another way, or is in doubt, is parsed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from indexing.cutting.lines import char_count
from indexing.cutting.windows import MAX_CHUNK_CHARS

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

_LANGUAGES: Final = frozenset({"c"})
"""What ``_is_whole`` knows the definitions of."""

MIN_BYTES: Final = 64
"""of an inside; to skip a shorter one costs more than to parse it"""

_INDENT: Final = b"\t"
_DEEPEST_INDENT: Final = 1
"""In a block that is too large for a chunk, the blocks so many levels below are looked at."""

_DEEPEST_NESTING: Final = 12
_NEAR_BYTES: Final = 80
_NOT_BRACES: Final = bytes(set(range(256)) - set(b"{}"))
_NO_OPENERS: Final = frozenset(b" \t#/*\\")
_AGGREGATES: Final = tuple(re.compile(word + rb"\b[^;{}()=,*]*\{") for word in (b"struct", b"union", b"enum"))
_NESTED_FUNCTION: Final = re.compile(
    rb"\n[ \t]*(?!else\b|return\b)\w[\w \t*]*[ \t*](?!if\b|for\b|while\b|switch\b)\w+[ \t]*\([^;{}]*\)\s*\{"
)
"""An extension of GNU: a declarator and a body where a statement would be."""


def parse(parser: Parser, text: bytes, language: str) -> Tree:
    """Parses a text; in some languages without the insides of blocks that fit into a chunk and define nothing.

    The parser reads whole texts again afterwards.
    """
    skipped = blocks_to_skip(text) if language in _LANGUAGES else []
    if not skipped:
        return parser.parse(text)
    from tree_sitter import Point, Range  # noqa: PLC0415  (loaded by whoever made the parser)

    nowhere = Point(0, 0)  # rows and columns are of no interest here
    starts = [0, *(end for _, end in skipped)]
    ends = [*(start for start, _ in skipped), len(text)]
    parser.included_ranges = [Range(nowhere, nowhere, start, end) for start, end in zip(starts, ends, strict=True)]
    try:
        tree = parser.parse(text)
    finally:
        parser.included_ranges = []
    # An error is cheap to explain by giving up blocks that are empty: what it costs must be what it would really.
    return parser.parse(text) if _gives_up(tree.root_node, ends[:-1]) else tree


def blocks_to_skip(text: bytes) -> list[tuple[int, int]]:
    """The insides of blocks of C that need no parsing, as (start, end) in bytes, ascending; none in texts with CR."""
    found: list[tuple[int, int]] = []
    if b"\r" not in text:
        _collect(text, 0, len(text), b"", found)
    return found


def _collect(text: bytes, begin: int, end: int, indent: bytes, found: list[tuple[int, int]]) -> None:
    closing = b"\n" + indent + b"}"
    at = begin
    while (brace := text.find(b"{\n", at, end)) != -1:
        line = text.rfind(b"\n", begin, brace) + 1 or begin
        if not _opens(text, line, brace, indent):
            at = brace + 2
            continue
        inside = brace + 1
        close = text.find(closing, inside, end)
        if close == -1:
            return
        at = close + 1
        if close - inside < MIN_BYTES:
            continue
        block = text[inside:close]
        if len(block) > MAX_CHUNK_CHARS - 2 and char_count(block) > MAX_CHUNK_CHARS - 2:
            if len(indent) < _DEEPEST_INDENT:
                _collect(text, inside, close, indent + _INDENT, found)
        elif _is_whole(block):
            found.append((inside, close))


def _opens(text: bytes, line: int, brace: int, indent: bytes) -> bool:
    """Whether the line from ``line`` to ``brace`` is indented like this, and is no comment, directive or mere value."""
    first = line + len(indent)
    if text[line:first] != indent or text[first] in _NO_OPENERS:
        return False
    return first < brace or text[max(0, line - _NEAR_BYTES) : line].rstrip().endswith((b")", b"="))


def _is_whole(block: bytes) -> bool:
    """Whether the inside of a block ends where it seems to, and defines nothing."""
    braces = block.translate(None, _NOT_BRACES)
    if braces:
        rest = braces
        for _ in range(_DEEPEST_NESTING):
            rest = rest.replace(b"{}", b"")
            if not rest:
                break
        else:
            return False
        if _NESTED_FUNCTION.search(block) or any(each.search(block) for each in _AGGREGATES):
            return False
    return b"#" not in block and b"typedef" not in block and block.count(b"/*") == block.count(b"*/")


def _gives_up(root: Node, skipped: list[int]) -> bool:
    """Whether what the parser could not make sense of holds a block that was skipped."""
    if not root.has_error:
        return False
    stack = [root]
    while stack:
        for node in stack.pop().children:
            if node.is_error:
                first = bisect_left(skipped, node.start_byte)
                if first < len(skipped) and skipped[first] < node.end_byte:
                    return True
            if node.has_error:
                stack.append(node)
    return False
