"""Searching a small index: what is served, in which order, within which limits."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from indexing.search import BadRequest, SearchRequest, search

if TYPE_CHECKING:
    from tests.indexing.search.conftest import Build

SESSION = '''
class Session:
    """Keeps cookies between requests."""

    def close(self):
        """Close all adapters."""
        self.adapters.clear()


def merge_cookies(jar, cookies):
    """Add cookies to a jar."""
    jar.update(cookies)
'''
ADAPTER = '''
def send_request(request, timeout):
    """Send a prepared request over the wire; the session keeps its cookies."""
    return request.send(timeout)
'''
FILES = {"net/session.py": SESSION, "net/adapter.py": ADAPTER, "README.md": "# Cookies\n\nA session keeps cookies.\n"}


async def test_the_definition_of_a_queried_name_comes_first(world: Build) -> None:
    built = await world({f"use{number}.py": "Session Session Session\n" * 9 for number in range(5)} | FILES)
    (first, *_) = (await built.search("Session")).hits
    assert first.path == "net/session.py"
    assert first.symbol == "Session"
    assert "definition" in first.scores.factors


async def test_words_find_the_parts_of_identifiers_and_other_forms_of_themselves(world: Build) -> None:
    built = await world(FILES)
    assert (await built.paths("merging cookie jars"))[0] == "net/session.py"
    assert (await built.paths("how are requests sent over the wire"))[0] == "net/adapter.py"


async def test_a_hit_tells_where_it_is_and_why_it_was_found(world: Build) -> None:
    built = await world(FILES)
    result = await built.search("merge_cookies")
    hit = result.hits[0].to_json()
    assert json.loads(json.dumps(hit)) == hit
    assert hit["schema"] == 1
    assert hit["repository"] == "repository-1"
    assert hit["root"] == str(built.tree)
    assert hit["snapshot"] == "main"
    assert hit["language"] == "python"
    assert hit["start_line"] <= 10 <= hit["end_line"]
    assert hit["scores"]["legs"]["name"] == {"rank": 1, "score": 1.0}
    assert hit["stale"] is False
    shown = {line["line"]: line for line in hit["snippet"]}
    assert shown[10]["text"].startswith("def merge_cookies")
    begin, end = shown[10]["matches"][0]
    assert shown[10]["text"][begin:end].lower() in {"merge", "merge_cookies"}
    assert result.complete


async def test_text_and_lines_of_a_hit_agree_with_the_file(world: Build) -> None:
    built = await world({"a.py": "\r\n".join(f"def f{number}(): return {number}" for number in range(40)) + "\r\n"})
    lines = (built.tree / "a.py").read_bytes().split(b"\r\n")
    for hit in (await built.search("f17 return")).hits:
        wanted = b"\r\n".join(lines[hit.start_line - 1 : hit.end_line]).decode()
        assert hit.text.rstrip() == wanted.rstrip()
        for line in hit.snippet:
            assert lines[line.number - 1].decode() == line.text


async def test_a_removed_file_is_not_served_though_the_text_index_still_has_it(world: Build) -> None:
    built = await world(FILES)
    assert "net/session.py" in await built.paths("merge_cookies")
    built.remove("net/session.py")
    assert "net/session.py" not in await built.paths("merge_cookies")
    assert "net/session.py" not in await built.paths("session.py")
    assert (await built.symbols("merge_cookies")).definitions == ()


async def test_f096_only_allowed_repositories_are_searched(world: Build) -> None:
    await world({"one.py": "def secret_plan(): pass\n"})
    built = await world({"two.py": "def open_plan(): pass\n"})
    assert await built.paths("plan") == ["two.py"]
    assert await built.paths("one.py secret_plan") == ["two.py"]
    assert await built.paths("secret_plan", repositories=frozenset()) == []
    assert await built.paths("secret_plan", repositories=frozenset({"unknown"})) == []
    both = frozenset({"repository-1", "repository-2"})
    assert sorted(await built.paths("plan", repositories=both)) == ["one.py", "two.py"]
    assert (await built.symbols("secret_plan")).definitions == ()


async def test_a_commit_snapshot_is_invisible_until_it_is_complete(world: Build) -> None:
    built = await world(FILES, kind="commit", complete=False)
    assert await built.paths("merge_cookies") == []
    with closing(sqlite3.connect(built.data / "catalog.db", isolation_level=None)) as connection:
        connection.execute("UPDATE snapshots SET complete = 1")
    hits = (await built.search("merge_cookies")).hits
    assert hits[0].path == "net/session.py"
    assert hits[0].stale is None


async def test_the_same_content_at_several_paths_is_one_hit(world: Build) -> None:
    built = await world({"b/copy.py": SESSION, "a/original.py": SESSION, "c.py": "x = 1\n"})
    (hit,) = [each for each in (await built.search("merge_cookies")).hits if each.symbol == "Session"]
    assert hit.path == "a/original.py"
    assert hit.also_at == ("b/copy.py",)


async def test_a_changed_or_missing_file_is_stale_and_a_touched_one_is_not(world: Build) -> None:
    built = await world(FILES)
    path = built.tree / "net/adapter.py"

    async def stale() -> bool | None:
        return next(hit.stale for hit in (await built.search("send_request")).hits if hit.path == "net/adapter.py")

    assert await stale() is False
    os.utime(path, (1, 1))
    assert await stale() is False
    path.write_text(ADAPTER.replace("wire", "WIRE"))
    assert await stale() is True
    path.unlink()
    assert await stale() is True
    os.mkfifo(path)
    assert await stale() is True
    unchecked = await built.search("send_request", check_disk=False)
    assert {hit.stale for hit in unchecked.hits} == {None}


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        ("*.md", ["README.md"]),
        ("net/**", ["net/adapter.py", "net/session.py"]),
        ("net", ["net/adapter.py", "net/session.py"]),
        ("/net/ses*.py", ["net/session.py"]),
        ("**/adapter.py", ["net/adapter.py"]),
        ("nothing/**", []),
    ],
)
async def test_path_filters_apply_before_the_cut(world: Build, glob: str, wanted: list[str]) -> None:
    crowd = {f"crowd/{number}.py": "session cookies " * 30 + "\n" for number in range(30)}
    built = await world(FILES | crowd)
    assert sorted(await built.paths("session cookies request", k=3, path_globs=(glob,))) == wanted


async def test_path_filters_too_wide_to_be_listed_give_the_same(world: Build) -> None:
    built = await world(FILES)
    listed = await built.paths("session cookies", path_globs=("net/**",))
    assert await built.paths("session cookies", path_globs=("net/**",), max_allowed_ids=0) == listed


async def test_a_file_gives_as_many_hits_as_the_request_allows(world: Build) -> None:
    functions = "".join(f"def cookie_{number}(jar):\n" + "    jar.eat(cookie)\n" * 60 + "\n" for number in range(6))
    built = await world({"jar.py": functions})
    assert len(await built.paths("cookie jar")) == 3
    assert len(await built.paths("cookie jar", max_hits_per_file=5)) == 5
    with pytest.raises(BadRequest, match="max_hits_per_file is 0"):
        await built.paths("cookie jar", max_hits_per_file=0)


async def test_a_path_filter_shows_the_path_that_it_accepts(world: Build) -> None:
    built = await world({"a/original.py": SESSION, "b/copy.py": SESSION})
    (hit, *_) = (await built.search("merge_cookies", path_globs=("b/**",))).hits
    assert (hit.path, hit.also_at) == ("b/copy.py", ())


async def test_language_filters_apply_to_every_leg(world: Build) -> None:
    built = await world(FILES)
    assert await built.paths("session cookies readme", languages=("markdown",)) == ["README.md"]
    assert "README.md" not in await built.paths("session cookies readme", languages=("python",))


async def test_legs_widen_until_the_page_is_full(world: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexing.search.engine.FIRST_LIMIT", 4)
    crowd = {f"gone/{number}.py": f"cookies cookies cookies {number}\n" for number in range(40)}
    built = await world(crowd | {f"kept/{number}.py": f"cookies and other things {number}\n" for number in range(3)})
    for path in crowd:
        built.remove(path)
    result = await built.search("cookies", k=3)
    assert sorted(hit.path for hit in result.hits) == ["kept/0.py", "kept/1.py", "kept/2.py"]
    assert result.complete


async def test_a_search_that_reaches_its_bound_says_that_it_is_not_complete(
    world: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.search.engine.FIRST_LIMIT", 4)
    monkeypatch.setattr("indexing.search.engine.LAST_LIMIT", 8)
    crowd = {f"gone/{number}.py": f"cookies {'cookies ' * (number % 9)}{number}\n" for number in range(60)}
    built = await world(crowd | {"kept.py": "cookies " + "other " * 60 + "\n"})
    for path in crowd:
        built.remove(path)
    assert not (await built.search("cookies", k=1)).complete


async def test_tests_come_after_code_unless_they_are_asked_for(world: Build) -> None:
    code = "def parse_header(line):\n    return line.split(':')\n"
    test = "def test_parse_header():\n    assert parse_header('a:b') == parse_header('a:b')\n"
    built = await world({"src/header.py": code, "tests/test_header.py": test})
    assert (await built.paths("how is a header parsed"))[0] == "src/header.py"
    assert (await built.paths("tests of header parsing"))[0] == "tests/test_header.py"


async def test_words_of_a_path_find_a_file_that_does_not_hold_them(world: Build) -> None:
    built = await world(FILES | {"billing/invoice_store.py": "def load(): pass\n"})
    assert "billing/invoice_store.py" in await built.paths("invoice")
    assert (await built.paths("net/adapter.py"))[0] == "net/adapter.py"


async def test_at_most_three_hits_come_from_one_file(world: Build) -> None:
    long = "\n\n".join(
        f"def cookie_{n}():\n" + "\n".join(f"    cookie = {n}{m}  # {'x' * 60}" for m in range(40)) for n in range(9)
    )
    built = await world({"long.py": long, "b.py": "cookie = 1\n", "c.py": "cookie = 2\n"})
    paths = await built.paths("cookie", k=10)
    assert paths.count("long.py") <= 3
    assert {"b.py", "c.py"} <= set(paths)


async def test_order_and_scores_do_not_depend_on_the_order_of_indexing(world: Build) -> None:
    files = {f"dir{number % 3}/file{number}.py": "cookies in a session\n" * (1 + number % 2) for number in range(12)}
    first = await world(files)
    second = await world(dict(reversed(files.items())))
    for query in ("session cookies", "file3", "dir1 cookies"):
        one, other = await first.search(query, k=12), await second.search(query, k=12)
        assert [(hit.path, hit.scores.factors) for hit in one.hits] == [
            (hit.path, hit.scores.factors) for hit in other.hits
        ]


async def test_f066_a_name_that_is_not_utf8_is_shown_and_can_be_addressed(world: Build) -> None:
    built = await world({b"caf\xe9/\x1b[31m.py": "def espresso(): pass\n"})
    (hit,) = (await built.search("espresso")).hits
    assert hit.path == "caf\\xe9/\\x1b[31m.py"
    assert base64.b64decode(hit.path_b64 or "") == b"caf\xe9/\x1b[31m.py"
    assert hit.stale is False


@pytest.mark.parametrize(
    "hostile",
    ['"', "NEAR(a b)", "*", "a OR b", "'; DROP TABLE entries; --", "\0", "((((", "{words}: x", "\ud800", "?" * 500],
)
async def test_f083_no_text_in_any_field_is_read_as_syntax(world: Build, hostile: str) -> None:
    built = await world(FILES)
    result = await built.search(hostile, languages=(hostile,))
    assert result.hits == ()
    await built.search(hostile)
    await built.search("cookies", repositories=frozenset({hostile}))
    assert (await built.paths("merge_cookies"))[0] == "net/session.py"


@pytest.mark.parametrize(
    ("field", "value"),
    [("query", ""), ("query", " \n"), ("query", "x" * 10_001), ("k", 0), ("k", 201), ("k", 10**9), ("snippet_lines", 0),
     ("path_globs", ("*",) * 101), ("languages", ("c",) * 101)],
)  # fmt: skip
def test_f094_requests_beyond_the_limits_are_refused(field: str, value: object) -> None:
    values: dict[str, Any] = {"query": "x", "repositories": frozenset({"r"}), field: value}
    with pytest.raises(BadRequest):
        SearchRequest(**values)


@pytest.mark.parametrize("glob", ["", "/", "[", "a\0b", "x" * 1_001])
async def test_a_path_filter_that_can_match_nothing_is_refused(world: Build, glob: str) -> None:
    built = await world(FILES)
    with pytest.raises(BadRequest, match="path filter"):
        await search(
            SearchRequest("x", frozenset({built.uuid}), path_globs=(glob,)), catalog=built.reader, text_index=built.text
        )
