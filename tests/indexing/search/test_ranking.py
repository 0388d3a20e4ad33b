"""The pure parts of the search: query analysis, fusion, ranking, snippets, path filters."""

from __future__ import annotations

import re
from random import Random
from typing import NamedTuple
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.search.english import STOP_WORDS, variants
from indexing.search.errors import BadRequest
from indexing.search.factors import FACTORS, definition_factor, place_factors
from indexing.search.fuse import Leg, fuse
from indexing.search.globs import path_filter
from indexing.search.join import Shown
from indexing.search.legs import path_score, promising
from indexing.search.parts import identifier_parts
from indexing.search.query import QueriedName, Query, analyse
from indexing.search.rank import MAX_MERGED_LINES, MERGED_SHARE, Evidence, Ranked, contenders, rank
from indexing.search.records import MAX_HITS_A_FILE, SnippetLine
from indexing.search.snippet import Highlighter
from storage import Definition, FoundChunk, PlaceShown


def place(path: str = "a.py", *, language: str = "python", flags: frozenset[str] = frozenset()) -> PlaceShown:
    return PlaceShown(1, "r", b"/r", "main", True, path.encode(), language, flags)


class Candidate(NamedTuple):
    """A chunk that was found."""

    chunk: FoundChunk
    place: PlaceShown
    fusion: float


def candidate(
    number: int, path: str = "a.py", *, fusion: float = 1.0, line: int | None = None, symbol: str = ""
) -> Candidate:
    start = number * 100 if line is None else line
    chunk = FoundChunk(number, crc32(path.encode()), start * 10, start * 10 + 90, start, start + 8, symbol, "", "")
    return Candidate(chunk, place(path), fusion)


def ranked(found: list[Candidate], query: Query, limit: int, *, all_contend: bool = False) -> list[Ranked]:
    """The page of some chunks; with ``all_contend`` none is left out before its row is looked at."""
    chunks = {each.chunk.chunk_id: each.chunk for each in found}
    shown = Shown(
        {number: chunk.cut_id for number, chunk in chunks.items()}, {each.chunk.cut_id: (each.place,) for each in found}
    )
    evidence = Evidence({each.chunk.chunk_id: each.fusion for each in found})
    return rank(contenders(evidence, shown, query, 10**6 if all_contend else limit), chunks, query, limit)


class TestQuery:
    def test_stop_words_are_dropped_unless_nothing_else_is_there(self) -> None:
        assert "how" not in analyse("how are files parsed").words
        assert "how" in analyse("how").words

    def test_compound_identifiers_give_their_parts_but_stop_words_and_themselves(self) -> None:
        query = analyse("where is getUserName or user_id used")
        assert {"user", "name", "id"} <= set(query.words)
        assert "get" not in query.words
        assert query.compounds == ("getusername", "user_id")
        assert [name.name for name in query.names] == ["getUserName", "user_id"]

    @pytest.mark.parametrize("text", ["std.mem.span", "std::mem::span", "std#mem#span"])
    def test_qualified_names_keep_their_scope(self, text: str) -> None:
        assert analyse(text).names == (QueriedName("span", ("std", "mem")),)

    def test_a_single_word_is_a_name_whatever_it_looks_like(self) -> None:
        assert analyse("view").only_name
        assert analyse("view").names == (QueriedName("view"),)
        assert not analyse("the view").names

    @pytest.mark.parametrize("text", ["src/app/main.py", "main.py", "where is lib/utils.js used"])
    def test_paths_are_no_names(self, text: str) -> None:
        query = analyse(text)
        assert query.paths
        assert not query.names

    def test_adjacent_words_may_be_one_name(self) -> None:
        assert "backgroundtasks" in analyse("running background tasks").joined

    def test_the_words_of_a_pasted_page_are_bounded(self) -> None:
        assert len(analyse(" ".join(f"word{'x' * (n % 90)}{chr(97 + n % 26)}" for n in range(2_000))).words) < 1_000

    @settings(max_examples=50)
    @given(st.text(max_size=200))
    def test_any_text_can_be_taken_apart(self, text: str) -> None:
        query = analyse(text)
        assert all(weight > 0 for weight in query.words.values())
        assert analyse(text) == query


