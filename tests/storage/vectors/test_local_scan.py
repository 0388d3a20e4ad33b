"""The first pass of the local store may be off by what it says, and never loses a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.vectors.local_scan import best, first_pass, query_of, scan
from storage.vectors.scoring import Rows, exact_scores, unit_query, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def made(seed: int, count: int, dimension: int, *, sparse: bool) -> tuple[Rows, NDArray[np.float64]]:
    """Rows, many of them close to each other, and a query."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, dimension)) * (random.random((count, dimension)) < (0.2 if sparse else 1))
    rows[count // 2 :] = rows[0] + 1e-4 * random.standard_normal((count - count // 2, dimension))
    query = rows[0] + 0.1 * random.standard_normal(dimension) * (random.random(dimension) < (0.2 if sparse else 1))
    rows[:, 0] += 1e-3
    query[0] += 1e-3
    return unit_rows(rows.astype(np.float32), dimension), unit_query(query.astype(np.float32), dimension)


@pytest.mark.parametrize("sparse", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dimension=st.sampled_from([3, 16, 384, 1024]))
def test_no_score_of_the_first_pass_is_off_by_more_than_it_says(seed: int, dimension: int, *, sparse: bool) -> None:
    rows, unit = made(seed, 64, dimension, sparse=sparse)
    query = query_of(unit)
    assert np.abs(first_pass(rows, query) - exact_scores(rows, unit)).max() <= query.error < 2e-3


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(0, 120),
    share=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    parts=st.integers(1, 4),
)
def test_the_best_of_several_matrices_are_among_the_rows_kept(seed: int, k: int, share: float, parts: int) -> None:
    rows, unit = made(seed, 100, 48, sparse=False)
    query = query_of(unit)
    wanted = np.random.default_rng(seed + 1).random(len(rows)) < share
    lots = np.array_split(np.arange(len(rows)), parts)
    found = best([scan(rows[lot], wanted[lot], query) for lot in lots], k, query)
    kept = np.concatenate([lot[places] for lot, (places, _) in zip(lots, found, strict=True)])
    scores = np.concatenate([scores for _, scores in found])
    exact = exact_scores(rows, unit)
    assert wanted[kept].all()
    assert (scores == exact[kept]).all()
    ordered = np.sort(exact[wanted])[::-1]
    least = ordered[min(k, len(ordered)) - 1] if k and len(ordered) else np.inf
    assert set(np.flatnonzero(wanted & (exact >= least))) <= set(kept.tolist())
