"""Builds tantivy's query objects from a ``TextQuery``. No text is ever parsed as a query language."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from tantivy import Occur, Query

from storage.text.layout import TOKENIZERS, analyzer, schema
from storage.text.records import TextClause, TextField, TextQuery

MAX_TERMS = 256
"""Terms of one query; those after it are left out."""

FREE: float = 0.0
"""Filters add nothing to a score."""

_REMEMBERED: Final = 4_096
_REMEMBERED_CHARS: Final = 80


def build_query(query: TextQuery, present: frozenset[str]) -> Query | None:
    """The query object, or None when nothing can match.

    ``present`` is the set of repositories in the index: a filter that allows all of them is left out, since a plain
    union of terms is searched several times faster (block-max WAND) than one that is intersected with a filter.
    """
    if not present & query.repositories:
        return None
    wanted = _weights(query.clauses)
    if not wanted:
        return None
    union = [(Occur.Should, _term(field, term, weight)) for (field, term), weight in wanted.items()]
    filters = []
    if not present <= query.repositories:
        filters.append(_any_of("repository", sorted(present & query.repositories)))
    if query.languages is not None:
        filters.append(_any_of("language", sorted(query.languages)))
    if query.kinds is not None:
        filters.append(_any_of("kind", sorted(query.kinds)))
    if query.cut_ids is not None:
        filters.append(_any_of("cut_id", query.cut_ids))
    if not filters:
        return Query.boolean_query(union)
    return Query.boolean_query([(Occur.Must, Query.boolean_query(union)), *((Occur.Must, each) for each in filters)])


def terms_of(field: TextField, text: str) -> tuple[str, ...]:
    """The terms that the field's tokenizer makes of a text."""
    # Words come back, in other fields and in query after query.
    return (_analyzed if len(text) <= _REMEMBERED_CHARS else _analyzed.__wrapped__)(TOKENIZERS[field], text)


@lru_cache(maxsize=_REMEMBERED)
def _analyzed(tokenizer: str, text: str) -> tuple[str, ...]:
    return tuple(analyzer(tokenizer).analyze(_encodable(text)))


def _weights(clauses: Iterable[TextClause]) -> dict[tuple[TextField, str], float]:
    """Weight by field and term; a term wanted several times counts with its greatest weight."""
    weights: dict[tuple[TextField, str], float] = {}
    for clause in clauses:
        for term in terms_of(clause.field, clause.text):
            key = (clause.field, term)
            if key not in weights and len(weights) >= MAX_TERMS:
                return weights
            weights[key] = max(clause.weight, weights.get(key, 0.0))
    return weights


def _term(field: TextField, term: str, weight: float) -> Query:
    query = Query.term_query(schema(), field, term, index_option="freq")
    return query if weight == 1.0 else Query.boost_query(query, weight)


def _any_of(field: str, values: Iterable[str] | Iterable[int]) -> Query:
    terms = [_encodable(value) if isinstance(value, str) else value for value in values]
    return Query.const_score_query(Query.term_set_query(schema(), field, terms), FREE)


def _encodable(text: str) -> str:
    """The text without lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