class TestEnglish:
    @pytest.mark.parametrize(
        ("word", "other"),
        [
            ("route", "routing"), ("routing", "route"), ("routes", "router"), ("validates", "validation"),
            ("validation", "validate"), ("serialization", "serialize"), ("composition", "compose"),
            ("stopped", "stop"), ("dependency", "dependencies"), ("libraries", "library"), ("handled", "handler"),
            ("context", "ctx"), ("ctx", "context"), ("utilities", "utils"), ("class", "classes"),
        ],
    )  # fmt: skip
    def test_other_forms_of_a_word_are_known(self, word: str, other: str) -> None:
        assert other in variants(word)

    def test_a_word_is_no_variant_of_itself_and_counts_more(self) -> None:
        for word in ("parse", "parsing", "request", "s", "is", *STOP_WORDS):
            assert word not in variants(word)
            assert all(0 < weight < 1 for weight in variants(word).values())


class TestFusion:
    def test_scores_are_those_of_the_paper(self) -> None:
        fused = fuse([Leg("a", {1: 9.0, 2: 5.0}), Leg("b", {2: 1.0}, weight=0.5)])
        assert fused.scores == pytest.approx({1: 1 / 61, 2: 1 / 62 + 0.5 / 61})
        assert fused.places(2) == {"a": (2, 5.0), "b": (1, 1.0)}
        assert fused.places(1).keys() == {"a"}

    def test_equal_scores_share_a_rank(self) -> None:
        fused = fuse([Leg("a", {1: 9.0, 2: 5.0, 3: 5.0, 4: 1.0})])
        assert [fused.places(number)["a"].rank for number in (1, 2, 3, 4)] == [1, 2, 2, 4]

    @settings(max_examples=30)
    @given(st.dictionaries(st.integers(0, 50), st.integers(0, 5).map(float), max_size=30), st.randoms())
    def test_the_order_in_which_a_leg_lists_its_hits_does_not_matter(
        self, scores: dict[int, float], random: Random
    ) -> None:
        items = list(scores.items())
        random.shuffle(items)
        one, other = fuse([Leg("a", scores)]), fuse([Leg("a", dict(items))])
        assert one.scores == other.scores


