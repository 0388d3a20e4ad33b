"""Signing the page in: one-time codes, sessions and their cookie."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexing.http.sessions import CODE_SECONDS, COOKIE, MOST_CODES, MOST_SESSIONS, SESSION_SECONDS, Sessions
from indexing.tokens import LOOK_SECONDS, create_token, revoke_token
from tests.clock import Clock
from tests.indexing.http.guarded import BASE, edge

if TYPE_CHECKING:
    import httpx2


def test_a_code_is_good_once_and_for_five_minutes() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    code = sessions.new_code("id")
    assert len(code) == 43, "32 bytes in base64"
    assert [sessions.redeem(code), sessions.redeem(code)] == ["id", None]
    late = sessions.new_code("id")
    clock.now += CODE_SECONDS
    assert sessions.redeem(late) is None
    assert sessions.redeem("") is None


def test_a_session_ends_after_twelve_hours_or_when_it_is_ended() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    one, other = sessions.begin("id"), sessions.begin("id")
    sessions.end(one)
    assert [sessions.token_of(one), sessions.token_of(other)] == [None, "id"]
    clock.now += SESSION_SECONDS - 1
    assert sessions.token_of(other) == "id"
    clock.now += 1
    assert sessions.token_of(other) is None


def test_codes_and_sessions_are_bounded_the_oldest_goes() -> None:
    sessions = Sessions(clock=Clock())
    codes = [sessions.new_code(str(number)) for number in range(MOST_CODES + 1)]
    assert sessions.redeem(codes[0]) is None
    assert sessions.redeem(codes[1]) == "1"
    begun = [sessions.begin(str(number)) for number in range(MOST_SESSIONS + 1)]
    assert [sessions.token_of(begun[0]), sessions.token_of(begun[1])] == [None, "1"]


def test_neither_secrets_nor_codes_are_kept_as_they_are() -> None:
    sessions = Sessions(clock=Clock())
    code, cookie = sessions.new_code("id"), sessions.begin("id")
    kept = repr([*sessions._codes._kept, *sessions._sessions._kept])
    assert code not in kept
    assert cookie not in kept
    assert sessions.token_of(code) is None, "a code is no session"
    assert sessions.redeem(cookie) is None


async def test_a_link_signs_the_page_in_once(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        link = f"/sign-in?code={made.sessions.new_code(made.token_id)}"
        answer = await made.client.get(link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        flags = [part.strip() for part in answer.headers["set-cookie"].split(";")[1:]]
        assert flags == ["Path=/", f"Max-Age={SESSION_SECONDS}", "HttpOnly", "SameSite=Strict"]
        made.client.cookies.clear()
        again = await made.client.get(link)
        assert again.status_code == 401
        assert "set-cookie" not in again.headers
        cookie = {"cookie": f"a=b; {COOKIE}={_value(answer)}; c=d"}
        assert (await made.client.get("/who", headers=cookie)).json() == "all"


async def test_a_link_that_is_only_looked_at_stays_good(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        link = f"/sign-in?code={made.sessions.new_code(made.token_id)}"
        assert (await made.client.head(link)).status_code == 405
        assert (await made.client.get(link)).status_code == 303


@pytest.mark.parametrize("query", ["", "?code=", "?code=x", "?kode=x", "?code=x&code=y", "?code=%00"])
async def test_f076_a_code_that_is_none_is_refused(data_dir: Path, query: str) -> None:
    async with edge(data_dir) as made:
        answer = await made.client.get(f"/sign-in{query}")
        assert (answer.status_code, answer.headers.get("set-cookie")) == (401, None)


async def test_a_token_signs_the_page_in_and_a_cookie_does_not_prolong_itself(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        answer = await made.client.post("/sign-in", headers=made.bearer | {"origin": BASE})
        assert answer.status_code == 204
        assert (await made.client.get("/who")).json() == "all", "the client keeps the cookie"
        assert (await made.client.post("/sign-in", headers={"origin": BASE})).status_code == 401
        assert (await made.client.delete("/sign-in", headers={"origin": BASE})).status_code == 204
        stale = {"cookie": f"{COOKIE}={_value(answer)}"}
        assert (await made.client.get("/who", headers=stale)).status_code == 401


async def test_f078_with_a_cookie_alone_a_change_needs_a_browser_that_vouches_for_the_page(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        signed = {"cookie": f"{COOKIE}={made.sessions.begin(made.token_id)}"}
        assert (await made.client.post("/change", headers=signed)).status_code == 403
        assert made.reached == []
        for vouched in ({"origin": BASE}, {"sec-fetch-site": "same-origin"}):
            assert (await made.client.post("/change", headers=signed | vouched)).status_code == 200
        for foreign in ({"origin": "http://127.0.0.1:3000"}, {"sec-fetch-site": "same-site"}):
            assert (await made.client.post("/change", headers=signed | foreign)).status_code == 403
            assert (await made.client.get("/who", headers=signed | foreign)).status_code == 403


async def test_f076_a_bad_token_is_not_made_up_for_by_a_cookie(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        both = {"cookie": f"{COOKIE}={made.sessions.begin(made.token_id)}", "authorization": "Bearer wrong"}
        assert (await made.client.get("/who", headers=both)).status_code == 401


async def test_a_cookie_that_another_port_has_planted_does_not_sign_the_page_out(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        cookies = f"{COOKIE}=planted; {COOKIE}={made.sessions.begin(made.token_id)}"
        assert (await made.client.get("/who", headers={"cookie": cookies})).json() == "all"


async def test_a_session_ends_with_its_token_and_in_time(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        record, _ = await asyncio.to_thread(create_token, data_dir, "late", "read")
        headers = {"cookie": f"{COOKIE}={made.sessions.begin(record.id)}"}
        assert (await made.client.get("/who", headers=headers)).json() == "late"
        await asyncio.to_thread(revoke_token, data_dir, "late")
        made.clock.now += LOOK_SECONDS
        assert (await made.client.get("/who", headers=headers)).status_code == 401
        link = f"/sign-in?code={made.sessions.new_code(record.id)}"
        assert (await made.client.get(link)).status_code == 401


async def test_the_cookie_goes_over_tls_alone_where_the_page_is_not_on_this_machine(data_dir: Path) -> None:
    async with edge(data_dir, allowed_hosts=("trove.example",)) as made:
        remote = made.bearer | {"host": "trove.example"}
        answer = await made.client.post("/sign-in", headers=remote)
        assert answer.headers["set-cookie"].endswith("; Secure")


def _value(answer: httpx2.Response) -> str:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE].value
