"""What ``codetrove doctor`` says of the Weaviate server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from indexing.doctor import Check, examine, weaviate
from indexing.settings import Settings, StorageSettings, WeaviateSettings
from tests.indexing.test_weaviate_access import KEY, REMOTE, answering, settings_for
from tests.weaviate.server import free_port

ANOTHER_NAME = "127.1"
"""This machine by a name that is not known as such: a server on another machine, as far as can be told."""


async def check_of(settings: Settings) -> Check:
    check = await weaviate(settings)
    assert check.name == "weaviate"
    assert KEY not in check.detail + check.remedy
    return check


async def checked(host: str, *, version: str = "1.39.0", asks_for: str = "", **keys: Any) -> Check:
    async with answering(200, json.dumps({"version": version}), asks_for=asks_for) as port:
        return await check_of(settings_for(url=f"http://{host}:{port}", grpc_port=port, **keys))


async def test_a_server_that_answers_is_well() -> None:
    check = await checked("127.0.0.1")
    assert (check.level, check.remedy) == ("ok", "")
    assert "Weaviate 1.39.0 at 'http://127.0.0.1:" in check.detail


async def test_f030_a_server_that_is_down_fails_with_a_remedy() -> None:
    check = await check_of(settings_for(url=f"http://127.0.0.1:{free_port()}"))
    assert check.level == "fail"
    assert "start it" in check.remedy


async def test_a_server_that_is_too_old_fails() -> None:
    check = await checked("127.0.0.1", version="1.31.4")
    assert (check.level, check.remedy) == ("fail", "use Weaviate 1.32 or newer")


async def test_a_server_on_another_machine_without_a_key_fails_before_it_is_asked() -> None:
    check = await check_of(settings_for(url=REMOTE))
    assert check.level == "fail"
    assert "weaviate.allow_anonymous_remote" in check.detail


@pytest.mark.parametrize("keys", [{"api_key": KEY}, {"allow_anonymous_remote": True}], ids=["key", "allowed"])
async def test_a_server_on_another_machine_that_answers_everyone_is_warned_about(keys: dict[str, Any]) -> None:
    check = await checked(ANOTHER_NAME, **keys)
    assert check.level == "warn"
    assert "answers without a key" in check.detail
    assert "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false" in check.remedy


async def test_a_key_that_travels_in_the_clear_is_warned_about() -> None:
    check = await checked(ANOTHER_NAME, asks_for=KEY, api_key=KEY)
    assert check.level == "warn"
    assert "in the clear" in check.detail


@pytest.mark.parametrize(("backend", "is_looked_at"), [("weaviate", True), ("local", False)])
def test_the_server_is_looked_at_while_it_keeps_the_vectors(
    tmp_path: Path, backend: Literal["local", "weaviate"], is_looked_at: bool
) -> None:
    settings = Settings(
        storage=StorageSettings(data_dir=tmp_path, backend=backend),
        weaviate=WeaviateSettings(url=f"http://127.0.0.1:{free_port()}"),
    )
    assert ("weaviate" in [check.name for check in asyncio.run(examine(settings))]) is is_looked_at
