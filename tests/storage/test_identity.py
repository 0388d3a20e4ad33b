from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import external_id
from storage.identity import cut_key

Identity: TypeAlias = tuple[str, bytes, int, str, str, int, int]

names = st.text(alphabet="ab\0", max_size=4)
identities = st.tuples(
    names, st.binary(max_size=4), st.integers(0, 12), names, names, st.integers(0, 300), st.integers(0, 300)
)


def id_of(identity: Identity) -> bytes:
    repository, sha256, extractor, language, cutter, start, end = identity
    return external_id(cut_key(repository, sha256, extractor, language, cutter), start, end)


@settings(max_examples=300)
@given(identities, identities)
def test_f043_ids_are_equal_exactly_when_every_part_is(one: Identity, other: Identity) -> None:
    assert (id_of(one) == id_of(other)) == (one == other)


@pytest.mark.parametrize("field", range(7))
@given(one=identities, other=identities)
@settings(max_examples=30)
def test_f043_one_part_that_differs_is_enough_for_another_id(field: int, one: Identity, other: Identity) -> None:
    mixed: Any = (*one[:field], other[field], *one[field + 1 :])
    assert (id_of(mixed) == id_of(one)) == (one[field] == other[field])


@settings(max_examples=100)
@given(st.lists(names, min_size=3, max_size=3), st.integers(0, 8), st.integers(0, 8))
def test_f043_moving_a_border_between_two_parts_gives_another_id(parts: list[str], one: int, other: int) -> None:
    """Without their lengths, ('ab', 'c') and ('a', 'bc') would be the same bytes."""
    joined = "".join(parts)

    def cut_at(border: int) -> Identity:
        border = min(border, len(joined))
        return joined[:border], b"", 1, joined[border:], "", 0, 1

    assert (id_of(cut_at(one)) == id_of(cut_at(other))) == (cut_at(one) == cut_at(other))


def test_ids_are_what_the_format_says_on_every_machine() -> None:
    """A change here orphans every stored vector: it needs a new collection, not a new expectation."""
    delimited = b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"repo", b"\x01" * 32, b"1", b"python", b"syntax-1")
    )
    key = blake2b(delimited, digest_size=16).digest()
    span = (0).to_bytes(8, "big") + (10).to_bytes(8, "big")
    expected = key[:8] + blake2b(key + span, digest_size=8).digest()
    assert id_of(("repo", b"\x01" * 32, 1, "python", "syntax-1", 0, 10)) == expected
    assert expected.hex() == "d6a112413cfa9fcb33bbd9b098c933c8"
