"""Search in one repository: exact through what is flat, new or narrowly filtered, by the graph through the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from storage.vectors.local_base import Base
from storage.vectors.local_scan import Mask, Places, Query, Scanned, best, first_pass, scan
from storage.vectors.local_shard import Shard
from storage.vectors.scoring import Rows, exact_scores, pack_ids, unpack_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPARE = 16
"""Neighbours asked for beyond those wanted, to see past ties."""

_ROWS_PER_NEIGHBOUR = 24
"""Rows that are scored in the time in which the graph finds one more neighbour."""

_SAME = 1e-6
"""Difference below which two scores of the graph may come from equal rows."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one repository has to say."""

    hits: list[tuple[bytes, float]]
    """At least its ``k`` best and all that tie with the last of them; not in order."""
    matching: int
    """how many vectors pass the filters"""


def search_all(shard: Shard, query: Query, k: int, languages: frozenset[str] | None) -> Found:
    """Search all vectors of the languages."""
    scanned: list[Scanned] = []
    finders: list[Callable[[Places], list[bytes]]] = []
    base = shard.base
    from_graph: list[tuple[bytes, float]] = []
    matching = 0
    if base is not None:
        codes = base.codes(languages)
        alive = shard.base_alive
        wanted = alive if codes is None else alive & codes[base.languages]
        matching = int(wanted.sum())
        in_graph = base.manifest.graph_rows
        if base.graph is not None:
            numbers, scores = _nearest_in_graph(base, wanted[:in_graph], query, k)
            from_graph = list(zip(unpack_ids(base.ids[base.place_of[numbers]]), scores.tolist(), strict=True))
        scanned.append(scan(base.flat_rows, wanted[in_graph:], query))
        finders.append(lambda places: unpack_ids(base.ids[base.place_of[places + in_graph]]))
    for delta in shard.deltas:
        codes = delta.codes(languages)
        for number, block in enumerate(delta.blocks):
            wanted = block.wanted(codes)
            matching += int(wanted.sum())
            scanned.append(scan(block.rows[: block.used], wanted, query))
            finders.append(_delta_finder(delta.ids, number * len(block.rows)))
    hits = from_graph
    for (places, scores), finder in zip(best(scanned, k, query), finders, strict=True):
        hits += zip(finder(places), scores.tolist(), strict=True)
    return Found(hits, matching)


def search_allowed(
    shard: Shard, query: Query, k: int, languages: frozenset[str] | None, allowed: Sequence[bytes]
) -> Found:
    """Search among the allowed ids alone, exactly; no two of them may be alike."""
    scanned: list[Scanned] = []
    names: list[list[bytes]] = []
    base = shard.base
    if base is not None:
        packed = pack_ids(allowed)
        numbers = base.find(packed)
        here = numbers >= 0
        here[here] = shard.base_alive[numbers[here]]
        codes = base.codes(languages)
        if codes is not None:
            here[here] = codes[base.languages[numbers[here]]]
        scanned.append(_scored(base.take(numbers[here]), query))
        names.append(unpack_ids(packed[here]))
    for delta in shard.deltas:
        held = {id: found for id in allowed if (found := delta.get(id)) is not None} if delta.row_of else {}
        kept = [id for id in held if languages is None or held[id][1] in languages]
        if kept:
            scanned.append(_scored(np.stack([held[id][0] for id in kept]), query))
            names.append(kept)
    hits: list[tuple[bytes, float]] = []
    for (places, scores), ids in zip(best(scanned, k, query), names, strict=True):
        hits += zip((ids[place] for place in places.tolist()), scores.tolist(), strict=True)
    return Found(hits, sum(map(len, names)))


def _scored(rows: Rows, query: Query) -> Scanned:
    return Scanned(rows, np.arange(len(rows)), first_pass(rows, query))


def _nearest_in_graph(base: Base, wanted: Mask, query: Query, k: int) -> tuple[Places, NDArray[np.float64]]:
    """Rows of the graph near the query among the wanted ones, with exact scores.

    The graph knows no filter: it is asked for more the fewer rows are wanted, until enough of them are. Where that
    costs more than scoring the wanted rows, they are scored.
    """
    matching = int(wanted.sum())
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


def _delta_finder(ids: Sequence[bytes], first: int) -> Callable[[Places], list[bytes]]:
    return lambda places: [ids[first + place] for place in places.tolist()]
