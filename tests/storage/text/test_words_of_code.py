"""What is indexed as the words of a text is what a query's words are."""

from __future__ import annotations

import sys

import pytest

from storage.text.layout import analyzer, words_of_code


def words(text: str) -> list[str]:
    return sorted(words_of_code(text.encode()).split())


def test_every_seventh_character_counts_as_the_analyzer_counts_it() -> None:
    characters = [chr(code) for code in range(0x80, sys.maxunicode, 7) if not 0xD800 <= code <= 0xDFFF]
    text = "".join(f"x{character}.Y" for character in characters)
    assert words(text) == sorted(analyzer("word").analyze(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Foo_bar2+BAZ", "baz foo_bar2"),
        ("“Foo_Bar” — ДОМ… и дом", "foo_bar дом дом и"),
        ("ΟΔΟΣ οδός", "οδοσ οδός"),
        ("हिन्दी,भाषा", "भाषा हिन्दी"),
        ("İstanbul\u00a0Straße", "i̇stanbul straße"),
        ("e\u0301tude ١٢٣ Ⅻ", "e\u0301tude ١٢٣ ⅻ"),
    ],
)
def test_words_of_other_scripts_and_signs(text: str, expected: str) -> None:
    assert words(text) == sorted(analyzer("word").analyze(text)) == sorted(expected.split())