class TestRank:
    def test_the_order_is_by_score_then_repository_path_and_line(self) -> None:
        found = ranked([candidate(3, "b.py"), candidate(1, "c.py"), candidate(2, "a.py")], analyse("x y"), 10)
        assert [each.place.path for each in found] == [b"a.py", b"b.py", b"c.py"]

    def test_a_file_gives_few_hits_and_the_later_ones_count_less(self) -> None:
        found = ranked([candidate(number) for number in range(1, 9)], analyse("x y"), 10)
        assert len(found) == MAX_HITS_A_FILE
        assert [each.factors.get("repeat", 1.0) for each in found] == [1.0, 0.5, 0.25]

    def test_adjacent_ranges_become_one_hit_up_to_a_length(self) -> None:
        def chunk(number: int, lines: int) -> Candidate:
            first = 1 + (number - 1) * lines
            row = FoundChunk(number, 1, number * 100, number * 100 + 100, first, first + lines - 1, "", "", "")
            return Candidate(row, place(), 1.0 / number)

        (merged,) = ranked([chunk(1, 10), chunk(2, 10)], analyse("x y"), 10)
        assert (merged.start_line, merged.end_line, merged.start_byte, merged.end_byte) == (1, 20, 100, 300)
        assert merged.chunk_id == merged.chunk.chunk_id == 1
        assert len(ranked([chunk(1, MAX_MERGED_LINES), chunk(2, MAX_MERGED_LINES)], analyse("x y"), 10)) == 2

    def test_several_good_chunks_lift_their_file(self) -> None:
        crowd = [candidate(number, "many.py", fusion=0.9) for number in range(1, 5)]
        found = ranked([candidate(9, "one.py", fusion=1.0), *crowd], analyse("x y"), 10)
        assert found[0].place.path == b"many.py"

    def test_a_definition_counts_more_in_the_case_that_was_asked_for(self) -> None:
        exact, other = (Definition(1, name, "class", "", 1, 2) for name in ("Session", "session"))
        query = analyse("Session")
        assert definition_factor([exact], query) > definition_factor([other], query) > definition_factor([], query)

    def test_a_qualified_name_prefers_its_scope(self) -> None:
        within, without = (Definition(1, "close", "method", scope, 1, 2) for scope in ("net.Session", "File"))
        query = analyse("Session.close")
        assert definition_factor([within], query) > definition_factor([without], query)

    def test_what_is_seldom_wanted_counts_less_unless_asked_for(self) -> None:
        flags = frozenset({"test", "vendored", "generated"})
        assert set(place_factors(place("examples/a.md", language="markdown", flags=flags))) == {
            "test", "vendored", "generated", "aside", "prose",
        }  # fmt: skip
        assert "test" not in place_factors(place(flags=frozenset({"test"})), analyse("tests of it"))
        assert place_factors(place("src/example.py")) == {}

    @settings(max_examples=60)
    @given(st.integers(0, 10_000), st.integers(1, 6))
    def test_a_short_page_is_the_beginning_of_a_long_one(self, seed: int, limit: int) -> None:
        found = self.some(Random(seed))
        assert ranked(found, analyse("x y"), limit) == ranked(found, analyse("x y"), 1_000)[:limit]

    @settings(max_examples=60)
    @given(st.integers(0, 10_000), st.integers(1, 9))
    def test_what_does_not_contend_would_change_nothing(self, seed: int, limit: int) -> None:
        found, query = self.some(Random(seed)), analyse("open file")
        assert ranked(found, query, limit) == ranked(found, query, limit, all_contend=True)

    def test_most_of_what_is_far_worse_does_not_contend(self) -> None:
        found = [candidate(number, f"{number}.py", fusion=1.0 / number) for number in range(1, 101)]
        shown = Shown({n: n for n in range(1, 101)}, {n: (each.place,) for n, each in enumerate(found, 1)})
        evidence = Evidence({each.chunk.chunk_id: each.fusion for each in found})
        contending = contenders(evidence, shown, analyse("x y"), 10)
        assert [each.chunk_id for each in contending[:10]] == list(range(1, 11))
        assert len(contending) <= 10 * (1 + FACTORS.symbol_words) / MERGED_SHARE * (1 + FACTORS.coherence)

    @staticmethod
    def some(random: Random) -> list[Candidate]:
        return [
            candidate(
                number,
                f"{random.randint(1, 6)}.py",
                fusion=random.random() ** 2,
                line=random.randint(1, 30) * 5,
                symbol=random.choice(["", "", "open_file", "close"]),
            )
            for number in range(40)
        ]

    def test_nothing_gives_nothing(self) -> None:
        assert ranked([], analyse("x"), 10) == []


class TestPathScore:
    def test_words_in_the_name_count_more_than_in_directories(self) -> None:
        assert path_score(b"lib/user.py", {"user": 2.0}, ()) > path_score(b"user/lib.py", {"user": 2.0}, ())

    def test_a_name_made_of_the_words_alone_counts_most(self) -> None:
        rarity = {"user": 2.0, "store": 1.0}
        assert path_score(b"userStore.py", rarity, ()) > path_score(b"userStoreFactoryTest.py", rarity, ())

    def test_a_queried_path_counts_before_everything(self) -> None:
        asked = ("lib/a.py",)
        assert path_score(b"x/lib/a.py", {"lib": 1.0}, asked) > path_score(b"lib/lib.py", {"lib": 1.0}, asked)
        assert path_score(b"x/glib/a.py", {"lib": 1.0}, asked) < 1

    def test_files_that_are_equally_promising_stay_together(self) -> None:
        best = dict.fromkeys(range(500), 2.0)
        assert set(promising(best | {1_000: 1.0})) == set(best)
        few = dict.fromkeys(range(10), 3.0)
        assert set(promising(few | dict.fromkeys(range(100, 1_000), 1.0))) == set(few)
        assert promising({}) == []


def snippet_of(words: dict[str, float], text: str, start_line: int, limit: int) -> tuple[SnippetLine, ...]:
    (shown,) = Highlighter(words).snippets([(text, start_line)], limit)
    return shown


