"""The tree-sitter grammars and the symbol queries written for them, loaded once per process on first use.

The only module that imports tree_sitter. A parser holds the GIL and cannot be interrupted: whoever parses foreign
text does it in a child process that can be killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tree_sitter import Parser, Query
    from tree_sitter_language_pack import SupportedLanguage


_LEADERS = frozenset(
    {
        "annotation",
        "attribute_item",
        "attribute_list",
        "decorator",
        "inner_attribute_item",
        "signature",
        "type_signature",
    },
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A parser of one language, and the query for its definitions and imports where there is one."""

    parser: Parser
    query: Query | None
    leader_ids: frozenset[int]
    """kinds of nodes that belong to the definition below them: comments, decorators, attributes"""


@cache
def grammar(language: str) -> Grammar:
    """Loads the grammar of a language and compiles its query.

    Raises LookupError for a language that the grammar package does not know.
    """
    from tree_sitter import Parser, Query  # noqa: PLC0415  (heavy, and only the cutting workers need it)
    from tree_sitter_language_pack import get_language  # noqa: PLC0415  (the same)

    loaded = get_language(cast("SupportedLanguage", language))
    source = _query_source(language)
    kinds = ((number, loaded.node_kind_for_id(number) or "") for number in range(loaded.node_kind_count))
    leaders = frozenset(number for number, kind in kinds if "comment" in kind or kind in _LEADERS)
    return Grammar(Parser(loaded), Query(loaded, source) if source else None, leaders)


def _query_source(language: str) -> str:
    """Reads ``queries/<language>.scm``; its first line may be ``; inherits: <language>``."""
    file = resources.files("indexing.cutting").joinpath("queries", f"{language}.scm")
    if not file.is_file():
        return ""
    source = file.read_text(encoding="utf-8")
    first, _, rest = source.partition("\n")
    marker = "; inherits: "
    return _query_source(first.removeprefix(marker).strip()) + rest if first.startswith(marker) else source
