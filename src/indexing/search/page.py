"""From what the legs found to the hits of one page: join with the catalog, fusion, ranking, presentation.

Synchronous and all in one place: it takes milliseconds of Python, and runs in a thread beside the event loop or in a
process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from indexing.search.factors import definition_fit
from indexing.search.fuse import Fusion, Leg, fuse
from indexing.search.join import known_of, rows_of, shown_of
from indexing.search.legs import NO_HITS
from indexing.search.present import Found, Manner, present
from indexing.search.rank import Evidence, contenders, rank
from indexing.search.records import SearchResult
from storage import TextHits, hits

if TYPE_CHECKING:
    import sqlite3

    from indexing.search.join import Shown
    from indexing.search.legs import Filters
    from indexing.search.query import Query
    from indexing.search.records import SearchRequest
    from storage import Definition, PlaceShown

_TEXT_DECIDES: Final = 1e-3
LEG_WEIGHTS: Final[dict[str, float]] = {"text": 1.0, "name": 1.0, "path": 0.6, "vector": 0.5}


@dataclass(frozen=True, slots=True)
class Words:
    """What the legs found that search words."""

    text: TextHits = NO_HITS
    names: TextHits = NO_HITS
    files: Mapping[int, float] = field(default_factory=dict)
    """what the path leg found: score by cut id"""
    places: Mapping[int, tuple[PlaceShown, ...]] = field(default_factory=dict)
    """of cuts among them that were looked up already; empty for those that are shown nowhere"""


NOTHING: Final = Words()


@dataclass(frozen=True, slots=True)
class LegsFound:
    """What all legs found so far."""

    words: Words
    near: Mapping[bytes, float]
    """what the vector leg found: cosine similarity by external id, best first"""
    exhausted: bool
    """no leg has more to give"""
    can_widen: bool
    """some leg has more to give, and is not at its bound"""
    degraded: tuple[str, ...] = ()
    """why a leg gave nothing, or not all it could"""


def page(
    connection: sqlite3.Connection, query: Query, found: LegsFound, request: SearchRequest, filters: Filters
) -> SearchResult | None:
    """Fuse, rank and present what the legs found; None where they found too little and can find more."""
    joined = _joined(connection, found, filters)
    while True:
        shown = joined.shown
        fusion, evidence = _fused(found.words, joined, query, _defined(connection, found.words.names, shown))
        contending = contenders(evidence, shown, query, request.k)
        rows, wrong = rows_of(connection, shown, [each.chunk_id for each in contending])
        if not wrong:
            break
        joined = joined._replace(shown=shown.without(wrong))
    ranked = rank(contending, rows, query, request.k, max_hits_a_file=request.max_hits_per_file)
    full = len(ranked) >= request.k
    if not full and found.can_widen:
        return None
    manner = Manner(query.words, request.snippet_lines, check_disk=request.check_disk)
    return SearchResult(
        present(Found(ranked, fusion, shown.places), connection, manner),
        complete=full or found.exhausted,
        degraded=found.degraded,
        cut_ids=tuple(dict.fromkeys(each.chunk.cut_id for each in ranked)),
    )


class _Joined(NamedTuple):
    """What the legs found, by the ids of the catalog."""

    shown: Shown
    cosines: Mapping[int, float]
    """by chunk id"""
    leads: Mapping[int, int]
    """For each file found by its path the chunk that stands for it: the best one that the words found, else the
    nearest, else the first."""


def _joined(connection: sqlite3.Connection, found: LegsFound, filters: Filters) -> _Joined:
    words = found.words
    cosines, near_cuts = known_of(connection, found.near)
    cuts = {hit.chunk_id: hit.cut_id for leg in (words.text, words.names) for hit in leg.hits} | near_cuts
    # The first of a file is the best one: what comes later must not replace it.
    leads = {cut_id: chunk_id for chunk_id, cut_id in reversed(cuts.items()) if cut_id in words.files}
    others = words.files.keys() - leads.keys()
    if others:
        firsts = hits.first_chunks(connection, others)
        leads |= firsts
        cuts |= {chunk_id: cut_id for cut_id, chunk_id in firsts.items()}
    return _Joined(shown_of(connection, cuts, filters, words.places), cosines, leads)


def _defined(connection: sqlite3.Connection, names: TextHits, shown: Shown) -> dict[int, tuple[Definition, ...]]:
    """The definitions in the chunks that the name leg found, of those that are shown."""
    wanted = [hit.chunk_id for hit in names.hits if hit.chunk_id in shown.cuts]
    return hits.definitions_in(connection, wanted) if wanted else {}


def _name_scores(defined: Mapping[int, Sequence[Definition]], query: Query) -> dict[int, float]:
    fits = {chunk_id: definition_fit(definitions, query) for chunk_id, definitions in defined.items()}
    return {chunk_id: fit for chunk_id, fit in fits.items() if fit > 0}


def _fused(
    words: Words, joined: _Joined, query: Query, defined: Mapping[int, tuple[Definition, ...]]
) -> tuple[Fusion, Evidence]:
    shown, leads = joined.shown, joined.leads
    text, cosines = shown.only(words.text.scores()), shown.only(joined.cosines)
    best_text = max(text.values(), default=1.0)
    # The text decides only between files whose paths are equally good.
    paths = {
        leads[cut_id]: score + _TEXT_DECIDES * text.get(leads[cut_id], 0.0) / best_text
        for cut_id, score in words.files.items()
        if leads.get(cut_id) in shown.cuts
    }
    fusion = fuse(
        (
            Leg("text", text, LEG_WEIGHTS["text"]),
            Leg("name", _name_scores(defined, query), LEG_WEIGHTS["name"]),
            Leg("path", paths, LEG_WEIGHTS["path"]),
            Leg("vector", cosines, LEG_WEIGHTS["vector"]),
        )
    )
    return fusion, Evidence(fusion.scores, text, cosines, defined)
