"""Exact search through half-precision rows: a fast first pass, then the scores that all stores share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numkong
import numpy as np

from storage.vectors.scoring import Rows, exact_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Mask: TypeAlias = "NDArray[np.bool_]"
Places: TypeAlias = "NDArray[np.intp]"

_MARGIN = 2e-3
"""Twice what a first-pass score can be off. The query is rounded to half precision there: at most 2**-11 of the sum of
|q_i v_i|, which is at most 1 for unit vectors (Cauchy-Schwarz); the accumulation in float32 is far below that."""

_GATHER_BELOW = 0.5
"""Share of wanted rows below which copying them together is cheaper than scoring all."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of unit length, as the two passes want it."""

    exact: NDArray[np.float64]
    """(dimension,)"""
    half: Rows
    """(1, dimension)"""


@dataclass(frozen=True, slots=True)
class Scanned:
    """First-pass scores of the wanted rows of one matrix."""

    rows: Rows
    places: Places
    """(m,) indices into ``rows``"""
    scores: NDArray[np.float32]
    """(m,)"""


def query_of(unit: NDArray[np.float64]) -> Query:
    """Prepare a query that ``unit_query`` returned."""
    return Query(unit, unit.astype(np.float16)[None, :])


def scan(rows: Rows, wanted: Mask, query: Query) -> Scanned:
    """Score the wanted rows, or more cheaply all of them where most are wanted."""
    places = np.flatnonzero(wanted)
    if not places.size:
        return Scanned(rows, places, np.empty(0, np.float32))
    if places.size < _GATHER_BELOW * len(rows):
        return Scanned(rows, places, first_pass(rows[places], query))
    scores = first_pass(rows, query)
    return Scanned(rows, places, scores if places.size == len(rows) else scores[places])


def best(scanned: Sequence[Scanned], k: int, query: Query) -> list[tuple[Places, NDArray[np.float64]]]:
    """For each scanned matrix the places and exact scores of rows that can be among the ``k`` best or tie with them."""
    total = sum(each.scores.size for each in scanned)
    if k < 1 or not total:
        return [(each.places[:0], np.empty(0, np.float64)) for each in scanned]
    floor = -np.inf
    if total > k:
        everything = np.concatenate([each.scores for each in scanned])
        floor = float(np.partition(everything, total - k)[total - k]) - _MARGIN
    result = []
    for each in scanned:
        places = each.places[each.scores >= floor]
        result.append((places, exact_scores(each.rows[places], query.exact)))
    return result


def first_pass(rows: Rows, query: Query) -> NDArray[np.float32]:
    """Inner products of shape (n,), good to about 5e-4."""
    if not len(rows):
        return np.empty(0, np.float32)  # numkong refuses to look at none
    return np.asarray(numkong.cdist(query.half, rows, "dot"), np.float32).reshape(-1)
