"""Chunks from their boundaries and the definitions of the text: lines, leading symbol, signature."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from indexing.cutting.definitions import BODIED_KINDS, CALLABLE_KINDS, Definition
from indexing.cutting.lines import last_line_of, line_of, trimmed_end
from indexing.cutting.signature import docstring_of, signature_of
from storage import Chunk, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable


def build_chunks(
    text: bytes, lines: list[int], starts: list[int], definitions: Iterable[Definition]
) -> tuple[Chunk, ...]:
    """Makes the chunks that start at ``starts``; ``definitions`` come in order of start, the outer before the inner."""
    remaining = iter(definitions)
    upcoming = next(remaining, None)
    enclosing: list[Definition] = []
    chunks = []
    for start, end in pairwise([*starts, len(text)]):
        piece = text[start:end]
        content = end - len(piece.lstrip())
        while enclosing and enclosing[-1].end <= content:
            enclosing.pop()
        outer = enclosing[-1] if enclosing else None
        begun: list[Definition] = []
        while upcoming is not None and upcoming.start < end:
            while enclosing and enclosing[-1].end <= upcoming.start:
                enclosing.pop()
            enclosing.append(upcoming)
            begun.append(upcoming)
            upcoming = next(remaining, None)
        leading = _leading(outer, begun)
        place = (start, end, line_of(lines, start), last_line_of(lines, start, end))
        symbols = tuple([_symbol(text, lines, definition) for definition in begun])
        if leading is None:
            chunks.append(Chunk(*place))
        else:
            signature, docstring = signature_of(text, leading), docstring_of(text, leading)
            chunks.append(Chunk(*place, leading.name, leading.kind, leading.scope, signature, docstring, symbols))
    return tuple(chunks)


def _leading(outer: Definition | None, begun: list[Definition]) -> Definition | None:
    """The function that the chunk continues, else the first definition in it (with a body if any), else the outer."""
    if outer is not None and outer.kind in CALLABLE_KINDS:
        return outer
    if not begun:
        return outer
    return next((definition for definition in begun if definition.kind in BODIED_KINDS), begun[0])


def _symbol(text: bytes, lines: list[int], definition: Definition) -> Symbol:
    end = trimmed_end(text, definition.start, definition.end)
    first, last = line_of(lines, definition.start), last_line_of(lines, definition.start, end)
    return Symbol(definition.name, definition.kind, first, last, definition.scope)
