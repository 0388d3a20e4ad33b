"""Cutting along the syntax tree: whole definitions where they fit, split at their children where they do not.

Only nodes over the bound are entered, with an explicit stack, so depth costs neither recursion nor, beyond a cap, time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from indexing.cutting.chunks import build_chunks
from indexing.cutting.definitions import BODIED_KINDS
from indexing.cutting.grammars import grammar
from indexing.cutting.lines import char_count, line_starts
from indexing.cutting.packing import Units, pack
from indexing.cutting.skipping import parse
from indexing.cutting.symbols import find_symbols
from indexing.cutting.windows import MAX_CHUNK_CHARS
from storage import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from indexing.cutting.definitions import Definition

MAX_DEPTH: Final = 48
"""levels of nodes over the bound that are entered; what is deeper is split by lines"""

MAX_MEMBER_IN_HEADER: Final = 300
"""bytes; a longer first member of a class that is split leaves the class's head to a chunk of its own"""

_CLOSERS = frozenset(b")]},;")
_END = b"end"
_LINE_BREAKS = frozenset(b"\r\n")


def cut_syntax(text: bytes, language: str, cutter: str) -> Cut:
    """Parses and cuts a text; the language must have a grammar."""
    loaded = grammar(language)
    root = parse(loaded.parser, text, language).root_node
    found = find_symbols(loaded.query, root, text, language)
    lines = line_starts(text)
    bodied = [definition for definition in found.definitions if definition.kind in BODIED_KINDS]
    units = _units(text, root, bodied, loaded.leader_ids)
    starts = pack(text, lines, units, [definition.start for definition in bodied])
    return Cut(language, cutter, build_chunks(text, lines, starts, found.definitions), found.imports)


def _units(text: bytes, root: Node, bodied: list[Definition], leader_ids: frozenset[int]) -> Units:
    """Flattens the tree into units: nodes within the bound, entered nodes replaced by their children.

    A run of comments (or attributes) directly above a node forms one unit with it, if both fit.
    """
    units = Units([0])
    spans = {(definition.start, definition.end) for definition in bodied}
    reached = 0
    wants_barrier = in_header = False
    run: tuple[int, int] | None = None
    stack: list[tuple[Iterator[Node], bool]] = [(iter(root.children), False)]
    while stack:
        children, is_definition = stack[-1]
        node = next(children, None)
        if node is None:
            stack.pop()
            wants_barrier = wants_barrier or is_definition
            continue
        begin, end = node.start_byte, node.end_byte
        if end <= begin or begin < reached:
            continue
        leads = node.kind_id in leader_ids
        if run is not None and not _adjacent(text, run[1], begin):
            run = None
        if run is not None and leads:
            run, reached = (run[0], end), end
            continue
        first = begin if run is None else run[0]
        fits = leads or _fits(text, first, end)
        is_span = (begin, end) in spans
        if not fits and len(stack) < MAX_DEPTH and (is_span or not _fits(text, begin, end)) and node.child_count:
            if is_span and run is not None:
                units.barriers.add(first)
            wants_barrier = wants_barrier or (is_span and run is None)
            in_header = in_header or is_span
            stack.append((iter(node.children), is_span))
            run = None
            continue
        if is_span and in_header:
            in_header = False
            wants_barrier = wants_barrier or end - begin > MAX_MEMBER_IN_HEADER
        start = first if fits and run is not None else _unit_start(text, reached, begin)
        _add(units, text, start, begin, end, wants_barrier=wants_barrier)
        is_tight = start in units.tight
        wants_barrier = wants_barrier and is_tight
        run = (start, end) if leads and not is_tight else None
        reached = end
    return units


def _add(units: Units, text: bytes, start: int, begin: int, end: int, *, wants_barrier: bool) -> None:
    if start > units.starts[-1]:
        units.starts.append(start)
    is_closer = text[begin] in _CLOSERS or (end - begin == len(_END) and text.startswith(_END, begin))
    if is_closer or (start == begin and start and text[start - 1] not in _LINE_BREAKS):
        units.tight.add(start)
    elif wants_barrier:
        units.barriers.add(start)


def _unit_start(text: bytes, reached: int, begin: int) -> int:
    """Start of the line on which a node begins, unless what was reached before ends on the same line."""
    if not reached:
        return 0
    if text[begin - 1] in _LINE_BREAKS:
        start = begin
    else:
        line_break = max(text.rfind(b"\n", reached - 1, begin), text.rfind(b"\r", reached - 1, begin))
        if line_break == -1:
            return begin
        start = line_break + 1
    # Some grammars let a node begin with the second half of a line break.
    return start - 1 if text[start : start + 1] == b"\n" and text[start - 1] == 0x0D else start


def _adjacent(text: bytes, end: int, begin: int) -> bool:
    """Whether there is no blank line between."""
    gap = text[end:begin]
    return gap.isspace() and max(gap.count(b"\n"), gap.count(b"\r")) <= 1 if gap else True


def _fits(text: bytes, begin: int, end: int) -> bool:
    return end - begin <= MAX_CHUNK_CHARS or char_count(text[begin:end]) <= MAX_CHUNK_CHARS
