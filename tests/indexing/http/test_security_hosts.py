"""Which names, origins and paths are taken: the pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.http.hosts import (
    Authority,
    allowed_authorities,
    authority_of,
    is_allowed,
    is_from_elsewhere,
    is_own_origin,
    is_plain_path,
)

OURS = Authority("127.0.0.1", 7878)
LOCAL_NAMES = allowed_authorities("127.0.0.1", ())


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:7878", "127.0.0.1", "127.0.0.1:9000", "[::1]:7878", "[0:0::1]", "[::1]"]
)
def test_f078_loopback_names_are_ours_on_any_port(host: str) -> None:
    assert is_allowed(authority_of(host), LOCAL_NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example:7878",
        "localhost@evil.example",
        "localhost:7878@evil.example",
        "localhost:70000",
        "localhost:",
        "localhost:-1",
        "localhost.",
        "localhost, evil.example",
        "localhost evil.example",
        "localhost/",
        "localhost#",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0.0.0.0",  # noqa: S104 - some systems take it for this machine
        "0.0.0.0:7878",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::1",
        "[:::1]",
        "localhost\x00",
        "localhost\n",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_f078_any_other_name_is_not_ours(host: str) -> None:
    assert not is_allowed(authority_of(host), LOCAL_NAMES)


@given(host=st.text(max_size=40))
@settings(max_examples=200)
def test_f078_no_odd_name_is_ours(host: str) -> None:
    if is_allowed(authority_of(host), LOCAL_NAMES):
        assert host.rpartition(":")[0].lower() in {"localhost", "127.0.0.1"} or host.lower().startswith(
            ("localhost", "127.0.0.1", "[")
        )
        assert not set(host) & set("@/\\#? \x00\r\n,")


def test_the_address_it_is_bound_to_and_configured_names_are_ours_wildcards_are_not() -> None:
    allowed = allowed_authorities("192.0.2.7", ["Trove.Example.com", "other.example:8443", "2001:db8::1"])
    for host in ("192.0.2.7:1", "trove.example.com", "trove.example.com:443", "other.example:8443", "[2001:db8:0::1]"):
        assert is_allowed(authority_of(host), allowed), host
    for host in ("other.example", "other.example:443", "192.0.2.8", "sub.trove.example.com"):
        assert not is_allowed(authority_of(host), allowed), host
    for wildcard in ("0.0.0.0", "::", "[::]"):  # noqa: S104 - see above
        assert allowed_authorities(wildcard, ()) == LOCAL_NAMES


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7878", "https://127.0.0.1:7878"])
def test_the_origin_of_the_page_itself_is_ours(origin: str) -> None:
    assert is_own_origin(origin, OURS)


def test_default_ports_count_as_written_behind_a_proxy_that_ends_tls() -> None:
    assert is_own_origin("https://trove.example", Authority("trove.example", None))
    assert is_own_origin("https://trove.example", Authority("trove.example", 443))
    assert is_own_origin("https://trove.example:443", Authority("trove.example", None))
    assert not is_own_origin("https://trove.example:8443", Authority("trove.example", None))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://localhost:7878",
        "http://127.0.0.1",
        "http://127.0.0.1:3000",
        "http://127.0.0.1:7878.evil.example",
        "http://evil.example@127.0.0.1:7878",
        "http://127.0.0.1:7878/",
        "http://127.0.0.1:7878 http://evil.example",
        "file://",
        "chrome-extension://127.0.0.1:7878",
        "HTTP://127.0.0.1:7878x",
        "//127.0.0.1:7878",
        "127.0.0.1:7878",
    ],
)
def test_f078_any_other_origin_is_foreign(origin: str) -> None:
    assert not is_own_origin(origin, OURS)
    assert is_from_elsewhere("GET", {"origin": [origin]}, OURS, is_page=True)


@given(origin=st.text(max_size=40) | st.from_regex(r"https?://[a-z0-9.:@\[\]-]{1,30}", fullmatch=True))
@settings(max_examples=200)
def test_f078_only_our_own_origin_is_ours(origin: str) -> None:
    assert is_own_origin(origin, OURS) == (origin in {"http://127.0.0.1:7878", "https://127.0.0.1:7878"})


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "new-value"])
def test_f078_what_a_browser_says_of_another_site_counts(site: str) -> None:
    link = {"sec-fetch-site": [site], "sec-fetch-mode": ["navigate"], "sec-fetch-dest": ["document"]}
    framed = link | {"sec-fetch-dest": ["iframe"]}
    loaded = {"sec-fetch-site": [site], "sec-fetch-mode": ["no-cors"], "sec-fetch-dest": ["script"]}
    assert not is_from_elsewhere("GET", link, OURS, is_page=True), "a link to the page"
    assert is_from_elsewhere("GET", link, OURS, is_page=False), "a link to the API"
    assert is_from_elsewhere("POST", link, OURS, is_page=True), "a form"
    assert is_from_elsewhere("GET", framed, OURS, is_page=True)
    assert is_from_elsewhere("GET", loaded, OURS, is_page=True)


def test_several_origins_are_foreign_and_no_header_is_no_browser() -> None:
    own = "http://127.0.0.1:7878"
    assert is_from_elsewhere("POST", {"origin": [own, own]}, OURS, is_page=False)
    assert not is_from_elsewhere("POST", {"origin": [own]}, OURS, is_page=False)
    assert not is_from_elsewhere("POST", {}, OURS, is_page=False)
    assert not is_from_elsewhere("POST", {"sec-fetch-site": ["same-origin"]}, OURS, is_page=False)
    assert not is_from_elsewhere("GET", {"sec-fetch-site": ["none"]}, OURS, is_page=False)


@pytest.mark.parametrize("path", ["/", "/jobs/1/events", "/static/app.js", "/a..b", "/...", "/%2e%2e", "/é", "/a b"])
def test_plain_paths_are_taken(path: str) -> None:
    assert is_plain_path(path)


PARTS = st.sampled_from(["..", ".", "", "\x00", "a\x00", "\\", "a\\..\\b", "\n", "\x7f", "jobs", "static", "x.js", "é"])


@given(parts=st.lists(PARTS, max_size=5))
@settings(max_examples=200)
def test_f075_a_path_with_steps_up_nul_or_backslashes_is_not(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    odd = any(part in {"..", "."} or set(part) & set("\x00\\\n\x7f") for part in parts)
    assert is_plain_path(path) == (not odd and "//" not in path)
    assert not is_plain_path(f"jobs{path}"), "not absolute"
