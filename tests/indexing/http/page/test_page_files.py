"""What is served for the page, without a browser: files, types, headers, and that nothing else can be had."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from indexing.http.security import unguarded_routes
from indexing.http.static import PAGE_POLICY, TYPES, is_current, mount_page, page_files
from tests.indexing.http.page.browsing import Daemon


def fetched(url: str, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


class Tags(HTMLParser):
    """Collects what the page refers to, and what is written into it that should be a file."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value for name, value in attrs if name in {"src", "href"} and value]
        self.inline += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.inline += ["<style>"] if tag == "style" else []
        self.ids += [value for name, value in attrs if name == "id" and value]
        self._script = tag == "script" and "src" not in given

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


def test_the_page_and_its_files_are_public_and_typed(daemon: Daemon) -> None:
    answer, body = fetched(daemon.url, "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert body == page_files()["index.html"].content
    for name, file in page_files().items():
        answer, body = fetched(daemon.url, f"/static/{name}")
        assert (answer.status, answer.headers["Content-Type"], body) == (200, file.media_type, file.content)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_strict_policy_comes_with_the_page(daemon: Daemon) -> None:
    policies = fetched(daemon.url, "/")[0].headers.get_all("Content-Security-Policy")
    assert policies == [PAGE_POLICY]
    assert "unsafe" not in PAGE_POLICY
    assert "http" not in PAGE_POLICY


def test_a_file_that_the_browser_has_is_not_sent_again(daemon: Daemon) -> None:
    etag = fetched(daemon.url, "/static/app.js")[0].headers["ETag"]
    answer, body = fetched(daemon.url, "/static/app.js", **{"If-None-Match": f'"other", W/{etag}'})
    assert (answer.status, body, answer.headers["ETag"]) == (304, b"", etag)
    assert fetched(daemon.url, "/static/app.js", **{"If-None-Match": '"other"'})[0].status == 200


@pytest.mark.parametrize(
    ("sent", "current"), [("", False), ('"a"', True), ('W/"a"', True), ('"b" , "a"', True), ("*", True), ('"b"', False)]
)
def test_etags_are_compared_as_http_says(sent: str, current: bool) -> None:
    assert is_current(sent, '"a"') is current


@pytest.mark.parametrize(
    "path",
    [
        "/static/../static.py",
        "/static/..%2fstatic.py",
        "/static/%2e%2e/static.py",
        "/static/..%5cstatic.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/app.js/",
        "/static/",
        "/static/no-such-file.js",
    ],
)
def test_f075_no_path_leads_out_of_the_page(daemon: Daemon, path: str) -> None:
    answer, body = fetched(daemon.url, path)
    assert answer.status in {400, 401, 404}
    assert b"page_files" not in body
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_everything_the_page_refers_to_is_there_and_nothing_is_inline() -> None:
    tags = Tags()
    tags.feed(page_files()["index.html"].content.decode())
    assert tags.inline == []
    own = {link.removeprefix("/static/") for link in tags.links if link.startswith("/static/")}
    assert own | {"index.html"} == set(page_files())
    assert all(link.startswith(("/static/", "#")) for link in tags.links)
    assert len(tags.ids) == len(set(tags.ids))


def test_modules_import_each_other_by_names_that_exist_and_are_exported() -> None:
    sources = {name: file.content.decode() for name, file in page_files().items() if name.endswith(".js")}
    for name, source in sources.items():
        for names, target in re.findall(r'^import \{([^}]+)\} from "\./([^"]+)";', source, re.MULTILINE):
            for imported in (each.split(" as ")[0].strip() for each in names.split(",")):
                assert re.search(rf"^export .*\b{imported}\b", sources[target], re.MULTILINE), (name, imported)


def test_no_script_makes_markup_from_text() -> None:
    risky = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setHTML|DOMParser")
    assert [name for name, file in page_files().items() if risky.search(file.content.decode())] == []


def test_every_kind_of_file_has_a_type_and_ids_in_scripts_are_in_the_page() -> None:
    page = page_files()["index.html"].content.decode()
    for name, file in page_files().items():
        assert file.media_type in TYPES.values()
        for identifier in re.findall(r'byId\("([^"]+)"\)', file.content.decode()):
            assert f'id="{identifier}"' in page, (name, identifier)


def test_the_routes_are_public_and_undocumented() -> None:
    app = FastAPI(openapi_url=None)
    mount_page(app)
    assert unguarded_routes(app) == []
    assert app.openapi()["paths"] == {}
