"""A definition as the cutters pass it on: its name, kind, place and enclosing names, before chunks are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node

    from storage import SymbolKind

BODIED_KINDS: Final = frozenset({"function", "method", "class", "interface", "struct", "enum", "module", "section"})
"""kinds whose definitions are things of their own; the others (macros, constants, types) are mostly one-liners"""

CALLABLE_KINDS: Final = frozenset({"function", "method"})


@dataclass(slots=True)
class Definition:
    """One definition; ``start`` and ``end`` are byte offsets, decorators and the like included, end exclusive."""

    name: str
    kind: SymbolKind
    start: int
    end: int
    scope: str = ""
    node: Node | None = None
    """the syntax node with the head and the body; None for headings"""
