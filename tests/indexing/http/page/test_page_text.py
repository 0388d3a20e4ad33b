"""The page's pure functions, in the browser's own JavaScript: odd characters, marks, addresses, links, rates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.indexing.http.page.browsing import Daemon

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OVERRIDE = "\u202e"


class Module:
    """Calls functions of the page's modules."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __call__(self, file: str, name: str, *arguments: object) -> Any:
        script = "async ([file, name, given]) => (await import(`/static/${file}`))[name](...given)"
        return self._page.evaluate(script, [file, name, list(arguments)])

    def run(self, script: str, argument: object) -> Any:
        return self._page.evaluate(script, argument)


@pytest.fixture(scope="module")
def module(browser: Browser, daemon: Daemon) -> Iterator[Module]:
    page = browser.new_page()
    page.goto(daemon.url)
    yield Module(page)
    page.close()


def test_f097_what_does_not_print_is_shown_by_its_number(module: Module) -> None:
    shown = module("visible.js", "shownText", f"a{OVERRIDE}b\0\x1b[31m\u200b\ufeff\u2066\U000e0041é\t日本")
    marked = ["U+202E", "␀", "␛", "U+200B", "U+FEFF", "U+2066", "U+E0041"]
    assert re.findall("\u2039(.+?)\u203a", shown) == marked
    assert re.sub("\u2039.+?\u203a", "", shown) == "ab[31mé\t日本"


def test_plain_text_stays_as_it_is(module: Module) -> None:
    text = "if (a < b && c > d) { return '🙂 ünï'; }"
    assert module("visible.js", "pieces", text) == [{"text": text, "odd": False}]


def test_marks_are_counted_in_characters_not_in_utf16_units(module: Module) -> None:
    found = module("visible.js", "segments", "🙂🙂 needle x", [[3, 9]])
    assert found == [
        {"text": "🙂🙂 ", "marked": False},
        {"text": "needle", "marked": True},
        {"text": " x", "marked": False},
    ]


def test_marks_may_overlap_or_come_in_any_order(module: Module) -> None:
    found = module("visible.js", "segments", "abcdef", [[4, 5], [0, 3], [1, 2], [2, 4]])
    assert "".join(each["text"] for each in found) == "abcdef"
    assert [each["text"] for each in found if not each["marked"]] == ["f"]


def test_a_question_and_its_address_are_the_same_thing(module: Module) -> None:
    question = {
        "query": "a b&c=#?",
        "repositories": ["u1", "u2"],
        "languages": ["c++"],
        "paths": ["src/**", "*.{a,b}"],
        "mode": "text",
        "consistency": "fresh",
        "k": 40,
    }
    script = """async (question) => {
        const { paramsOf, fragmentOf, placeOf, questionOf } = await import("/static/address.js");
        return questionOf(placeOf(fragmentOf("search", paramsOf(question))).params);
    }"""
    assert module.run(script, question) == question


@pytest.mark.parametrize("fragment", ["", "#", "#/nowhere?q=x", "#/search?k=9999&mode=evil&consistency=", "#/search?%"])
def test_any_fragment_is_a_place(module: Module, fragment: str) -> None:
    assert module("address.js", "placeOf", fragment)["view"] == "search"


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("vscode://file{path}:{line}", "vscode://file/a%20b/%23c/d.py:7"),
        ("idea://open?file={path}&line={line}", "idea://open?file=/a%20b/%23c/d.py&line=7"),
        ("javascript://{path}%0aalert(1)", ""),
        ("JavaScript:{path}", ""),
        ("data:text/html,{path}", ""),
        ("no scheme {path}", ""),
        ("editor://open", ""),
    ],
)
def test_editor_links_name_file_and_line_and_never_run(module: Module, template: str, link: str) -> None:
    assert module("editor.js", "editorLink", template, "/a b/#c/d.py", 7) == link


def test_a_path_that_looks_like_a_replacement_pattern_is_taken_literally(module: Module) -> None:
    assert module("editor.js", "editorLink", "e://{path}", "/$&$1.py", 1) == "e:///%24%26%241.py"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.83, "0.8 s"), (59, "59 s"), (65, "1 min 5 s"), (7440, "2 h 4 min"), (90000, "1 d 1 h")]
)
def test_durations_are_said_in_words(module: Module, seconds: float, text: str) -> None:
    assert module("format.js", "duration", seconds) == text


def test_the_highest_rate_is_at_the_top_of_the_chart(module: Module) -> None:
    assert module("chart.js", "linePoints", [0, 10, 5], 100, 80) == "0.0,78.0 50.0,4.0 100.0,41.0"


def test_files_found_so_far_are_no_end_of_a_bar(module: Module) -> None:
    progress = {"read": 5, "to_read": 10, "scanned": False, "searchable_chunks": 3, "chunks": 4}
    bars = module("job.js", "barsOf", {"progress": progress, "vectors": None})
    assert bars == [["Files read", 5, 10, False], ["Searchable chunks", 3, 4, False]]
