from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexing.vectorize.batches import batch_size, take
from indexing.vectorize.records import VectorizeSettings
from storage import PendingPoint


def point(chunk_id: int, size: int) -> PendingPoint:
    return PendingPoint(
        chunk_id=chunk_id,
        external_id=chunk_id.to_bytes(16, "big"),
        seq=1,
        cut_id=1,
        repository="r",
        language="python",
        path="a.py",
        start_byte=0,
        end_byte=size,
        start_line=1,
        end_line=1,
        symbol="",
        kind="",
        scope="",
    )


@given(
    sizes=st.lists(st.integers(0, 50), max_size=20),
    most=st.integers(1, 10),
    most_bytes=st.integers(1, 100),
)
def test_a_batch_is_a_beginning_of_the_points_within_both_bounds(sizes: list[int], most: int, most_bytes: int) -> None:
    points = [point(number, size) for number, size in enumerate(sizes)]
    taken = take(points, most, most_bytes)
    assert taken == points[: len(taken)]
    assert bool(taken) == bool(points)
    assert len(taken) <= most
    assert len(taken) <= 1 or sum(sizes[: len(taken)]) <= most_bytes
    if len(taken) < min(most, len(points)):
        assert sum(sizes[: len(taken) + 1]) > most_bytes


def test_a_slow_encoder_gets_small_batches_and_a_fast_one_full_ones() -> None:
    settings = VectorizeSettings(batch_chunks=512, batch_seconds=5.0, least_chunks=32)
    assert batch_size(settings, None) == 32
    assert batch_size(settings, 1.0) == 32
    assert batch_size(settings, 20.0) == 100
    assert batch_size(settings, 10_000.0) == 512
    assert batch_size(VectorizeSettings(batch_chunks=8), 10_000.0) == 8
    assert batch_size(VectorizeSettings(batch_chunks=8), 1.0) == 8
