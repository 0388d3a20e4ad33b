"""What becomes of the points of a batch once the store has answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from storage import PointPayload, VectorBatch, acknowledge_deleted, acknowledge_stored, mark_failed

if TYPE_CHECKING:
    import sqlite3

    from indexing.vectorize.records import Work

LEFT_OUT = "the store did not acknowledge it"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to write into the catalog of a batch."""

    stored: tuple[tuple[int, int], ...] = ()
    """(chunk_id, seq)"""
    failed: tuple[tuple[int, int, str], ...] = ()
    """(chunk_id, seq, reason)"""
    removed: tuple[tuple[int, bytes, int], ...] = ()
    """(chunk_id, external id, seq)"""
    left_out: int = 0
    """points that the store did not acknowledge and that are to be tried again"""

    @classmethod
    def of(
        cls, work: Work, held: frozenset[bytes], sent: frozenset[bytes], attempts: dict[int, int], most_attempts: int
    ) -> Self:
        """Judge a batch: ``held`` are the external ids that the store acknowledged of those ``sent``.

        Counts in ``attempts`` ({chunk_id: n}) how often a point was left out; at ``most_attempts`` it has failed.
        """
        stored: list[tuple[int, int]] = []
        failed: list[tuple[int, int, str]] = []
        left_out = 0
        for point, each in zip(work.points, work.hashes, strict=True):
            if point.external_id in held:
                attempts.pop(point.chunk_id, None)
                stored.append((point.chunk_id, point.seq))
            elif each in work.refused:
                failed.append((point.chunk_id, point.seq, work.refused[each]))
            elif point.external_id in sent:
                attempts[point.chunk_id] = attempts.get(point.chunk_id, 0) + 1
                if attempts[point.chunk_id] < most_attempts:
                    left_out += 1
                else:
                    del attempts[point.chunk_id]
                    failed.append((point.chunk_id, point.seq, LEFT_OUT))
        return cls(tuple(stored), tuple(failed), left_out=left_out)


def batch_of(work: Work) -> VectorBatch:
    """Put together what goes to the store: every point of the batch that has a vector."""
    kept = [number for number, each in enumerate(work.hashes) if each in work.vectors]
    points = [work.points[number] for number in kept]
    vectors = [work.vectors[work.hashes[number]] for number in kept]
    return VectorBatch(
        tuple(point.external_id for point in points),
        np.stack(vectors) if vectors else np.empty((0, 0), np.float32),
        tuple(
            PointPayload(
                repository=point.repository,
                language=point.language,
                path=point.path,
                start_line=point.start_line,
                end_line=point.end_line,
                symbol=point.symbol,
                kind=point.kind,
                text=work.pieces[number],
            )
            for number, point in zip(kept, points, strict=True)
        ),
    )


def settle(collection_id: int, outcome: Outcome, connection: sqlite3.Connection) -> int:
    """Write an outcome down, inside a transaction; returns how many points became stored.

    What was wanted anew since the batch was taken has another ``seq`` and stays as it is.
    """
    if outcome.removed:
        acknowledge_deleted(connection, collection_id, [(chunk_id, seq) for chunk_id, _, seq in outcome.removed])
    if outcome.failed:
        mark_failed(connection, collection_id, list(outcome.failed))
    if not outcome.stored:
        return 0
    return acknowledge_stored(connection, collection_id, list(outcome.stored))
