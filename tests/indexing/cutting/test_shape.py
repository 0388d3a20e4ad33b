"""Where chunks begin and end, and what they say about themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from indexing.cutting import FALLBACK_CUTTER, MAX_CHUNK_CHARS, cut, cut_windows, warm

BODY = "".join(f"    value_{number} = compute(value, {number})\n" for number in range(20))


def pieces(source: str, language: str) -> list[str]:
    text = source.encode()
    return [text[chunk.start_byte : chunk.end_byte].decode() for chunk in cut(text, language).chunks]


def test_a_function_keeps_its_comment_decorator_and_docstring() -> None:
    functions = [
        f"# About {name}.\n@wrap({name})\ndef {name}(a):\n    '''Does {name}.'''\n{BODY}\n\n" for name in "fgh"
    ]
    source = "import os\n\n\n" + "".join(functions)
    made = cut(source.encode(), "python").chunks
    found = [piece for piece in pieces(source, "python") if "def " in piece]
    assert [piece.rstrip() for piece in found[1:]] == [function.rstrip() for function in functions[1:]]
    assert [(c.symbol, c.kind, c.signature, c.docstring) for c in made if c.symbol] == [
        (name, "function", f"def {name}(a)", f"Does {name}.") for name in "fgh"
    ]


def test_a_large_class_gives_a_header_and_its_methods() -> None:
    methods = "".join(f"    def m{number}(self):\n{BODY.replace('    ', '        ')}\n" for number in range(4))
    made = cut(f'class Big(Base):\n    """Holds much."""\n\n    size = 1\n\n{methods}'.encode(), "python").chunks
    assert [(c.symbol, c.kind, c.scope) for c in made] == [
        ("Big", "class", ""),
        *[(f"m{number}", "method", "Big") for number in range(4)],
    ]
    assert made[0].signature == "class Big(Base)"
    assert made[0].docstring == "Holds much."


def test_a_long_function_is_split_between_statements_and_all_parts_carry_its_name() -> None:
    made = cut(f"int run(int a)\n{{\n{(BODY.replace(')', ');')) * 6}}}\n".encode(), "c").chunks
    assert len(made) > 2
    assert {(c.symbol, c.kind, c.signature) for c in made} == {("run", "function", "int run(int a)")}
    assert [len(c.symbols) for c in made] == [1] + [0] * (len(made) - 1)


def test_small_neighbours_share_a_chunk() -> None:
    assert len(pieces("".join(f"def f{n}(): return {n}\n\n" for n in range(10)), "python")) == 1


def test_two_long_functions_do_not_share_a_chunk_even_if_both_fit() -> None:
    assert len(pieces("".join(f"def f{n}(a):\n{BODY[:600]}\n\n" for n in range(2)), "python")) == 2


@pytest.mark.parametrize(
    ("language", "source", "docstring"),
    [
        (
            "c",
            "/**\n * run - does it\n * @a: what\n *\n * More.\n */\nint run(int a) { return a; }\n",
            "run - does it @a: what",
        ),
        ("rust", "/// Runs it\n/// twice.\n#[inline]\npub fn run() {}\n", "Runs it twice."),
        ("go", "// Run runs.\nfunc Run() {}\n", "Run runs."),
        ("java", "class A {\n  /** Runs. @see B */\n  @Override\n  void run() {}\n}\n", ""),
        ("javascript", "/** Runs.\n * @param a x\n */\nexport function run(a) {}\n", "Runs."),
        ("ruby", "# Runs\n# well.\ndef run\nend\n", "Runs well."),
        ("haskell", "-- | Runs.\nrun = 1\n", "Runs."),
        ("c", "#ifdef X\nint run(void) { return 1; }\n#endif\n", ""),
        ("python", "def run():\n    return 'no doc'\n", ""),
    ],
)
def test_the_documentation_of_a_definition_is_found(language: str, source: str, docstring: str) -> None:
    assert cut(source.encode(), language).chunks[0].docstring == docstring


def test_markdown_is_cut_at_headings_but_not_inside_fences() -> None:
    words = "word " * 250
    source = f"# One\n\n{words}\n\n```sh\n# comment\n```\n\n## Two `x`\n\n{words}\n\nThree\n=====\n\n{words}\n"
    made = cut(source.encode(), "markdown").chunks
    symbols = [(s.scope, s.name, s.start_line, s.end_line) for c in made for s in c.symbols]
    assert symbols == [("", "One", 1, 11), ("One", "Two x", 9, 11), ("", "Three", 13, 16)]
    assert [c.symbol for c in made] == ["One", "Two x", "Three"]
    assert {c.kind for c in made} == {"section"}


def test_a_long_section_is_split_at_paragraphs() -> None:
    paragraph = "lorem ipsum " * 60 + "\n\n"
    found = pieces("# Title\n\n" + paragraph * 6, "markdown")
    assert len(found) > 2
    assert all(piece.startswith(("# Title", "lorem")) for piece in found)


def test_rst_levels_follow_the_order_of_their_styles() -> None:
    source = "=====\nTitle\n=====\n\nintro\n\nPart\n====\n\ntext\n\nSub\n---\n\nx\n\nOther\n=====\n\ny\n"
    symbols = [(s.scope, s.name) for c in cut(source.encode(), "rst").chunks for s in c.symbols]
    assert symbols == [("", "Title"), ("Title", "Part"), ("Title.Part", "Sub"), ("Title", "Other")]


def test_f050_a_minified_line_of_5_mb_is_cut_in_windows() -> None:
    text = b"function a(b){return b+1};" * 200_000
    made = cut(text, "javascript")
    assert made.cutter == "syntax-2"
    assert not any(chunk.symbols for chunk in made.chunks)
    assert len(made.chunks) < len(text) / (MAX_CHUNK_CHARS - 130)


@pytest.mark.parametrize(
    ("language", "opened", "closed"),
    [("python", b"(\n", b")\n"), ("javascript", b"[\n", b"]\n"), ("c", b"{\n", b"}\n"), ("typescript", b"[\n", b"")],
)
def test_f054_nesting_200_000_deep_costs_no_recursion(language: str, opened: bytes, closed: bytes) -> None:
    text = b"x = " + opened * 200_000 + closed * 200_000
    made = cut(text, language)
    assert sum(chunk.end_byte - chunk.start_byte for chunk in made.chunks) == len(text)


def test_f055_the_fallback_has_a_version_of_its_own() -> None:
    made = cut_windows(b"def f(): pass\n" * 100, "python")
    assert made.cutter == FALLBACK_CUTTER
    assert [(c.start_line, c.end_line) for c in made.chunks] == [(1, 40), (41, 80), (81, 100)]


def test_cutting_twice_gives_the_same() -> None:
    text = (f"def f():\n{BODY}\n" * 5).encode()
    assert cut(text, "python") == cut(text, "python")


def test_importing_the_package_loads_no_grammar() -> None:
    code = "import sys, indexing.cutting; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tree_sitter", "tree_sitter_language_pack", "charset_normalizer"} & set(done.stdout.split())


def test_warm_passes_over_what_has_no_grammar() -> None:
    warm(["python", "cobol", "text"])
