"""Search in some repositories: exact through what is flat, new or narrowly filtered, by the graph through the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from storage.vectors.local_base import Base
from storage.vectors.local_coarse import WANTED_ABOVE, CoarseQuery, coarse_query, coarse_scan
from storage.vectors.local_scan import Mask, Places, Query, Scanned, best, first_pass, scan
from storage.vectors.local_shard import Shard
from storage.vectors.records import VectorHits
from storage.vectors.scoring import Rows, cut_with_ties, exact_scores, pack_ids, unpack_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPARE = 16
"""Neighbours asked for beyond those wanted, to see past ties."""

_ROWS_PER_NEIGHBOUR = 24
"""Rows that are scored in the time in which the graph finds one more neighbour."""

_SAME = 1e-6
"""Difference below which two scores of the graph may come from equal rows."""


_Finder: TypeAlias = "Callable[[Places], list[bytes]]"
"""Gives the ids of rows."""


@dataclass(slots=True)
class _Gathered:
    """What is found in all repositories, before the ``k`` best of it are known."""

    query: Query
    scanned: list[Scanned] = field(default_factory=list)
    finders: list[_Finder] = field(default_factory=list)
    """of each scanned matrix"""
    exact: list[tuple[Places, NDArray[np.float64], _Finder]] = field(default_factory=list)
    """what has exact scores already"""
    matching: int = 0
    """how many vectors pass the filters"""

    def add(self, scanned: Scanned, finder: _Finder) -> None:
        self.scanned.append(scanned)
        self.finders.append(finder)

    def cut(self, k: int) -> VectorHits:
        """The ``k`` best and all that tie with the last of them."""
        exact = list(self.exact)
        for (places, scores), finder in zip(best(self.scanned, k, self.query), self.finders, strict=True):
            exact.append((places, scores, finder))
        scores = np.concatenate([np.empty(0, np.float64), *(each[1] for each in exact)])
        # Ids are made for those alone that stay: there may be thousands of others.
        last = np.partition(scores, scores.size - k)[scores.size - k] if 1 <= k <= scores.size else -np.inf
        hits: list[tuple[bytes, float]] = []
        for places, found, finder in exact:
            kept = found >= last
            hits += zip(finder(places[kept]), found[kept].tolist(), strict=True)
        return cut_with_ties(hits, k, self.matching)


def search_all(shards: Sequence[Shard], query: Query, k: int, languages: frozenset[str] | None) -> VectorHits:
    """Search all vectors of the languages in some repositories."""
    gathered = _Gathered(query)
    asked = coarse_query(query)
    for shard in shards:
        if shard.base is not None:
            _search_base(gathered, shard, shard.base, asked, k=k, languages=languages)
        for delta in shard.deltas:
            codes = delta.codes(languages)
            for number, block in enumerate(delta.blocks):
                scanned = scan(block.rows[: block.used], block.wanted(codes), query)
                gathered.matching += scanned.wanted
                gathered.add(scanned, _delta_finder(delta.ids, number * len(block.rows)))
    return gathered.cut(k)


def search_allowed(
    shards: Sequence[Shard], query: Query, k: int, languages: frozenset[str] | None, allowed: Sequence[bytes]
) -> VectorHits:
    """Search among the allowed ids alone, exactly; no two of them may be alike."""
    gathered = _Gathered(query)
    packed = pack_ids(allowed)
    for shard in shards:
        base = shard.base
        if base is not None:
            numbers = base.find(packed)
            here = numbers >= 0
            here[here] = shard.base_alive[numbers[here]]
            codes = base.codes(languages)
            if codes is not None:
                here[here] = codes[base.languages[numbers[here]]]
            _add_rows(gathered, base.take(numbers[here]), unpack_ids(packed[here]))
        for delta in shard.deltas:
            held = {id: found for id in allowed if (found := delta.get(id)) is not None} if delta.row_of else {}
            kept = [id for id in held if languages is None or held[id][1] in languages]
            if kept:
                _add_rows(gathered, np.stack([held[id][0] for id in kept]), kept)
    return gathered.cut(k)


def _search_base(
    gathered: _Gathered, shard: Shard, base: Base, asked: CoarseQuery, *, k: int, languages: frozenset[str] | None
) -> None:
    query = gathered.query
    codes = base.codes(languages)
    wanted = shard.base_alive if codes is None else shard.base_alive & codes[base.languages]
    in_graph = base.manifest.graph_rows
    if base.graph is not None:
        near, scores = _nearest_in_graph(base, wanted[:in_graph], query, k)
        gathered.exact.append((near, scores, _base_finder(base, 0)))
        gathered.matching += int(np.count_nonzero(wanted[:in_graph]))
    flat, finder = wanted[in_graph:], _base_finder(base, in_graph)
    count = int(np.count_nonzero(flat))
    gathered.matching += count
    if shard.coarse is not None and count >= WANTED_ABOVE * len(flat):
        gathered.add(coarse_scan(base.flat_rows, shard.coarse, flat, asked), finder)
    else:
        gathered.add(scan(base.flat_rows, flat, query), finder)


def _add_rows(gathered: _Gathered, rows: Rows, ids: list[bytes]) -> None:
    query = gathered.query
    gathered.matching += len(ids)
    gathered.add(Scanned(rows, first_pass(rows, query), None, len(ids), query.error), _delta_finder(ids, 0))


def _base_finder(base: Base, first: int) -> _Finder:
    return lambda places: unpack_ids(base.ids[base.place_of[places + first]])


def _nearest_in_graph(base: Base, wanted: Mask, query: Query, k: int) -> tuple[Places, NDArray[np.float64]]:
    """Rows of the graph near the query among the wanted ones, with exact scores.

    The graph knows no filter: it is asked for more the fewer rows are wanted, until enough of them are. Where that
    costs more than scoring the wanted rows, they are scored.
    """
    matching = int(np.count_nonzero(wanted))
    asked = (k + _SPARE) * len(wanted) // max(matching, 1)
    while base.graph is not None and k > 0 and asked * _ROWS_PER_NEIGHBOUR <= matching:
        matches = base.graph.search(query.half[0], asked, threads=1)
        numbers = np.asarray(matches.keys, np.intp)
        similar = 1.0 - np.asarray(matches.distances, np.float64)
        passing = wanted[numbers]
        # All rows that tie with the k-th are in hand once something strictly farther away is.
        if int(passing.sum()) >= k and similar[-1] < similar[passing][k - 1] - _SAME:
            kept = numbers[passing]
            return kept, exact_scores(base.graph_rows[kept], query.exact)
        asked *= 4
    ((places, scores),) = best([scan(base.graph_rows, wanted, query)], k, query)
    return places, scores


def _delta_finder(ids: Sequence[bytes], first: int) -> _Finder:
    return lambda places: [ids[first + place] for place in places.tolist()]
