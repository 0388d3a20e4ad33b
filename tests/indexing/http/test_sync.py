"""``POST /sync``: behind it every change made before the call is searchable, or it says what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from indexing.asks import SearchAsk
from indexing.http.context import ServiceContext
from tests.faults import state
from tests.indexing.http.conftest import ADMIN, INDEXER, READER, ClientFor, Indexed, only

if TYPE_CHECKING:
    from tests.conftest import TreeFactory


async def test_every_change_made_before_the_call_is_searchable_after_it(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    one, two = tree({"a.py": "x = 1\n"}, name="one"), tree({"b.py": "y = 2\n"}, name="two")
    await indexed(one)
    await indexed(two)
    tree({"new.py": "def brand_new_thing(): pass\n"}, name="one")
    tree({"other.py": "def brand_new_thing(): pass\n"}, name="two")
    answer = await client_for(INDEXER).post("/sync", json={"timeout_ms": 30_000})
    assert (answer.status_code, answer.json()) == (200, {"synced": True, "pending": []})
    found = await context.queries.search(ADMIN, SearchAsk("brand_new_thing", mode="text"))
    assert {hit["path"] for hit in found["hits"]} == {"new.py", "other.py"}


async def test_a_job_that_runs_already_does_not_count(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    owner = context.owner
    repository = await owner.register(tree(state.small_tree(4)))
    running = await owner.service.submit(repository)
    async for status in owner.service.events(running):
        if status.state == "running":
            await owner.service.pause(running)
            break
    tree({"late.py": "late = 1\n"})
    answer = (await client_for(INDEXER).post("/sync", json={"timeout_ms": 0})).json()
    assert answer["synced"] is False
    (pending,) = answer["pending"]
    assert pending["job"] != running
    assert (pending["repository"], pending["state"]) == (repository.uuid, "queued")
    assert (await owner.service.status(running)).state == "paused"
    await owner.service.resume(running)
    assert (await client_for(INDEXER).post("/sync", json={"timeout_ms": 30_000})).json()["synced"] is True


async def test_at_the_deadline_it_says_what_is_pending_and_the_job_goes_on(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    ready, held = await indexed(tree({"a.py": "x\n"}, name="one")), await indexed(tree({"b.py": "y\n"}, name="two"))
    (waiting,) = [each for each in await context.owner.reader.repositories() if each.uuid == held]
    job_id = await context.owner.service.submit(waiting)
    await context.owner.service.pause(job_id)
    client = client_for(INDEXER)
    assert (await client.post("/sync", json={"repositories": [ready], "timeout_ms": 30_000})).json()["synced"] is True
    answer = (await client.post("/sync", json={"repositories": [held, held], "timeout_ms": 20})).json()
    assert answer["synced"] is False
    assert [each["repository"] for each in answer["pending"]] == [held]
    await context.owner.service.resume(job_id)
    await context.owner.service.idle()
    assert (await context.owner.service.status(answer["pending"][0]["job"])).state == "succeeded"


async def test_a_tree_that_is_gone_is_pending_and_an_empty_one_is_not(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    gone = tree({"a.py": "x\n"}, name="gone")
    repository = await context.owner.register(gone)
    (gone / "a.py").unlink()
    client = client_for(INDEXER)
    assert (await client.post("/sync", json={"timeout_ms": 30_000})).json() == {"synced": True, "pending": []}
    gone.rmdir()
    answer = (await client.post("/sync", json={"timeout_ms": 30_000})).json()
    assert answer["synced"] is False
    assert [(each["repository"], each["state"]) for each in answer["pending"]] == [(repository.uuid, "failed")]


async def test_repositories_that_the_caller_does_not_see_are_left_alone(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    mine, theirs = (
        await indexed(tree({"a.py": "x\n"}, name="mine")),
        await indexed(tree({"b.py": "y\n"}, name="theirs")),
    )
    client = client_for(only(mine, scope="index"))
    assert (await client.post("/sync", json={"timeout_ms": 30_000})).json()["synced"] is True
    jobs = (await client_for(ADMIN).get("/jobs")).json()["jobs"]
    assert [each["repository"] for each in jobs] == [mine, theirs, mine]
    for uuid in (theirs, str(uuid4())):
        assert (await client.post("/sync", json={"repositories": [uuid]})).status_code == 404
    assert (await client.post("/sync", json={"timeout_ms": -1})).status_code == 422
    assert (await client_for(READER).post("/sync", json={})).status_code == 403
    assert len((await client_for(ADMIN).get("/jobs")).json()["jobs"]) == 3
