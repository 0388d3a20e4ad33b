"""Taking trees in, listing them and forgetting them, while jobs run."""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from indexing import repositories
from indexing.access import LOCAL, Principal
from indexing.http.context import ServiceContext
from indexing.repositories import forget_repository
from storage import UnknownRepository, accept_job, forget, load_registry, start_run
from tests.faults import state
from tests.indexing.http.conftest import ADMIN, INDEXER, READER, ClientFor, Indexed, only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory


async def test_a_tree_is_taken_in_indexed_listed_and_forgotten(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, data_dir: Path
) -> None:
    root, client = tree(state.small_tree(6)), client_for(ADMIN)
    added = await client.post("/repositories", json={"root": str(root)})
    assert added.status_code == 201
    repository, job = added.json()["repository"], added.json()["job"]
    assert (repository["root"], repository["name"]) == (str(root), "tree")
    assert job["repository"] == repository["uuid"]
    await context.owner.service.wait(job["id"])
    (listed,) = (await client.get("/repositories")).json()["repositories"]
    assert (listed["files"], listed["job"]["state"], listed["problems"]) == (6, "succeeded", [])
    assert listed["chunks"] >= 6
    assert listed["scanned_at"].endswith("Z")
    assert listed["watching"] == {"mode": "off", "dirty": 0, "problem": ""}
    again = await client.post("/repositories", json={"root": str(root), "index": False})
    assert (again.status_code, again.json()["job"], again.json()["repository"]["uuid"]) == (200, None, listed["uuid"])
    gone = await client.delete(f"/repositories/{listed['uuid']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await client.get("/repositories")).json() == {"repositories": []}
    assert (await client.get(f"/jobs/{job['id']}")).status_code == 404
    assert (await client.delete(f"/repositories/{listed['uuid']}")).status_code == 404
    assert (await asyncio.to_thread(load_registry, data_dir)).repositories == {}
    assert state.rows(data_dir, "SELECT count(*) FROM chunks") == [(0,)]
    assert (root / next(iter(state.small_tree(6)))).exists() or any(root.iterdir())


async def test_a_repository_is_forgotten_while_its_job_runs_and_others_are_submitted(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, data_dir: Path
) -> None:
    owner = context.owner
    repository = await owner.register(tree(state.small_tree(60)))
    kept = await owner.register(tree({"a.py": "kept = 1\n"}, name="kept"))
    await owner.service.submit(kept)
    running = await owner.service.submit(repository)
    refused: list[Exception] = []

    async def keep_submitting() -> None:
        while not refused:
            try:
                await owner.service.submit(repository, [b"a.py"], origin="watch")
            except UnknownRepository as error:
                refused.append(error)

    submitting = asyncio.create_task(keep_submitting())
    assert (await client_for(ADMIN).delete(f"/repositories/{repository.uuid}")).status_code == 204
    await submitting
    with suppress(Exception):
        await owner.service.wait(running)
    await owner.service.idle()
    assert [each["uuid"] for each in (await client_for(ADMIN).get("/repositories")).json()["repositories"]] == [
        kept.uuid
    ]
    assert list((await asyncio.to_thread(load_registry, data_dir)).repositories) == [kept.uuid]
    assert state.rows(data_dir, "SELECT count(*) FROM entries") == [(1,)]
    assert state.rows(data_dir, "SELECT repository_id FROM jobs") == [(kept.id,)]


async def test_a_paused_job_and_one_that_no_process_runs_do_not_keep_a_repository(
    tree: TreeFactory, context: ServiceContext, data_dir: Path
) -> None:
    owner = context.owner
    paused, left = (
        await owner.register(tree({"a": "x\n"}, name="one")),
        await owner.register(tree({"b": "y\n"}, name="two")),
    )
    job_id = await owner.service.submit(paused)
    await owner.service.pause(job_id)
    await owner.writer.apply(lambda connection: accept_job(connection, left.id, "1" * 32, None, 0))
    async with asyncio.timeout(20):
        await forget_repository(owner, paused)
        await forget_repository(owner, left)
    assert await owner.reader.repositories() == []
    assert state.rows(data_dir, "SELECT count(*) FROM jobs") == [(0,)]


async def test_f075_only_what_lies_below_an_allowed_root_is_taken_in(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, tmp_path: Path, tmp_path_factory: Any
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.py").write_text("x = 1\n")
    tree({"a.py": "x\n"})
    (tmp_path / "link").symlink_to(outside)
    client = client_for(ADMIN)
    for root in (outside, tmp_path / "link", tmp_path / "tree" / ".." / ".." / outside.name, "/", outside / "missing"):
        refused = await client.post("/repositories", json={"root": str(root)})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:codetrove:root-not-allowed")
    data = await client.post("/repositories", json={"root": str(context.owner.directory.path)})
    assert data.status_code == 403
    local = await client_for(LOCAL).post("/repositories", json={"root": str(outside), "index": False})
    assert local.status_code == 201
    assert (await client_for(LOCAL).post("/repositories", json={"root": str(data_of(context))})).status_code == 403


def data_of(context: ServiceContext) -> Path:
    return context.owner.directory.path


async def test_a_root_that_cannot_be_one_is_refused_with_its_reason(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, tmp_path: Path
) -> None:
    root = tree({"inner/a.py": "x\n", "file.py": "y\n"})
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    client = client_for(INDEXER)
    for path, status in [
        (str(root / "missing"), 422),
        (str(root / "file.py"), 422),
        (str(tmp_path / "loop"), 422),
        ("tree", 422),
        ("~", 422),
        ("/" + "x" * 300, 403),
        ("x" * 5000, 422),
    ]:
        refused = await client.post("/repositories", json={"root": path})
        assert refused.status_code == status, path
        assert refused.headers["content-type"] == "application/problem+json"
    assert (await client.post("/repositories", json={"root": str(root), "index": False})).status_code == 201
    nested = await client.post("/repositories", json={"root": str(root / "inner")})
    assert (nested.status_code, nested.json()["type"]) == (409, "urn:codetrove:nested-repository")


@pytest.mark.parametrize("moment", ["_resolved", "look_at_root"])
async def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    root, outside = tree({"a.py": "x\n"}, name="good"), tree({"b.py": "y\n"}, name="elsewhere")
    function = getattr(repositories, moment)

    def swapped(path: Any) -> Any:
        before = function(path) if moment == "_resolved" else None
        if os.fsencode(path) == os.fsencode(root) and not root.is_symlink():
            root.rename(root.with_name("moved"))
            root.symlink_to(outside)
        return before or function(path)

    monkeypatch.setattr(repositories, moment, swapped)
    answer = await client_for(ADMIN).post("/repositories", json={"root": str(root)})
    assert answer.status_code == 422
    assert await context.owner.reader.repositories() == []


async def test_a_root_that_is_not_utf8_goes_in_and_out_as_base64(
    context: ServiceContext, client_for: ClientFor, tmp_path: Path
) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(raw)
    with open(raw + b"/a.py", "wb") as file:
        file.write(b"x = 1\n")
    encoded = base64.b64encode(raw).decode()
    client = client_for(ADMIN)
    added = await client.post("/repositories", json={"root_b64": encoded})
    assert added.status_code == 201
    (listed,) = (await client.get("/repositories")).json()["repositories"]
    assert (listed["root_b64"], listed["name"]) == (encoded, "caf\\xe9")
    await context.owner.service.idle()
    job = await client.post("/index", json={"root_b64": encoded})
    assert job.status_code == 202
    await context.owner.service.idle()


async def test_f096_others_repositories_are_neither_listed_nor_taken_in_nor_forgotten(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    mine, theirs = (
        await indexed(tree({"a.py": "x\n"}, name="mine")),
        await indexed(tree({"b.py": "y\n"}, name="theirs")),
    )
    client = client_for(only(mine))
    answer = await client.get("/repositories")
    assert [each["uuid"] for each in answer.json()["repositories"]] == [mine]
    assert theirs not in answer.text
    assert "theirs" not in answer.text
    unknown = await client.delete(f"/repositories/{uuid4()}")
    foreign = await client.delete(f"/repositories/{theirs}")
    assert (unknown.status_code, foreign.status_code) == (404, 404)
    assert (await client.post("/repositories", json={"root": str(tree({"c": "z"}, name="new"))})).status_code == 403
    for who, status in ((READER, 403), (INDEXER, 403), (Principal("none", frozenset()), 403), (ADMIN, 204)):
        assert (await client_for(who).delete(f"/repositories/{theirs}")).status_code == status


async def test_a_job_that_was_accepted_just_before_does_not_begin_in_a_forgotten_repository(
    tree: TreeFactory, context: ServiceContext, data_dir: Path
) -> None:
    owner = context.owner
    repository = await owner.register(tree({"a.py": "x\n"}))
    async with owner.service._accepting:
        await owner.writer.apply(lambda connection: accept_job(connection, repository.id, "2" * 32, None, 0))
        await owner.writer.apply(lambda connection: forget(connection, repository.id))
    with pytest.raises(UnknownRepository, match="was forgotten"):
        await owner.writer.apply(
            lambda connection: start_run(connection, repository.id, "2" * 32, incarnation=1, now_ms=0)
        )
    assert state.rows(data_dir, "SELECT count(*) FROM jobs") == [(0,)]
