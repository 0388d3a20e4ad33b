"""Routes about jobs, over a real owner and real trees."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from indexing.access import Principal
from indexing.http.context import ServiceContext
from tests.faults import state
from tests.indexing.http.conftest import ADMIN, INDEXER, READER, ClientFor, Indexed, only

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

PROBLEM = "application/problem+json"


async def test_a_job_is_accepted_at_once_and_answered_for_until_its_end(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree(state.small_tree(8)))
    client = client_for(INDEXER)
    accepted = await client.post("/index", json={"repository": repository.uuid})
    assert accepted.status_code == 202
    job = accepted.json()
    assert accepted.headers["location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["origin"], job["paths"], job["repository"]) == (
        "queued",
        "request",
        None,
        repository.uuid,
    )
    assert job["created_at"].endswith("Z")
    assert job["ended_at"] is None
    await context.owner.service.wait(job["id"])
    done = (await client.get(f"/jobs/{job['id']}")).json()
    assert done["state"] == "succeeded"
    assert done["tally"] == {"seen": 8, "indexed": 8, "unchanged": 0, "skipped": 0, "failed": 0, "removed": 0}
    assert done["progress"]["read"] == 8
    assert done["progress"]["stage"] == "done"
    assert done["ended_at"] >= done["started_at"] >= done["created_at"]
    assert done == (await client.get(f"/jobs/{job['id']}")).json(), "an ended job does not change"
    (listed,) = (await client.get("/jobs")).json()["jobs"]
    assert listed == done


async def test_paths_are_taken_as_text_or_base64_and_a_root_stands_for_its_repository(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    root = tree({"a.py": "x = 1\n", b"caf\xe9.py": "y = 2\n", "c.py": "z = 3\n"})
    await context.owner.register(root)
    client = client_for(INDEXER)
    body = {"root": str(root), "paths": ["a.py"], "paths_b64": [base64.b64encode(b"caf\xe9.py").decode()]}
    job = (await client.post("/index", json=body)).json()
    assert job["paths"] == ["a.py", "caf\\xe9.py"]
    assert job["paths_total"] == 2
    await context.owner.service.wait(job["id"])
    files = (await client.get(f"/jobs/{job['id']}/files")).json()["files"]
    assert [(each["path"], each["outcome"]) for each in files] == [("a.py", "indexed"), ("caf\\xe9.py", "indexed")]
    assert [each.get("path_b64") for each in files] == [None, base64.b64encode(b"caf\xe9.py").decode()]


async def test_the_same_key_gives_the_same_job_and_another_wish_under_it_is_refused(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree(state.small_tree(2)))
    client, body, key = client_for(INDEXER), {"repository": repository.uuid}, {"Idempotency-Key": "nightly 1"}
    first = (await client.post("/index", json=body, headers=key)).json()
    await context.owner.service.wait(first["id"])
    again = await client.post("/index", json=body, headers=key)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, first["id"], "succeeded")
    other = await client.post("/index", json=body | {"paths": ["a.py"]}, headers=key)
    assert other.status_code == 409
    assert other.json()["type"] == "urn:codetrove:key-reused"
    somebody = client_for(Principal("somebody", frozenset({"index"})))
    theirs = await somebody.post("/index", json=body, headers=key)
    assert theirs.json()["id"] != first["id"], "keys of two tokens are two keys"
    for bad in ("x" * 201, "a\tb"):
        assert (await client.post("/index", json=body, headers={"Idempotency-Key": bad})).status_code == 422


async def test_a_job_is_paused_resumed_and_cancelled(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree(state.small_tree(4)))
    client = client_for(INDEXER)
    job_id = (await client.post("/index", json={"repository": repository.uuid})).json()["id"]
    paused = await client.post(f"/jobs/{job_id}/pause")
    assert paused.status_code == 200
    assert paused.json()["state"] in {"queued", "paused"}
    assert "pause" in paused.json()["state"] + paused.json()["reason"]
    resumed = await client.post(f"/jobs/{job_id}/resume", json={})
    assert resumed.json()["state"] in {"queued", "running"}
    await client.post(f"/jobs/{job_id}/pause", json={})
    cancelled = await client.post(f"/jobs/{job_id}/cancel")
    assert cancelled.json()["state"] in {"cancelling", "cancelled", "queued"}
    await context.owner.service.idle()
    assert (await client.get(f"/jobs/{job_id}")).json()["state"] == "cancelled"
    for what in ("pause", "resume", "cancel"):
        refused = await client.post(f"/jobs/{job_id}/{what}")
        assert refused.status_code == 409
        assert refused.headers["content-type"] == PROBLEM
        assert (await client.post(f"/jobs/{uuid4().hex}/{what}")).status_code == 404
        assert (await client.post(f"/jobs/{job_id}/{what}", json={"now": True})).status_code == 422


async def test_f093_a_job_of_a_repository_not_seen_is_unknown_in_the_same_words(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed, tmp_path: Path
) -> None:
    mine, theirs = (
        await indexed(tree({"a.py": "x\n"}, name="mine")),
        await indexed(tree({"b.py": "y\n"}, name="theirs")),
    )
    everything = (await client_for(ADMIN).get("/jobs")).json()["jobs"]
    job_of = {each["repository"]: each["id"] for each in everything}
    client = client_for(only(mine))
    unknown = uuid4().hex

    def told(answer: Any, job_id: str) -> tuple[int, dict[str, Any]]:
        problem = answer.json()
        problem.pop("correlation_id")
        problem["detail"] = problem["detail"].replace(job_id, "ID")
        return answer.status_code, problem

    for method, tail in [("GET", ""), ("GET", "/files"), ("GET", "/events"), ("POST", "/pause"), ("POST", "/resume"),
                         ("POST", "/cancel")]:  # fmt: skip
        foreign = told(await client.request(method, f"/jobs/{job_of[theirs]}{tail}"), job_of[theirs])
        assert foreign == told(await client.request(method, f"/jobs/{unknown}{tail}"), unknown)
        assert foreign[0] == 404
    assert (await client.get(f"/jobs/{job_of[mine]}")).json()["vectors"] is None
    assert [each["repository"] for each in (await client.get("/jobs")).json()["jobs"]] == [mine]
    assert (await client.get("/jobs", params={"repository": theirs})).status_code == 404
    assert (await client.post("/index", json={"repository": theirs})).status_code == 404
    for root, status in ((tmp_path / "theirs", 404), (tmp_path / "mine", 202)):
        assert (await client.post("/index", json={"root": str(root)})).status_code == status
    await context.owner.service.idle()


async def test_outcomes_come_in_pages_of_keys_and_by_outcome(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    files = {f"src/{number:02d}.py": f"x = {number}\n" for number in range(12)}
    await indexed(tree(files | {"one.bin": b"\0\1\2" * 50}))
    client = client_for(READER)
    (job,) = (await client.get("/jobs")).json()["jobs"]
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get(f"/jobs/{job['id']}/files", params={"after": after, "limit": 5})).json()
        assert len(page["files"]) <= 5
        found += [each["path"] for each in page["files"]]
        after = page["next"]
    assert found == sorted({*files, "one.bin"})
    skipped = (await client.get(f"/jobs/{job['id']}/files", params={"outcome": "skipped"})).json()
    assert [(each["path"], each["reason"]) for each in skipped["files"]] == [("one.bin", "binary")]
    assert skipped["next"] is None
    for bad in ({"after": "%%"}, {"after": "\u00e9"}, {"limit": 1001}, {"limit": 10**40}, {"outcome": "lost"}):
        assert (await client.get(f"/jobs/{job['id']}/files", params=bad)).status_code == 422


async def test_jobs_are_listed_by_repository_and_state_the_newest_first(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    one, two = tree({"a.py": "x\n"}, name="one"), tree({"b.py": "y\n"}, name="two")
    first, second = await indexed(one), await indexed(two)
    await indexed(one)
    client = client_for(READER)
    jobs = (await client.get("/jobs")).json()["jobs"]
    assert [each["repository"] for each in jobs] == [first, second, first]
    assert (await client.get("/jobs", params={"limit": 1})).json()["jobs"] == jobs[:1]
    assert (await client.get("/jobs", params={"repository": second})).json()["jobs"] == jobs[1:2]
    assert (await client.get("/jobs", params={"state": "succeeded"})).json()["jobs"] == jobs
    assert (await client.get("/jobs", params={"state": "failed"})).json()["jobs"] == []
    limited = client_for(only(first, scope="read"))
    assert len((await limited.get("/jobs")).json()["jobs"]) == 2


NO_WISHES: tuple[object, ...] = (
    {},
    {"repository": "x"},
    {"repository": str(uuid4()), "root": "/x"},
    {"root": "/x", "paths": []},
    {"root": "/x", "paths": ["a"] * 10_001},
    {"root": "/x", "paths": ["a" * 5000]},
    {"root": "/x", "paths": "a"},
    {"root": "/x", "paths": [1]},
    {"root": "/x\0"},
    {"root": 1},
    {"root": "/x", "paths_b64": ["*"]},
    {"root": "/x", "more": 1},
    [],
    None,
    "text",
)


async def test_f082_what_is_no_wish_is_refused_with_422(client_for: ClientFor) -> None:
    for body in NO_WISHES:
        answer = await client_for(INDEXER).post("/index", json=body)
        assert answer.status_code == 422, body
        assert answer.headers["content-type"] == PROBLEM
        problem = answer.json()
        assert problem["status"] == 422
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]
        assert problem["errors"]


async def test_f075_a_path_outside_the_tree_is_refused_before_anything_is_read(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree({"a.py": "x\n"}))
    client = client_for(INDEXER)
    for path in ("../x", "a/../../b", "/etc/passwd", "a//b", "./a", "", "a/\0"):
        answer = await client.post("/index", json={"repository": repository.uuid, "paths": [path]})
        assert answer.status_code == 422, path
    assert (await client.get("/jobs")).json() == {"jobs": []}


async def test_a_token_to_read_does_not_index_and_a_closing_service_takes_no_job(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    repository = await context.owner.register(tree({"a.py": "x\n"}))
    body = {"repository": repository.uuid}
    assert (await client_for(READER).post("/index", json=body)).status_code == 403
    assert (await client_for(None).post("/index", json=body)).status_code == 401
    await context.owner.service.close()
    closed = await client_for(INDEXER).post("/index", json=body)
    assert closed.status_code == 503
    assert closed.headers["retry-after"]
