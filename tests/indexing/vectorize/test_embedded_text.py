from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.vectorize.embedded_text import MOST_NAME_CHARACTERS, embedded_text


def test_a_top_level_piece_that_names_itself_stays_as_it_is() -> None:
    piece = "def load(path):\n    return path\n"
    assert embedded_text(scope="", symbol="load", piece=piece) == piece


def test_a_method_is_headed_by_its_class() -> None:
    piece = "    def load(self):\n        return 1\n"
    assert embedded_text(scope="Outer.Reader", symbol="load", piece=piece) == f"Outer.Reader.load\n{piece}"


def test_a_piece_that_continues_a_definition_is_headed_by_its_name() -> None:
    piece = "    reloaded = 1\n"
    assert embedded_text(scope="", symbol="load", piece=piece) == f"load\n{piece}"


@pytest.mark.parametrize("piece", ["load_all()", "_load", "preload and reload", "loads", "éload"])
def test_part_of_another_word_is_not_its_name(piece: str) -> None:
    assert embedded_text(scope="", symbol="load", piece=piece) == f"load\n{piece}"


@pytest.mark.parametrize("piece", ["load", "reload; x.load()", "loads load", "«load»"])
def test_its_name_may_stand_anywhere(piece: str) -> None:
    assert embedded_text(scope="", symbol="load", piece=piece) == piece


_LETTERS = st.text(alphabet="ab_ é1.٣ª\n")


@given(name=_LETTERS.filter(bool), piece=_LETTERS)
def test_words_are_those_of_regular_expressions(name: str, piece: str) -> None:
    stands = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", piece) is not None
    assert (embedded_text(scope="", symbol=name, piece=piece) == piece) is stands


def test_a_piece_without_any_definition_stays_as_it_is() -> None:
    assert embedded_text(scope="", symbol="", piece="x = 1\n") == "x = 1\n"


@given(scope=st.text(max_size=400), symbol=st.text(max_size=400), piece=st.text(max_size=40))
def test_the_code_is_always_the_end_and_the_heading_is_short(scope: str, symbol: str, piece: str) -> None:
    text = embedded_text(scope=scope, symbol=symbol, piece=piece)
    assert text.endswith(piece)
    assert len(text) <= len(piece) + MOST_NAME_CHARACTERS + 1
