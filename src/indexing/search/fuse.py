"""Reciprocal rank fusion of any number of legs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple

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


class LegPlace(NamedTuple):
    """Where a leg placed a chunk."""

    rank: int
    """1-based; equal scores share the best rank"""
    score: float


@dataclass(slots=True)
class Fused:
    """A chunk's fused score and where it comes from."""

    score: float = 0.0
    places: dict[str, LegPlace] = field(default_factory=dict)


def fuse(legs: Sequence[Leg], constant: float = RANK_CONSTANT) -> dict[int, Fused]:
    """Sum of ``weight / (constant + rank)`` over the legs that found a chunk.

    Ties share a rank, so that the outcome does not depend on the order in which a leg lists them.
    """
    fused: dict[int, Fused] = {}
    for leg in legs:
        for chunk_id, place in _ranked(leg.scores).items():
            mine = fused.get(chunk_id)
            if mine is None:
                mine = fused[chunk_id] = Fused()
            mine.score += leg.weight / (constant + place.rank)
            mine.places[leg.name] = place
    return fused


def _ranked(scores: Mapping[int, float]) -> dict[int, LegPlace]:
    ranked: dict[int, LegPlace] = {}
    rank, last = 0, None
    for count, (chunk_id, score) in enumerate(sorted(scores.items(), key=itemgetter(1), reverse=True), 1):
        if score != last:
            rank, last = count, score
        ranked[chunk_id] = LegPlace(rank, score)
    return ranked
