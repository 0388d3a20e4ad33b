"""What is not parsed changes nothing: the cut of a text of C is the one that parsing all of it leads to."""

from __future__ import annotations

import time
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.cutting import MAX_CHUNK_CHARS, cut
from indexing.cutting.grammars import grammar
from indexing.cutting.skipping import MIN_BYTES, blocks_to_skip, parse
from storage import Cut

STATEMENT = "\tif (state->count > 3 && read_from(state)) {\n\t\treturn -EINVAL;\n\t}\n"
BODY = "\tint i, found = 0;\n\n" + STATEMENT + "\tfor (i = 0; i < 3; i++)\n\t\tfound += i;\n"
LOOP = "\tlist_for_each_entry(each, &all, list) {\n" + "\t\tcall_something(each, 1);\n" * 4 + "\t}\n"
PIECES = (
    "#include <linux/list.h>\n",
    "/* What comes next\n * is documented {\n */\n",
    f"static int short_one(struct state *state)\n{{\n{BODY}\treturn found;\n}}\n\n",
    f"int on_one_line(void) {{\n{BODY}\treturn 1;\n}}\n",
    f"void large(void)\n{{\n{(LOOP + BODY) * 20}}}\n",
    "struct state {\n\tint count;\n\tconst char *name_of_state;\n\tstruct list_head all_states;\n};\n\n",
    "enum level {\n\tLEVEL_LOW,\n\tLEVEL_MEDIUM = 1 << 4,\n\tLEVEL_HIGH,\n\tLEVEL_HIGHEST_OF_ALL,\n};\n",
    "static const struct item items[] = {\n" + '\t{ .name = "one", .size = 1 },\n' * 4 + "};\n",
    "typedef struct {\n\tunsigned long long value_of_it;\n\tunsigned long long size_of_it;\n} pair_t;\n",
    "#define EACH(x) \\\n\tdo { \\\n\t\tuse(x); \\\n\t} while (0)\n",
    f"#ifdef CONFIG_X\nint only_here(void)\n{{\n{BODY}}}\n#endif\n",
    'DEFINE_MUTEX(lock_of_all);\nMODULE_LICENSE("GPL");\n',
    "static u32 values[] = {\n\t\t1, 2, 3, 4, 5, 6, 7, 8, 9, 10,\n\t\t14, 15, 16, 17, 18, 19, 20, 21\n\t\t};\n\n",
)  # fmt: skip
MISTAKES = (
    'MODULE_LICENSE("GPL")\n',
    "static NAMED(one,\n\tsomething, 3\n",
    '{\n\t"part of a table",\n\t.insns = {\n\tONE(R0, 1),\n\tEXIT(),\n\t},\n\t.result = ACCEPT,\n},\n',
    "}\n",
    "{\n",
)
LOST_IF_SKIPPED = {
    "a struct": ("struct inner {\n\t\tint value;\n\t\tint another_value_of_it;\n\t};", "inner"),
    "an enum": ("enum inner { ONE_OF_THEM, ANOTHER_ONE_OF_THEM, THE_LAST_ONE_OF_THEM_ALL };", "inner"),
    "a union on two lines": ("union inner\n\t{\n\t\tint value;\n\t\tlong another_value_of_it;\n\t};", "inner"),
    "a type": ("typedef unsigned long long inner;\n\tinner some_value_that_is_used_later_on = 3;", "inner"),
    "a macro": ("#define INNER(x) ((x) + 1)\n\tint some_value_that_is_used_later_on = INNER(2);", "INNER"),
    "an indented macro": ("  # define INNER(x) ((x) + 1)\n\tint some_value_that_is_used_later_on = 3;", "INNER"),
    "a function": ("int inner(int value) {\n\t\treturn value + 1 + 2 + 3 + 4 + 5 + 6 + 7;\n\t}", "inner"),
    "a function of static": ("static unsigned int *inner(int value)\n\t{\n\t\treturn value + 1 + 2 + 3;\n\t}", "inner"),
}


