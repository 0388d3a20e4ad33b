from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings.windows import cut_windows, plan_batches, pool_windows


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(4, 40))
def test_windows_hold_every_token_once_in_order_and_are_even(length: int, window: int) -> None:
    body = list(range(100, 100 + length))
    windows = cut_windows(7, body, (1, 2), (3,), window)
    assert all(cut.ids[:2] == (1, 2) and cut.ids[-1] == 3 and len(cut.ids) <= window for cut in windows)
    assert [token for cut in windows for token in cut.ids[2:-1]] == body
    sizes = [cut.own_tokens for cut in windows]
    assert max(sizes) - min(sizes) <= 1
    assert len(windows) == max(1, -(-length // (window - 3)))
    assert {cut.text for cut in windows} == {7}


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="has no room beside 3"):
        cut_windows(0, [5], (1, 2), (3,), 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 1024))
def test_batches_hold_every_item_once_within_the_budget_and_longest_first(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[position] for position in batch) * len(batch) <= budget
    ordered = [lengths[position] for batch in batches for position in batch]
    assert ordered == sorted(lengths, reverse=True)


def test_windows_are_weighted_by_their_own_tokens() -> None:
    windows = [*cut_windows(0, [1] * 5, (), (), 3), *cut_windows(1, [], (), (), 3)]
    assert [cut.own_tokens for cut in windows] == [2, 3, 0]
    rows = pool_windows(np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 2.0]], dtype=np.float32), windows, 2)
    np.testing.assert_allclose(rows, [[6 / np.hypot(6, 12), 12 / np.hypot(6, 12)], [0, 1]], atol=1e-6)
