"""Definitions and imports by name, in the small sources under ``samples/``: one file a language.

A sample is the source, then ``=== symbols`` with one ``scope.name/kind`` a line, then ``=== imports`` on one line.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from indexing.cutting import cut

SAMPLES = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "samples").iterdir())
}


def test_many_languages_have_a_sample() -> None:
    assert len(SAMPLES) >= 50


@pytest.mark.parametrize("language", SAMPLES)
def test_every_definition_has_its_name_kind_and_scope_and_imports_are_kept(language: str) -> None:
    source, _, expected = SAMPLES[language].partition("=== symbols\n")
    symbols, _, imports = expected.partition("=== imports\n")
    made = cut(source.encode(), language)
    found = [
        f"{symbol.scope}.{symbol.name}/{symbol.kind}".removeprefix(".")
        for chunk in made.chunks
        for symbol in chunk.symbols
    ]
    assert found == symbols.splitlines()
    assert " ".join(made.imports) == imports.strip()
