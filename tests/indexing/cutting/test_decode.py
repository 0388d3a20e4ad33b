"""Decoding: byte order marks, encodings, damage, notebooks."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.cutting import cut, extract
from storage import Section


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\n\n\r\n", codecs.BOM_UTF8 + b"\n \n"])
@pytest.mark.parametrize("language", ["python", "markdown", "jupyter", "text"])
def test_f048_nothing_but_marks_and_newlines_has_no_chunks(data: bytes, language: str) -> None:
    extracted = extract(data, language)
    assert cut(extracted.text, language, extracted.sections).chunks == ()
    assert not extracted.replaced


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-8"),
    ],
)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: "a" + text))
@settings(max_examples=20, deadline=None)
def test_f052_a_marked_text_decodes_to_itself_without_its_mark(bom: bytes, encoding: str, text: str) -> None:
    if not bom and "\0" in text:
        return
    extracted = extract(bom + text.encode(encoding), "text")
    assert (extracted.text.decode(), extracted.encoding, extracted.replaced) == (text, encoding, False)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_f052_utf16_without_a_mark_is_recognized(encoding: str) -> None:
    text = 'int main(void) { return 0; } /* "\u00fc" */\r\n' * 5
    extracted = extract(text.encode(encoding), "c")
    assert (extracted.text.decode(), extracted.encoding) == (text, encoding)


def test_f052_latin1_comments_keep_their_letters_and_lines() -> None:
    text = "/* Andr\u00e9 M\u00fcller, \u00a9 2001 */\r\nint a;\rint b;\n" + "int c;\n" * 50
    extracted = extract(text.encode("latin-1"), "c")
    assert (extracted.text.decode(), extracted.replaced) == (text, False)
    chunks = cut(extracted.text, "c").chunks
    assert (chunks[0].start_line, chunks[-1].end_line) == (1, 53)


RUSSIAN = (
    "# \u042d\u0442\u043e \u0444\u0443\u043d\u043a\u0446\u0438\u044f \u0441\u0447\u0438\u0442\u0430\u0435\u0442 "
    "\u0441\u0443\u043c\u043c\u0443 \u0447\u0438\u0441\u0435\u043b\n"
)
JAPANESE = (
    "// \u3053\u308c\u306f\u30c6\u30b9\u30c8\u3067\u3059\u3002"
    "\u95a2\u6570\u3092\u547c\u3073\u51fa\u3057\u307e\u3059\u3002\n"
)


@pytest.mark.parametrize(("encoding", "text"), [("cp1251", RUSSIAN), ("shift_jis", JAPANESE)])
def test_f052_other_old_encodings_are_detected(encoding: str, text: str) -> None:
    extracted = extract((text * 5).encode(encoding), "text")
    assert (extracted.text.decode(), extracted.replaced) == (text * 5, False)


def test_f052_damaged_utf8_is_replaced_and_flagged() -> None:
    extracted = extract("\u4e16\u754c ".encode() * 20 + b"\xff\xfe broken", "text")
    assert extracted.replaced
    assert "\ufffd" in extracted.text.decode()
    assert extracted.encoding == "utf-8"


def test_f051_bytes_without_any_encoding_still_give_text() -> None:
    data = bytes(range(256)) * 20
    assert extract(data, "text").text.decode()


def test_newlines_are_kept_as_they_are() -> None:
    data = b"a\r\nb\rc\nd\x0ce"
    assert extract(data, "text").text == data


def notebook(*cells: object, **more: object) -> bytes:
    return json.dumps({"cells": list(cells), "nbformat": 4, **more}).encode()


def test_a_notebook_becomes_the_sources_of_its_cells() -> None:
    data = notebook(
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "", "outputs": []},
        {"cell_type": "code", "source": "x = 1\r\ny = 2\n", "outputs": [{"text": "secret output"}]},
        {"cell_type": "code", "source": "z"},
    )
    extracted = extract(data, "jupyter")
    assert extracted.text == b"# Title\ntext\n\nx = 1\r\ny = 2\n\nz\n"
    assert extracted.sections == (Section("cell 1", 1), Section("cell 3", 4), Section("cell 4", 7))
    chunks = cut(extracted.text, "jupyter", extracted.sections).chunks
    assert [(chunk.start_line, chunk.end_line) for chunk in chunks] == [(1, 3), (4, 6), (7, 7)]


def test_an_old_notebook_keeps_its_cells_in_worksheets() -> None:
    data = json.dumps(
        {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a\n", "b"]}]}], "nbformat": 3}
    ).encode()
    assert extract(data, "jupyter").text == b"a\nb\n"


def test_a_cell_over_the_bound_is_split() -> None:
    extracted = extract(notebook({"source": "word word\n" * 400}, {"source": "b"}), "jupyter")
    chunks = cut(extracted.text, "jupyter", extracted.sections).chunks
    assert len(chunks) > 2
    assert chunks[-1].start_line == extracted.sections[1].start_line


def test_a_lone_surrogate_in_a_notebook_is_replaced_and_flagged() -> None:
    extracted = extract(b'{"cells": [{"source": "a\\ud800b"}]}', "jupyter")
    assert (extracted.text, extracted.replaced) == (b"a?b\n", True)


@pytest.mark.parametrize(
    "data",
    [b"{", b"[1]", b"null", b'{"cells": 3}', b'{"cells": [1, {"source": 5}]}', b"[" * 100_000, notebook()],
)
def test_a_damaged_notebook_stays_the_json_that_it_is(data: bytes) -> None:
    extracted = extract(data, "jupyter")
    assert (extracted.text, extracted.sections) == (data, ())
    assert cut(extracted.text, "jupyter", extracted.sections).chunks
