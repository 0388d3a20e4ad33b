"""Reciprocal rank fusion of any number of legs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Fusion:
    """What several legs found, as one."""

    scores: Mapping[int, float]
    """fused, by chunk id"""
    legs: Sequence[tuple[Leg, Mapping[float, int]]]
    """with the rank of each score"""

    def places(self, chunk_id: int) -> dict[str, LegPlace]:
        """Where each leg that found a chunk placed it. Few chunks are asked about: it is not kept for all."""
        return {
            leg.name: LegPlace(ranks[leg.scores[chunk_id]], leg.scores[chunk_id])
            for leg, ranks in self.legs
            if chunk_id in leg.scores
        }


def fuse(legs: Sequence[Leg], constant: float = RANK_CONSTANT) -> Fusion:
    """Sum of ``weight / (constant + rank)`` over the legs that found a chunk.

    Ties share a rank, so that the outcome does not depend on the order in which a leg lists them.
    """
    fused: dict[int, float] = {}
    ranked = []
    for leg in legs:
        ranks: dict[float, int] = {}
        for rank, score in enumerate(sorted(leg.scores.values(), reverse=True), 1):
            ranks.setdefault(score, rank)
        ranked.append((leg, ranks))
        gains = {score: leg.weight / (constant + rank) for score, rank in ranks.items()}
        for chunk_id, score in leg.scores.items():
            fused[chunk_id] = fused.get(chunk_id, 0.0) + gains[score]
    return Fusion(fused, ranked)
