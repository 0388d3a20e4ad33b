"""``GET /jobs/{id}/events``: latest snapshots for any number of readers, whatever they do."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any

from indexing.http import events, job_streams
from indexing.http.context import ServiceContext
from indexing.http.job_streams import JobStream
from storage import accept_job
from tests.faults import state
from tests.indexing.http.conftest import ADMIN, READER, ClientFor, Indexed, as_principal, only

if TYPE_CHECKING:
    import pytest

    from indexing.access import Principal
    from indexing.http.answers import JobAnswer
    from tests.conftest import TreeFactory


@dataclass
class Listener:
    """A client of its own speed: one that is ``stopped`` takes the first parts and then nothing."""

    app: Any
    job_id: str
    who: Principal = ADMIN
    stopped: bool = False
    text: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        scope = {
            "type": "http", "method": "GET", "path": f"/jobs/{self.job_id}/events", "query_string": b"", "headers": [],
            "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 7878), "client": ("127.0.0.1", 1),
            "root_path": "", "raw_path": b"",
        }  # fmt: skip
        self.task = asyncio.create_task(as_principal(self.app, self.who)(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.text += message.get("body", b"").decode()
        self.news.set()
        if "event: job" in self.text:
            self.begun.set()
            if self.stopped:
                await asyncio.Event().wait()

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return parsed(self.text)

    async def seen(self, what: str) -> None:
        """Wait until the client was sent a text."""
        async with asyncio.timeout(20):
            while what not in self.text:
                self.news.clear()
                await self.news.wait()

    async def cut(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def parsed(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (event, data) of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in lines:
            assert int(lines["id"]) > 0
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def paused_job(context: ServiceContext, root: Any) -> str:
    repository = await context.owner.register(root)
    job_id = await context.owner.service.submit(repository)
    await context.owner.service.pause(job_id)
    return job_id


async def test_a_stream_tells_of_a_job_from_now_to_its_end(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree(state.small_tree(12)))
    job_id = await context.owner.service.submit(repository)
    answer = await client_for(READER).get(f"/jobs/{job_id}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith("retry: ")
    told = parsed(answer.text)
    assert [name for name, _ in told[:-1]] == ["job"] * (len(told) - 1)
    name, last = told[-1]
    assert (name, last["state"], last["tally"]["indexed"]) == ("end", "succeeded", 12)
    assert last["ended_at"] is not None
    assert told[0][1]["state"] in {"queued", "running"}
    reads = [job["progress"]["read"] for _, job in told if job["progress"] is not None]
    assert reads == sorted(reads)
    assert {job["id"] for _, job in told} == {job_id}


async def test_a_job_that_is_over_is_told_once_whatever_id_the_client_saw_last(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    await indexed(tree(state.small_tree(2)))
    (job,) = (await client_for(READER).get("/jobs")).json()["jobs"]
    for headers in ({}, {"Last-Event-ID": "1"}, {"Last-Event-ID": "none"}):
        answer = await client_for(READER).get(f"/jobs/{job['id']}/events", headers=headers)
        assert parsed(answer.text) == [("job", job), ("end", job)]


async def test_f092_two_hundred_clients_of_which_twenty_do_not_read_leave_a_job_alone(
    tree: TreeFactory, context: ServiceContext, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[JobAnswer] = []
    tell = JobStream._tell

    async def counted(self: JobStream, view: JobAnswer) -> None:
        made.append(view)
        await tell(self, view)

    monkeypatch.setattr(JobStream, "_tell", counted)
    job_id = await paused_job(context, tree(state.small_tree(40)))
    listeners = [Listener(app, job_id, stopped=number % 10 == 0) for number in range(200)]
    await asyncio.gather(*(each.begun.wait() for each in listeners))
    assert context.streams.readers == 200
    await context.owner.service.resume(job_id)
    report = await context.owner.service.wait(job_id)
    assert (report.state, report.tally.indexed) == ("succeeded", 40)
    reading = [each for each in listeners if not each.stopped]
    await asyncio.gather(*(each.task for each in reading))
    assert {each.events[-1][0] for each in reading} == {"end"}
    assert {each.events[-1][1]["state"] for each in reading} == {"succeeded"}
    stopped = [each for each in listeners if each.stopped]
    assert not any(each.task.done() for each in stopped)
    assert {len(each.events) for each in stopped} == {1}, "nothing is kept for them"
    assert max(len(each.events) for each in reading) <= len(made) + 1, "one snapshot and one encoding for all"
    for each in stopped:
        await each.cut()
    assert context.streams.readers == 0


async def test_the_more_readers_a_stream_has_the_rarer_are_its_snapshots(
    tree: TreeFactory, context: ServiceContext, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_streams, "SENDS_A_SECOND", 0.001)
    job_id = await paused_job(context, tree(state.small_tree(4)))
    listener = Listener(app, job_id)
    await listener.begun.wait()
    await context.owner.service.resume(job_id)
    await listener.task
    states = [job["state"] for _, job in listener.events]
    assert states[-2:] == ["succeeded", "succeeded"]
    assert len(states) == len(set(states)) + 1, "each state once: nothing between is worth sending"


async def test_a_change_of_a_flag_shows_in_the_events_of_a_job_that_runs(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, app: Any
) -> None:
    job_id = await paused_job(context, tree(state.small_tree(4)))
    listener = Listener(app, job_id)
    await listener.seen('"enable_parallel":false')
    answer = await client_for(ADMIN).patch("/flags", json={"enable_parallel": True})
    assert answer.status_code == 200
    await listener.seen('"enable_parallel":true')
    await context.owner.service.resume(job_id)
    await listener.task
    assert listener.events[-1][1]["state"] == "succeeded"


async def test_a_stream_gives_signs_of_life_while_nothing_happens(
    tree: TreeFactory, context: ServiceContext, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.02)
    job_id = await paused_job(context, tree(state.small_tree(2)))
    listener = Listener(app, job_id)
    await listener.seen(": still here\n\n: still here\n\n")
    count = len(listener.events)
    while listener.text.count(": still here") < 60:
        listener.news.clear()
        await listener.news.wait()
    assert len(listener.events) <= count + 2, "seconds that go by are no news"
    await listener.cut()


async def test_a_stream_ends_without_an_end_when_the_service_closes(
    tree: TreeFactory, context: ServiceContext, app: Any
) -> None:
    job_id = await paused_job(context, tree(state.small_tree(2)))
    listener = Listener(app, job_id)
    await listener.begun.wait()
    context.closing.set()
    await listener.task
    assert {name for name, _ in listener.events} == {"job"}, "the job is not over: the client comes again"
    assert context.streams.readers == 0


async def test_a_client_that_leaves_is_forgotten_at_once_and_the_last_one_ends_the_stream(
    tree: TreeFactory, context: ServiceContext, app: Any
) -> None:
    job_id = await paused_job(context, tree(state.small_tree(2)))
    one, two = Listener(app, job_id), Listener(app, job_id)
    await asyncio.gather(one.begun.wait(), two.begun.wait())
    one.leave.set()
    await one.task
    assert context.streams.readers == 1
    two.leave.set()
    await two.task
    assert context.streams.readers == 0
    async with asyncio.timeout(10):
        await context.streams.closed()
    three = Listener(app, job_id)
    await three.begun.wait()
    assert three.events[0][1]["id"] == job_id, "it may be asked for again"
    await three.cut()


async def test_a_stream_ends_when_its_repository_is_forgotten(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, app: Any
) -> None:
    job_id = await paused_job(context, tree(state.small_tree(2)))
    listener = Listener(app, job_id)
    await listener.begun.wait()
    uuid = listener.events[0][1]["repository"]
    assert (await client_for(ADMIN).delete(f"/repositories/{uuid}")).status_code == 204
    await listener.task
    assert listener.events[-1][0] == "end"
    assert listener.events[-1][1]["state"] == "cancelled"
    assert (await client_for(ADMIN).get(f"/jobs/{job_id}/events")).status_code == 404


async def test_a_job_of_an_earlier_process_is_followed_into_this_one(
    tree: TreeFactory, context: ServiceContext, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_streams, "LOOK_SECONDS", 0.01)
    owner = context.owner
    repository = await owner.register(tree(state.small_tree(3)))
    job_id = "0" * 32
    await owner.writer.apply(
        lambda connection: accept_job(connection, repository.id, job_id, None, int(time() * 1000), origin="watch")
    )
    listener = Listener(app, job_id)
    await listener.begun.wait()
    assert listener.events[0][1]["state"] == "queued"
    assert listener.events[0][1]["progress"] is None
    assert await owner.service.submit(repository) == job_id
    await listener.task
    assert listener.events[-1][0] == "end"
    assert listener.events[-1][1]["tally"]["indexed"] == 3


async def test_readers_that_see_everything_and_those_that_do_not_have_streams_of_their_own(
    tree: TreeFactory, context: ServiceContext, app: Any
) -> None:
    job_id = await paused_job(context, tree(state.small_tree(2)))
    uuid = (await context.owner.service.status(job_id)).repository
    one, two = Listener(app, job_id, ADMIN), Listener(app, job_id, only(uuid, scope="read"))
    await asyncio.gather(one.begun.wait(), two.begun.wait())
    assert len(context.streams._streams) == 2
    await one.cut()
    await two.cut()
