"""Made-up points."""

from __future__ import annotations

import numpy as np

from storage.vectors import CollectionSpec, PointPayload, VectorBatch, Vectors

DIMENSION = 8
SPEC = CollectionSpec("c1", DIMENSION)


def point_id(number: int) -> bytes:
    """An id; some end in zero bytes, which arrays of bytes strip."""
    return number.to_bytes(4, "big") + bytes(12)


def random_rows(count: int, *, seed: int = 1, dimension: int = DIMENSION) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def batch_of(
    numbers: range | list[int],
    rows: Vectors | None = None,
    *,
    repository: str = "r1",
    language: str = "python",
) -> VectorBatch:
    """A batch of points; equal numbers get equal vectors unless rows are given."""
    if rows is None:
        rows = np.stack([random_rows(1, seed=each)[0] for each in numbers])
    payload = PointPayload(repository, language)
    return VectorBatch(tuple(map(point_id, numbers)), rows, (payload,) * len(numbers))


def clustered_rows(count: int, *, seed: int = 1, dimension: int = 64, clusters: int = 50) -> Vectors:
    """Rows around a few centres, the same ones for every seed, as embeddings lie."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((clusters, dimension))
    rows = centres[random.integers(0, clusters, count)] + 0.5 * random.standard_normal((count, dimension))
    return rows.astype(np.float32)
