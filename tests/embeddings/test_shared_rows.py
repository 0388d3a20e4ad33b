from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings.shared_rows import SharedRows


@settings(max_examples=30)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=4), st.integers(1, 40))
def test_rows_are_read_as_the_other_side_wrote_them_whatever_was_there_before(counts: list[int], width: int) -> None:
    here = SharedRows.create()
    there = SharedRows(os.dup(here.descriptor))
    for seed, count in enumerate(counts):
        rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
        there.write(rows)
        read = here.read(count, width)
        there.write(np.zeros_like(rows))
        np.testing.assert_array_equal(read, rows)
    there.close()
    here.close()
    here.close()
    assert here.descriptor == -1


def test_more_rows_than_were_written_cannot_be_read() -> None:
    rows = SharedRows.create()
    rows.write(np.ones((2, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="greater than"):
        rows.read(3000, 3)
    rows.close()


def test_rows_that_are_not_contiguous_are_written_row_by_row() -> None:
    rows = SharedRows.create()
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    rows.write(matrix.T)
    np.testing.assert_array_equal(rows.read(4, 3), matrix.T)
    rows.close()
