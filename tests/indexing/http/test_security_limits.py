"""How often and how much at once: buckets, slots, and what the guard does with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.http.limits import MOST_KEYS, Buckets, Slots, peer_key
from indexing.tokens import LOOK_SECONDS, create_token, revoke_token
from tests.clock import Clock
from tests.indexing.http.guarded import edge, http_scope

if TYPE_CHECKING:
    from starlette.types import Message


@given(steps=st.lists(st.floats(0, 3), min_size=1, max_size=60))
@settings(max_examples=100)
def test_f094_a_bucket_never_gives_more_than_its_burst_and_its_rate(steps: list[float]) -> None:
    clock = Clock()
    buckets = Buckets(rate=2, burst=5, clock=clock)
    began, given_out = clock.now, 0
    for step in steps:
        clock.now += step
        wait = buckets.take("a")
        given_out += wait == 0.0
        assert 0.0 <= wait <= 0.5
        assert given_out <= 5 + 2 * (clock.now - began) + 1e-6
        if wait:
            clock.now += wait + 1e-9
            assert buckets.wait("a") == 0.0, "after the wait that was named there is one"


def test_f094_quiet_time_saves_up_no_more_than_one_burst() -> None:
    clock = Clock()
    buckets = Buckets(rate=1, burst=3, clock=clock)
    buckets.take("a")
    clock.now += 1000
    assert [bool(buckets.take("a")) for _ in range(4)] == [False, False, False, True]


def test_a_look_takes_nothing_and_keys_are_apart() -> None:
    buckets = Buckets(rate=1, burst=1, clock=Clock())
    assert [buckets.wait("a"), buckets.wait("a"), buckets.take("a")] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == 1.0
    assert buckets.take("b") == 0.0


def test_callers_without_number_do_not_fill_the_memory() -> None:
    buckets = Buckets(rate=1, burst=2, clock=Clock())
    for number in range(MOST_KEYS + 100):
        buckets.take(str(number))
    assert len(buckets._levels) == MOST_KEYS


def test_slots_are_counted() -> None:
    slots = Slots(1)
    assert [slots.take(), slots.take()] == [True, False]
    slots.give()
    assert slots.take()


def test_addresses_of_one_network_are_one_peer() -> None:
    assert peer_key("2001:db8::1") == peer_key("2001:db8::ffff:2%eth0") != peer_key("2001:db8:0:1::1")
    assert peer_key("::ffff:192.0.2.1") == peer_key("192.0.2.1") != peer_key("192.0.2.2")
    assert peer_key("x" * 1000) == "x" * 64


async def test_f094_a_flood_of_one_principal_is_told_to_come_back_and_others_are_not(data_dir: Path) -> None:
    async with edge(data_dir, requests_per_second=1) as made:
        made.guard._rates = Buckets(1, 2, clock=made.clock)
        other = (await asyncio.to_thread(create_token, data_dir, "other", "read"))[1]
        assert [(await made.get()).status_code for _ in range(3)] == [200, 200, 429]
        refused = await made.get()
        assert refused.headers["retry-after"] == "1"
        assert "requests_per_second" in refused.json()["detail"]
        assert (await made.client.get("/who", headers={"authorization": f"Bearer {other}"})).status_code == 200
        made.clock.now += 1
        assert (await made.get()).status_code == 200


async def test_f094_public_paths_are_limited_by_address(data_dir: Path) -> None:
    async with edge(data_dir, requests_per_second=1) as made:
        made.guard._rates = Buckets(1, 2, clock=made.clock)
        assert [(await made.client.get("/healthz")).status_code for _ in range(3)] == [200, 200, 429]
        assert (await made.get()).status_code == 200


async def test_f076_guessing_is_limited_by_address_and_does_not_lock_a_good_token_out(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        made.guard._credentials._failures = Buckets(1, 3, clock=made.clock)
        wrong = {"authorization": "Bearer wrong"}
        assert [(await made.client.get("/who", headers=wrong)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert (await made.client.get("/sign-in?code=guess")).status_code == 429
        assert (await made.get()).status_code == 200


async def test_f094_more_at_once_than_there_are_slots_are_told_to_come_back(data_dir: Path) -> None:
    async with edge(data_dir, max_concurrent_requests=2) as made:
        first = [asyncio.create_task(made.get("/held")) for _ in range(2)]
        for _ in first:
            await made.is_held.acquire()
        refused = await made.get()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        made.go_on.set()
        assert [(await each).status_code for each in first] == [200, 200]
        assert (await made.get()).status_code == 200


async def test_f092_event_streams_are_counted_apart(data_dir: Path) -> None:
    async with edge(data_dir, max_concurrent_requests=1, max_event_streams=2) as made:
        streams = []
        for _ in range(3):
            streams.append(Stream(made.guard, made.bearer))
            await streams[-1].began.wait()
        assert [stream.status for stream in streams] == [200, 200, 429]
        assert "max_event_streams" in streams[2].text
        await streams[2].task
        assert (await made.get()).status_code == 200, "they hold no slot of requests"
        made.go_on.set()
        for stream in streams:
            await stream.task
        assert [stream.text.count("event: end") for stream in streams] == [1, 1, 0]
        again = Stream(made.guard, made.bearer)
        await again.task
        assert again.status == 200
        assert (await made.get()).status_code == 200


async def test_f092_a_reader_that_takes_nothing_is_given_up_and_its_slot_is_free(data_dir: Path) -> None:
    async with edge(data_dir, max_event_streams=1, read_seconds=0.01) as made:
        stalled = Stream(made.guard, made.bearer, stalls=True)
        await stalled.task
        made.go_on.set()
        again = Stream(made.guard, made.bearer)
        await again.task
        assert again.status == 200
        assert "event: end" in again.text


async def test_a_stream_ends_when_its_token_is_revoked(data_dir: Path) -> None:
    async with edge(data_dir) as made:
        record, token = await asyncio.to_thread(create_token, data_dir, "late", "read")
        stream = Stream(made.guard, {"authorization": f"Bearer {token}"})
        await stream.began.wait()
        await asyncio.to_thread(revoke_token, data_dir, record.id)
        made.clock.now += LOOK_SECONDS
        made.go_on.set()
        await stream.task
        assert "event: job" in stream.text
        assert "event: end" not in stream.text
        assert stream.is_complete


class Stream:
    """A client of an event stream, as a server serves it."""

    def __init__(self, guard: object, headers: dict[str, str], *, stalls: bool = False) -> None:
        self.status = 0
        self.text = ""
        self.is_complete = False
        self.began = asyncio.Event()
        self._stalls = stalls
        self._asked = False
        scope = http_scope("/events", "GET", **headers)
        self.task = asyncio.create_task(guard(scope, self._receive, self._send))  # type: ignore[operator]

    async def _receive(self) -> Message:
        if self._asked:
            return await asyncio.Future[dict[str, object]]()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self._stalls:
            await asyncio.Future()
        self.text += message["body"].decode()
        self.is_complete = not message.get("more_body", False)
        self.began.set()
