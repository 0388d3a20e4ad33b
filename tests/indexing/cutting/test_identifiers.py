"""Parts of identifiers."""

from __future__ import annotations

import pytest

from indexing.cutting import identifier_parts
from indexing.cutting.identifiers import compound_words


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        ("HTTPServer2", "http server 2"),
        ("getHTTPResponseCode", "get http response code"),
        ("snake_case_name", "snake case name"),
        ("_private", "private"),
        ("__init__", "init"),
        ("MAX_CHUNK_CHARS", "max chunk chars"),
        ("kebab-case", "kebab case"),
        ("utf8", "utf 8"),
        ("x86_64", "x 86 64"),
        ("iPhone", "i phone"),
        ("plain", "plain"),
        ("A", "a"),
        ("\u00dcberGr\u00f6\u00dfe", "\u00fcber gr\u00f6\u00dfe"),
        ("na\u00efveHTTPName_2", "na\u00efve http name 2"),
        ("___", ""),
        ("", ""),
    ],
)
def test_an_identifier_falls_into_its_parts(identifier: str, parts: str) -> None:
    assert " ".join(identifier_parts(identifier)) == parts


@pytest.mark.parametrize("extra", ["", " # \u4e16"])
def test_a_chunk_lists_the_parts_of_each_of_its_compound_identifiers_once(extra: str) -> None:
    source = f"getUserName = user_name + plain + getUserName + 0xABCdef + _x{extra}\n"
    assert compound_words(source.encode()) == "get user name user name x"


def test_signs_beyond_ascii_belong_to_no_identifier() -> None:
    assert compound_words("«userName» — über_groß, “plain” №7 x…y_2 ДомСад".encode()) == (
        "user name über groß y 2 дом сад"
    )
