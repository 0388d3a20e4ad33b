"""Outlines: what is packed comes back, and damage is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import CatalogDamaged, Chunk, Symbol, pack_outline
from storage.outlines import signatures_in, symbols_in, unpack_outline

texts = st.text(max_size=12)
lines = st.integers(min_value=1, max_value=2_000_000)
symbols = st.builds(
    Symbol, name=texts, kind=st.sampled_from(["function", "macro"]), start_line=lines, end_line=lines, scope=texts
)
chunks = st.builds(
    Chunk,
    start_byte=st.just(0),
    end_byte=st.just(1),
    start_line=st.just(1),
    end_line=st.just(1),
    signature=texts,
    docstring=texts,
    symbols=st.lists(symbols, max_size=4).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(chunks, max_size=6))
def test_signatures_docstrings_and_definitions_come_back_as_they_were(given_chunks: list[Chunk]) -> None:
    outlines = unpack_outline(pack_outline(given_chunks))

    assert [(each.signature, each.docstring, each.symbols) for each in outlines] == [
        (each.signature, each.docstring, each.symbols) for each in given_chunks
    ]


@settings(max_examples=60)
@given(st.lists(chunks, max_size=6), st.lists(st.integers(-1, 7), unique=True))
def test_a_few_chunks_are_picked_out_of_many(given_chunks: list[Chunk], wanted: list[int]) -> None:
    packed = pack_outline(given_chunks)
    there = [number for number in wanted if 0 <= number < len(given_chunks)]

    assert symbols_in(packed, wanted) == {number: given_chunks[number].symbols for number in there}
    assert signatures_in(packed, wanted) == {number: given_chunks[number].signature for number in there}


def test_a_damaged_outline_is_told_as_damage_of_the_catalog() -> None:
    packed = bytearray(pack_outline([Chunk(0, 1, 1, 1, signature="def f()")]))
    packed[-6] ^= 0xFF

    with pytest.raises(CatalogDamaged, match="fsck --repair"):
        unpack_outline(bytes(packed))
    with pytest.raises(CatalogDamaged, match="fsck --repair"):
        signatures_in(bytes(packed), [0])
