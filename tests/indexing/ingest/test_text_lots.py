"""Changes reach the text index in their order, each once, in lots that are neither small nor long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexing.ingest.text_lots import BYTES_A_LOT, lots_of
from storage import Chunk, Collected, Committed, NewChunks, Place


def added(first: int, count: int, packed: int = 0) -> Committed:
    chunk = Chunk(start_byte=0, end_byte=1, start_line=1, end_line=1)
    new = NewChunks("r", first, "c", first, (chunk,) * count, b"x" * packed, 1000 * count) if count else None
    return Committed(Place(1, b"a%d" % first, None), first, new, changed=True)


@given(st.lists(st.lists(st.integers(0, 450), max_size=20), max_size=8))
def test_each_change_is_in_one_lot_in_order(counts: list[list[int]]) -> None:
    groups = [[added(1000 * a + b, count) for b, count in enumerate(group)] for a, group in enumerate(counts)]
    lots = list(lots_of(groups))
    handed = [change for lot in lots for change in lot.changes]
    assert handed == [each.added for group in groups for each in group if each.added is not None]
    for lot in lots:
        counted = [change.text_size for change in lot.changes if isinstance(change, NewChunks)]
        assert lot.size == sum(counted)
        assert sum(counted[:-1]) < BYTES_A_LOT
    assert all(lot.size >= BYTES_A_LOT for lot in lots[:-1])


def test_what_adds_and_removes_nothing_is_not_handed_in() -> None:
    gone, nothing = Collected((1, 2), 2, more=False), Collected((), 2, more=False)
    assert list(lots_of([None, nothing, [added(1, 0), 7]])) == []
    (lot,) = lots_of([gone, [added(1, 3)]])
    assert (lot.changes[0], lot.size, len(lot.changes)) == (gone, 3002, 2)


def test_what_compresses_badly_counts_for_more() -> None:
    (plain,), (dense,) = lots_of([added(1, 1, packed=200)]), lots_of([added(1, 1, packed=500)])
    assert (plain.size, dense.size) == (1000, 2000)
