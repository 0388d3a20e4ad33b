"""``GET /status``: the status of what the caller sees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from indexing.http import looking
from indexing.http.context import ServiceContext
from indexing.status import status, to_json
from tests.faults import state
from tests.indexing.http.conftest import ADMIN, ClientFor, Indexed, only

if TYPE_CHECKING:
    import pytest

    from indexing.settings import Settings
    from indexing.status import Status
    from tests.conftest import TreeFactory


async def test_it_is_what_the_command_prints_and_how_the_process_is(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    await indexed(tree(state.small_tree(5)))
    found = (await client_for(ADMIN).get("/status")).json()
    service = found.pop("service")
    printed = to_json(await status(context.owner.settings))
    for each in (*found["repositories"], *printed["repositories"]):
        each.pop("scanned_seconds_ago")
        each["problems"] = list(each["problems"])
    for each in (found, printed):
        for sized in ("catalog_bytes", "text_bytes", "other_bytes"):
            assert each.pop(sized) > 0
    assert found == {key: list(value) if isinstance(value, tuple) else value for key, value in printed.items()}
    assert service["uptime_seconds"] > 0
    assert service["workers"]["allowed"] >= 1
    assert service["vectors"] is None
    assert set(service["queues"]) >= {"planned", "batches", "catalog", "text"}


async def test_f096_a_limited_token_is_told_of_its_own_repositories_alone(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed
) -> None:
    mine, theirs = (
        await indexed(tree({"a.py": "x\n"}, name="mine")),
        await indexed(tree({"b.py": "y\n"}, name="theirs")),
    )
    answer = await client_for(only(mine, scope="read")).get("/status")
    found = answer.json()
    assert [each["uuid"] for each in found["repositories"]] == [mine]
    assert theirs not in answer.text
    assert "theirs" not in answer.text
    assert str(context.owner.directory.path) not in answer.text
    assert found["catalog_bytes"] is found["owner"] is found["pending_chunks"] is None
    assert found["problems"] == []


async def test_those_who_ask_together_share_one_look_and_a_commit_asks_for_a_new_one(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counted(settings: Settings) -> Status:
        nonlocal looks
        looks += 1
        return await status(settings)

    monkeypatch.setattr(looking, "status", counted)
    monkeypatch.setattr(looking, "CHEAP_SECONDS", 60)
    client = client_for(ADMIN)
    await indexed(tree({"a.py": "x\n"}))
    await asyncio.gather(*(client.get("/status") for _ in range(20)))
    assert looks < 20
    before = looks
    tree({"b.py": "y\n"})
    await indexed(tree({}))
    assert (await client.get("/repositories")).json()["repositories"][0]["files"] == 2
    assert looks == before + 1


async def test_a_dear_look_is_not_served_after_a_job_has_ended(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(looking, "COST_SHARE", 1_000_000)
    client = client_for(ADMIN)
    for number in (1, 2, 3):
        await indexed(tree({f"m{number}.py": "x\n"}))
        (found,) = (await client.get("/repositories")).json()["repositories"]
        assert found["files"] == number