def whole(text: str) -> Cut:
    """The cut of a text of which everything is parsed."""
    with mock.patch("indexing.cutting.skipping.blocks_to_skip", return_value=[]):
        return cut(text.encode(), "c")


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=10))
def test_a_text_without_mistakes_is_cut_as_if_all_of_it_were_parsed(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert cut(text.encode(), "c") == whole(text)


@pytest.mark.parametrize("piece", [*PIECES, *MISTAKES])
def test_each_kind_of_block_is_cut_as_if_it_were_parsed(piece: str) -> None:
    text = f"int before;\n{piece * 3}int after;\n{PIECES[2]}{piece}{PIECES[3]}"
    assert cut(text.encode(), "c") == whole(text)


def test_the_insides_of_blocks_are_not_parsed() -> None:
    text = "".join(PIECES[2:9]).encode()
    skipped = blocks_to_skip(text)
    assert [text[start:end].lstrip()[:9] for start, end in skipped] == [
        b"int i, fo", b"int i, fo", *[b"call_some"] * 20, b"int count", b"LEVEL_LOW", b"{ .name =", b"unsigned ",
    ]  # fmt: skip
    assert all(end - start >= MIN_BYTES for start, end in skipped)
    root = parse(grammar("c").parser, text, "c").root_node
    (body, *_) = [node for node in root.children[0].children if node.type == "compound_statement"]
    assert [node.type for node in body.children] == ["{", "}"]
    assert text[body.start_byte : body.end_byte].decode() == f"{{\n{BODY}\treturn found;\n}}"


def test_a_parser_reads_whole_texts_again_afterwards() -> None:
    parser = grammar("c").parser
    parse(parser, PIECES[2].encode(), "c")
    assert parser.parse(b"int a;\n" * 1000).root_node.child_count == 1000
    assert parse(parser, PIECES[2].encode(), "cpp").root_node.descendant_count > 50


@pytest.mark.parametrize(("inside", "name"), LOST_IF_SKIPPED.values(), ids=LOST_IF_SKIPPED)
def test_a_block_that_defines_something_is_parsed(inside: str, name: str) -> None:
    text = f"int outer(void)\n{{\n{inside}\n\treturn 1;\n}}\n"
    made = cut(text.encode(), "c")
    assert name in {symbol.name for chunk in made.chunks for symbol in chunk.symbols}
    assert made == whole(text)


@pytest.mark.parametrize("opened", ['extern "C" {\n', 'extern "C"\n{\n', "namespace a\n{\n"])
def test_a_block_of_declarations_is_parsed(opened: str) -> None:
    text = f"{opened}\tint inner(int value) {{\n\t\treturn value + 1 + 2 + 3 + 4 + 5 + 6 + 7;\n\t}}\n}}\n"
    assert blocks_to_skip(text.encode()) == []


def test_a_block_that_does_not_end_where_it_seems_to_is_parsed() -> None:
    for inside in ("\t\t1, 2\n\t\t};\nint inner(void)\n{", '\tprint("{");', "\t/* not\n", "\tx = '}';\n\ty = '{';"):
        text = f"static int outer[] = {{\n{inside}\n{BODY}}}\n"
        assert all(end - start < len(BODY) for start, end in blocks_to_skip(text.encode())), inside


def test_functions_are_found_after_a_mistake_that_empty_blocks_would_be_given_up_for() -> None:
    text = "static SOMETHING(one, (two,\n\tthree;\n" + "".join(
        f"static int function{number}(struct state *state)\n{{\n{BODY}\treturn {number};\n}}\n\n" for number in range(9)
    )
    found = {symbol.name for chunk in cut(text.encode(), "c").chunks for symbol in chunk.symbols}
    assert found >= {f"function{number}" for number in range(2, 9)}
    assert cut(text.encode(), "c") == whole(text)


@pytest.mark.parametrize(
    "text",
    [
        b"{\n" * 300_000,
        b"a(){\n" * 200_000,
        b"x {\n" + b"\t" * 800_000 + b"\n}",
        (b"x {\n" + b"{" * 700 + b"}" * 700 + b"\n}\n") * 600,
        (b"x {\n" + b"struct " * 200 + b"{}\n}\n") * 600,
        b"x {\n" + b"\ta a(" * 300 + b"{}\n}\n",
        (b"x {\n\t" + b"a " * 700 + b"(){}\n}\n") * 500,
        b"x {\n" + (b"\ty {\n" + b"z();\n" * 200 + b"\t}\n") * 600 + b"}\n",
    ],
    ids=["braces", "openers", "tabs", "nested", "structs", "calls", "words", "blocks"],
)
def test_looking_for_blocks_takes_time_in_proportion_to_the_text(text: bytes) -> None:
    began = time.process_time()
    blocks_to_skip(text)
    assert time.process_time() - began < 10.0  # a fifth of a second; if it grew with the square, minutes


def test_a_block_that_is_too_large_is_entered_as_ever() -> None:
    text = PIECES[4]
    assert len(text) > 2 * MAX_CHUNK_CHARS
    assert len(cut(text.encode(), "c").chunks) == len(whole(text).chunks) > 2
