"""Reciprocal rank fusion of any number of legs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import msgspec

from indexing.search.records import LegPlace

RANK_CONSTANT: Final = 60
"""k of Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What one way of searching found."""

    name: str
    scores: Mapping[int, float]
    """by chunk id, higher is better"""
    weight: float = 1.0


# Hundreds are made for one search: a struct is made several times as fast as a dataclass.
class Fused(msgspec.Struct):
    """A chunk's fused score and where it comes from."""

    score: float
    places: dict[str, LegPlace]
    """by leg"""


def fuse(legs: Sequence[Leg], constant: float = RANK_CONSTANT) -> dict[int, Fused]:
    """Sum of ``weight / (constant + rank)`` over the legs that found a chunk.

    Ties share a rank, so that the outcome does not depend on the order in which a leg lists them.
    """
    fused: dict[int, Fused] = {}
    for leg in legs:
        name, weight = leg.name, leg.weight
        rank, last = 0, None
        for count, (chunk_id, score) in enumerate(sorted(leg.scores.items(), key=itemgetter(1), reverse=True), 1):
            if score != last:
                rank, last = count, score
            mine = fused.get(chunk_id)
            if mine is None:
                fused[chunk_id] = Fused(weight / (constant + rank), {name: LegPlace(rank, score)})
            else:
                mine.score += weight / (constant + rank)
                mine.places[name] = LegPlace(rank, score)
    return fused
