"""What holds for every cutter and any text: full cover, the bound, exact lines, boundaries between characters."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexing.cutting import MAX_CHUNK_CHARS, cut, cut_windows, extract
from storage import Cut, Section

PYTHON = '''
import os
# about f
@wrap
def f(a, b):
    """Docs."""
    if a:
        return {"x": [1, 2, 3], "ü": "\u2028"}  # trailing
    return b


class C(Base):
    x = 1

    def m(self):
        return f"{self.x!r} \u00e9\u4e16"
'''
C_CODE = """
/* a comment */
#include <x.h>
#define MAX(a, b) \\
    ((a) > (b) ? (a) : (b))
struct s { int a; char *b; };
static int run(struct s *p)
{
\tfor (int i = 0; i < 3; i++) {
\t\tif (p->a) { p->a++; } else { p->b = "h\u00e4"; }
\t}
\treturn 0;
}
"""
MARKDOWN = "# One\n\ntext\n\n```sh\n# not a heading\n```\n\nTwo\n---\n\n- a\n- b\n\n### Deep \u4e16\n\npara\n"
RST = "Title\n=====\n\ntext::\n\n    code\n\nPart\n----\n\nmore\n"
SEEDS = {
    "python": PYTHON,
    "c": C_CODE,
    "javascript": "export class A { b() { return `${1}`; } }\nconst x = () => ({a: [1,2,3], b: 'ü'});\n",
    "go": "package a\n// F runs.\nfunc F(a int) error {\n\tswitch a { case 1: return nil }\n\treturn nil\n}\n",
    "rust": "/// d\n#[x]\nimpl<T> A<T> { fn b(&self) -> u8 { match self { _ => 1 } } }\n",
    "bash": "f() {\n  cat <<EOF\nhé\nEOF\n}\nf | g\n",
    "html": "<html><body><script>var a = 1;</script><p>ü</p></body></html>\n",
    "markdown": MARKDOWN,
    "rst": RST,
    "text": "some words\nand more\n",
    "jupyter": "cell one\n\ncell two\n",
}

BREAKS = ["\n", "\r", "\r\n", "\u2028", "\x0c", "\x0b", "\x85"]
LONG = ["x" * 400, "w " * 300, "\u4e16" * 900, "\U0001f600" * 50, " " * 40]
SIGNS = [
    "def f():\n",
    "class A:\n",
    "# c\n",
    "{",
    "}",
    "(",
    ")",
    '"',
    "```\n",
    "==\n",
    "    ",
    "#define X\n",
    ";",
    "\\\n",
]
pieces = st.sampled_from([*BREAKS, *LONG, *SIGNS])
texts = st.lists(st.one_of(pieces, st.text(max_size=12)), max_size=60).map("".join)
moderate = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(text: bytes, made: Cut) -> None:
    assert b"".join(text[chunk.start_byte : chunk.end_byte] for chunk in made.chunks) == (text if text.strip() else b"")
    at = 0
    for chunk in made.chunks:
        assert chunk.start_byte == at < chunk.end_byte
        at = chunk.end_byte
        piece = text[chunk.start_byte : chunk.end_byte].decode()  # raises unless cut between characters
        assert sum(character not in " \t\n\r\x0b\x0c" for character in piece) <= MAX_CHUNK_CHARS
        assert chunk.start_line == slow_line(text, chunk.start_byte)
        assert chunk.end_line == slow_line(text, chunk.end_byte - 1)
        for symbol in chunk.symbols:
            assert chunk.start_line <= symbol.start_line <= chunk.end_line
            assert symbol.start_line <= symbol.end_line


def slow_line(text: bytes, offset: int) -> int:
    """Counts the line breaks that end at or before the offset, byte by byte."""
    line = 1
    for at in range(offset):
        if text[at] == 0x0A or (text[at] == 0x0D and text[at + 1 : at + 2] != b"\n"):
            line += 1
    return line


@pytest.mark.parametrize("language", SEEDS)
@given(text=texts)
@settings(moderate, max_examples=15)
def test_f053_any_text_is_covered_once_within_the_bound_and_with_exact_lines(language: str, text: str) -> None:
    data = text.encode()
    check(data, cut(data, language))


@given(text=texts)
@moderate
def test_f055_the_fallback_covers_any_text(text: str) -> None:
    data = text.encode()
    made = cut_windows(data, "python")
    check(data, made)
    assert all(chunk.end_line - chunk.start_line < 40 for chunk in made.chunks)


@given(data=st.binary(max_size=4000))
@moderate
def test_random_bytes_decode_and_cut(data: bytes) -> None:
    text = extract(data, "c").text
    check(text, cut(text, "c"))


@pytest.mark.parametrize("language", SEEDS)
@given(seed=st.integers(0, 10**6), newline=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(moderate, max_examples=12)
def test_f053_mutated_code_keeps_every_byte(language: str, seed: int, newline: str) -> None:
    chance = random.Random(seed)
    code = list(SEEDS[language] * chance.randint(1, 30))
    for _ in range(chance.randint(0, 20)):
        at = chance.randrange(len(code) + 1)
        code[at : at + chance.randint(0, 9)] = chance.choice(
            ["", "{", "}", '"', "\u4e16", "\n\n", "(", "/*", "\x0c", "x" * 2000]
        )
    data = "".join(code).replace("\n", newline).encode()
    check(data, cut(data, language))


@given(text=texts, marks=st.lists(st.integers(1, 80), max_size=6))
@moderate
def test_cells_cover_the_text_wherever_they_start(text: str, marks: list[int]) -> None:
    data = text.encode()
    sections = tuple(Section(f"cell {line}", line) for line in sorted(set(marks)))
    made = cut(data, "jupyter", sections)
    check(data, made)
    starts = {chunk.start_line for chunk in made.chunks}
    last = max((chunk.end_line for chunk in made.chunks), default=0)
    assert all(section.start_line in starts for section in sections if section.start_line <= last)
