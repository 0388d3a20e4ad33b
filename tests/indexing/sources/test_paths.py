"""Paths are shown safely and unambiguously."""

from __future__ import annotations

import base64
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from indexing.sources import display, path_b64


def test_f066_names_that_are_not_utf8_are_shown_with_their_bytes() -> None:
    assert display(b"caf\xe9.py") == "caf\\xe9.py"
    assert display("café.py".encode()) == "café.py"


def test_f067_line_breaks_escapes_and_bidirectional_controls_do_not_get_through() -> None:
    assert display(b"a\nb\x1b[31m\t\"'") == "a\\nb\\x1b[31m\\t\"'"
    assert display("x\u202egpj.py".encode()) == "x\\u202egpj.py"
    assert display("a\u2028b\u200b\u0085".encode()) == "a\\u2028b\\u200b\\u0085"
    assert display(b"back\\slash") == "back\\\\slash"


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xc2\x85")
@example(b"\x85")
@example(b"\\x85")
@example(b"\xed\xb2\x80")
@example(b"n" * 255)
def test_f067_what_is_shown_prints_on_one_line_and_leads_back_to_the_bytes(path: bytes) -> None:
    shown = display(path)
    assert shown.isprintable()
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for char in shown)
    assert _undo(shown) == path
    assert base64.b64decode(path_b64(path)) == path


def _undo(shown: str) -> bytes:
    def plain(match: re.Match[str]) -> bytes:
        text = match.group()
        if text[0] != "\\":
            return text.encode()
        if text[1] == "x":
            return bytes.fromhex(text[2:])
        if text[1] in "uU":
            return chr(int.from_bytes(bytes.fromhex(text[2:]))).encode()
        return {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}[text[1]]

    pieces = re.finditer(r"\\x..|\\u.{4}|\\U.{8}|\\.|[^\\]", shown)
    return b"".join(plain(match) for match in pieces)
