"""Definitions and imports of a parsed text, found by the query of its language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from indexing.cutting.definitions import Definition
from indexing.cutting.imports import import_names

if TYPE_CHECKING:
    from tree_sitter import Node, Query

    from storage import SymbolKind

MAX_DEPTH: Final = 500
"""levels of the syntax tree in which definitions are looked for; a query's time can grow with the square of depth"""

MAX_SCOPE_CHARS: Final = 300

# A query looks at all later siblings of every token: 200,000 unclosed brackets took it half a minute.
_MAX_ERROR_CHILDREN: Final = 20_000

_SHALLOW: Final = {
    "c": (
        4,
        re.compile(rb"\n[ \t]*(?:#[ \t]*define\b|(?:typedef[ \t]+)?(?:struct|union|enum)[ \t]+\w+\s*\{)"),
        frozenset({"macro", "struct", "enum"}),
    ),
    "python": (
        8,
        re.compile(rb"\n[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+[ \t]*[(:\[]"),
        frozenset({"function", "method", "class"}),
    ),
}
"""Depth of nearly all definitions, a sign in the text of some kinds, and these kinds.

The query looks no deeper unless there are more signs than finds: visiting every expression would cost a quarter of
the time of parsing.
"""
_VAGUE_KINDS = frozenset({"variable", "type"})
_METHOD_OWNERS = frozenset({"class", "interface", "struct", "enum", "type", "scope"})


@dataclass(frozen=True, slots=True)
class Found:
    """Definitions in order of start, outer before inner; imported names in order of appearance, each once."""

    definitions: list[Definition]
    imports: tuple[str, ...]


def find_symbols(query: Query | None, root: Node, text: bytes, language: str) -> Found:
    """Runs a language's query over a syntax tree; nothing is found without a query."""
    if query is None or (root.is_error and root.child_count > _MAX_ERROR_CHILDREN):
        return Found([], ())
    shallow = _SHALLOW.get(language)
    if shallow is not None:
        depth, sign, kinds = shallow
        found = _run(query, root, text, language, depth)
        if len(sign.findall(text)) <= sum(definition.kind in kinds for definition in found.definitions):
            return found
    return _run(query, root, text, language, MAX_DEPTH)


def _run(query: Query, root: Node, text: bytes, language: str, depth: int) -> Found:
    from tree_sitter import QueryCursor  # noqa: PLC0415  (loaded by whoever made the query)

    cursor = QueryCursor(query)
    cursor.set_max_start_depth(depth)
    by_name: dict[int, Definition] = {}
    imported: dict[str, None] = {}
    roles: dict[int, str] = {}
    for pattern, captures in cursor.matches(root):
        role = roles.get(pattern)
        if role is None:
            role = roles[pattern] = next(
                name for name in captures if name not in {"name", "receiver"} and name[0] != "_"
            )
        if role == "import":
            for node in captures["import"]:
                imported.update(dict.fromkeys(import_names(text[node.start_byte : node.end_byte], language)))
            continue
        node = captures[role][0]
        names = captures.get("name")
        if not names:
            continue
        name_at = names[0].start_byte
        known = by_name.get(name_at)
        if known is not None:
            _widen(known, node)
            if known.kind in _VAGUE_KINDS and role not in _VAGUE_KINDS:
                known.kind = cast("SymbolKind", role)
            continue
        name = text[name_at : names[-1].end_byte].decode("utf-8", "replace")
        receiver = captures.get("receiver")
        owner = text[receiver[0].start_byte : receiver[0].end_byte].decode("utf-8", "replace") if receiver else ""
        kind = cast("SymbolKind", role)
        by_name[name_at] = Definition(name, kind, node.start_byte, node.end_byte, owner, node)
    return Found(_scoped(list(by_name.values())), tuple(imported))


def _widen(definition: Definition, node: Any) -> None:
    """Takes the range of a wrapper (decorators, export, template), and keeps the node that has the body."""
    start, end = node.start_byte, node.end_byte
    if start <= definition.start and end >= definition.end:
        definition.start, definition.end = start, end
    elif start >= definition.start and end <= definition.end:
        definition.node = node


def _scoped(definitions: list[Definition]) -> list[Definition]:
    """Sets scopes and kinds by what encloses what; drops the entries that only give a scope (``impl`` blocks)."""
    definitions.sort(key=_order)
    kept = []
    open_ones: list[tuple[int, str, str]] = []
    for definition in definitions:
        while open_ones and open_ones[-1][0] <= definition.start:
            open_ones.pop()
        _, outer, outer_kind = open_ones[-1] if open_ones else (0, "", "")
        kind: str = definition.kind
        owner = definition.scope
        scope = f"{outer}.{owner}" if outer and owner else outer or owner
        definition.scope = scope
        if kind == "function" and (owner or outer_kind in _METHOD_OWNERS):
            definition.kind = "method"
        elif kind == "variable" and definition.name.isupper():
            definition.kind = "constant"
        name = definition.name if len(scope) < MAX_SCOPE_CHARS else ""
        open_ones.append((definition.end, f"{scope}.{name}".strip("."), kind))
        if kind != "scope":
            kept.append(definition)
    return kept


def _order(definition: Definition) -> tuple[int, int]:
    return definition.start, -definition.end