class TestSnippet:
    def test_pieces_do_not_change_each_others_snippets(self) -> None:
        words = {"open": 1.0, "file": 0.5}
        pieces = [("a\nopenFile\n", 3), ("", 9), ("none\n" * 9, 1), ("x\n" * 7 + "file open", 40)]
        alone = [snippet_of(words, text, start_line, 2) for text, start_line in pieces]
        assert Highlighter(words).snippets(pieces, 2) == alone

    def test_the_lines_with_most_words_are_shown(self) -> None:
        text = "".join(f"filler {number}\n" for number in range(50)) + "openFile then close\n" + "end\n" * 20
        shown = snippet_of({"open": 1.0, "file": 1.0, "close": 1.0}, text, 101, 5)
        line = next(each for each in shown if each.number == 151)
        assert [line.text[begin:end] for begin, end in line.matches] == ["open", "File", "close"]
        assert len(shown) == 5

    def test_without_a_match_it_begins_at_the_beginning(self) -> None:
        assert [line.number for line in snippet_of({"zzz": 1.0}, "a\nb\nc\n", 7, 2)] == [7, 8]

    def test_lines_break_at_lf_crlf_and_cr_only(self) -> None:
        shown = snippet_of({}, "a\r\nb\rc\u2028d\x0ce\n", 1, 9)
        assert [line.text for line in shown] == ["a", "b", "c\u2028d\x0ce"]

    def test_an_empty_text_has_no_lines(self) -> None:
        assert snippet_of({"a": 1.0}, "", 1, 5) == ()

    @settings(max_examples=50)
    @given(st.text(max_size=300), st.integers(1, 10))
    def test_matches_lie_within_their_lines(self, text: str, limit: int) -> None:
        for line in snippet_of({"a": 1.0, "b": 0.5}, text, 1, limit):
            for begin, end in line.matches:
                assert 0 <= begin < end <= len(line.text)

    @settings(max_examples=200)
    @given(st.text(alphabet="abAB_ \n.$\u0130\u00e9\u03a32", max_size=60))
    def test_exactly_the_lines_with_a_word_are_marked(self, text: str) -> None:
        words = {"a": 1.0, "ab": 1.0, "$": 1.0, "\u00e9b": 1.0, "2": 1.0}
        for line in snippet_of(words, text, 1, 100):
            names = re.findall(r"\w+", line.text)
            held = [name for name in names if {name.lower(), *identifier_parts(name)} & words.keys()]
            assert bool(line.matches) == bool(held)


class TestPathFilter:
    @pytest.mark.parametrize(
        ("glob", "path", "accepted"),
        [
            ("*.py", b"a/b/c.py", True), ("*.py", b"c.pyc", False), ("src", b"src/x.c", True),
            ("src", b"a/src/x.c", True),
            ("/src", b"a/src/x.c", False), ("src/*.c", b"src/x.c", True), ("src/*.c", b"src/a/x.c", False),
            ("src/**/x.c", b"src/a/b/x.c", True), ("./src/", b"src/x.c", True), ("[ab].c", b"b.c", True),
            ("a?c", b"abc", True), ("caf*", b"caf\xe9", True),
        ],
    )  # fmt: skip
    def test_globs_mean_what_they_mean_in_a_gitignore(self, glob: str, path: bytes, accepted: bool) -> None:
        found = path_filter((glob,))
        assert found is not None
        assert found.accepts(path) is accepted
        assert not accepted or path.startswith(found.prefixes)

    def test_f088_a_hostile_glob_costs_little(self) -> None:
        found = path_filter(("**/" * 30 + "*a" * 60 + "b",))
        assert found is not None
        assert not found.accepts(b"a/" * 100 + b"a" * 200)

    @pytest.mark.parametrize("globs", [("*a" * 10,) * 26, ("a" * 500,) * 21])
    def test_f088_many_globs_are_bounded_together(self, globs: tuple[str, ...]) -> None:
        assert path_filter(globs[:20]) is not None
        with pytest.raises(BadRequest, match="path filters"):
            path_filter(globs)

    def test_any_of_several_globs_may_match(self) -> None:
        found = path_filter(("*.md", "src/a*", "b|c"))
        assert found is not None
        accepted = [b"x/y.md", b"src/ab", b"src/ab/deep.c", b"b|c"]
        assert all(map(found.accepts, accepted))
        assert not any(map(found.accepts, [b"x/y.mdx", b"lib/src/ab", b"b", b"c", b""]))

    def test_without_globs_there_is_no_filter(self) -> None:
        assert path_filter(()) is None
