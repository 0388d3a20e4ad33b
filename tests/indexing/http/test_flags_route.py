"""Flags over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from indexing.flags import FLAGS
from indexing.http.context import ServiceContext
from storage import load_registry
from tests.indexing.http.conftest import ADMIN, INDEXER, READER, ClientFor, only

if TYPE_CHECKING:
    from pathlib import Path


async def test_flags_are_described_set_unset_and_signed(
    context: ServiceContext, client_for: ClientFor, data_dir: Path
) -> None:
    client = client_for(ADMIN)
    flags = (await client_for(READER).get("/flags")).json()["flags"]
    assert [each["name"] for each in flags] == list(FLAGS)
    assert all(each["description"] for each in flags)
    assert {each["changed_at"] for each in flags} == {None}
    before = {each["name"]: each["value"] for each in flags}
    changed = await client.patch("/flags", json={"enable_parallel": True, "hybrid_search": False})
    assert changed.status_code == 200
    now = {each["name"]: each for each in changed.json()["flags"]}
    assert now["enable_parallel"]["value"] is True
    assert now["enable_parallel"]["stored"] is True
    assert now["enable_parallel"]["changed_by"] == "admin"
    assert now["enable_parallel"]["changed_at"].endswith("Z")
    assert now["auto_reindex"]["changed_at"] is None
    assert context.owner.flags.enable_parallel is True
    assert (await asyncio.to_thread(load_registry, data_dir)).flags == {"enable_parallel": True, "hybrid_search": False}
    unset = await client.patch("/flags", json={"enable_parallel": None, "hybrid_search": None})
    assert {each["name"]: each["value"] for each in unset.json()["flags"]} == before
    assert (await asyncio.to_thread(load_registry, data_dir)).flags == {}
    assert (await client.patch("/flags", json={})).status_code == 200


async def test_what_is_no_flag_or_no_truth_value_changes_nothing(client_for: ClientFor, data_dir: Path) -> None:
    wrong: tuple[object, ...] = ({"no_such": True}, {"enable_parallel": 1}, {"enable_parallel": "true"}, [], None)
    for body in wrong:
        both = {"auto_reindex": False} | body if isinstance(body, dict) else body
        assert (await client_for(ADMIN).patch("/flags", json=both)).status_code == 422
    assert (await asyncio.to_thread(load_registry, data_dir)).flags == {}


async def test_only_an_administrator_of_everything_changes_flags(client_for: ClientFor, data_dir: Path) -> None:
    for who in (READER, INDEXER, only("x")):
        assert (await client_for(who).patch("/flags", json={"enable_parallel": True})).status_code == 403
    assert (await asyncio.to_thread(load_registry, data_dir)).flags == {}
