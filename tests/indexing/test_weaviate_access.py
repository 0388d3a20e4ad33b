"""Which Weaviate servers may be used without a key, which answer, and how users are given one that asks for a key."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from indexing.settings import Settings, SettingsError, StorageSettings, WeaviateSettings
from indexing.weaviate_access import ServerFound, ServerSilent, is_loopback, look_at, refuse_anonymous_remote
from tests.weaviate.server import NO_SERVER, Node, can_start, free_port

KEY = "a-key-of-the-test"
REMOTE = "http://10.1.2.3:8080"
TOP = Path(__file__).parents[2]
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.cluster.yml")


def services_of(name: str) -> list[dict[str, Any]]:
    """The services of a compose file."""
    return list(yaml.safe_load((TOP / name).read_text(encoding="utf-8"))["services"].values())


def settings_for(**keys: object) -> Settings:
    return Settings(storage=StorageSettings(backend="weaviate"), weaviate=WeaviateSettings.model_validate(keys))


@asynccontextmanager
async def answering(status: int, body: str, *, asks_for: str = "") -> AsyncIterator[int]:
    """A port of this machine that answers every HTTP request like this, or with 401 without that key."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # only looked whether the port is open
            writer.close()
            return
        known = f"Bearer {asks_for}".encode() in request if asks_for else True
        text = body if known else "{}"
        head = f"HTTP/1.1 {status if known else 401} X\r\nContent-Length: {len(text)}\r\nConnection: close"
        writer.write(f"{head}\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "https://localhost:8443",
        "http://LOCALHOST.:8080/",
        "http://weaviate.localhost:8080",
        "http://[::1]:8080",
        "http://[::ffff:127.0.0.1]:8080",
    ],
)
def test_addresses_of_this_machine_are_known(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        REMOTE,
        "http://0.0.0.0:8080",
        "http://[::]:8080",
        "http://weaviate:8080",
        "http://localhost.example.org:8080",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@example.org:8080",
        "http://notlocalhost",
        "http://[::ffff:10.0.0.1]",
        "http://[::1",
        "127.0.0.1:8080",
        "",
    ],
)
def test_everything_else_is_another_machine(url: str) -> None:
    assert not is_loopback(url)


def test_a_server_on_another_machine_without_a_key_is_refused_by_default() -> None:
    with pytest.raises(SettingsError, match=r"weaviate\.url = 'http://10\.1\.2\.3:8080'.*CODETROVE_WEAVIATE__API_KEY"):
        refuse_anonymous_remote(settings_for(url=REMOTE))


@pytest.mark.parametrize(
    "keys",
    [{}, {"url": REMOTE, "api_key": KEY}, {"url": REMOTE, "allow_anonymous_remote": True}],
    ids=["on this machine", "with a key", "as it was asked for"],
)
def test_other_servers_are_used(keys: dict[str, object]) -> None:
    refuse_anonymous_remote(settings_for(**keys))


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [("1.39.0", True), ("1.32.0-rc.0", True), ("2.0.1", True), ("1.31.9", False), ("1.4.0", False), ("dev", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, is_enough: bool) -> None:
    assert ServerFound(version, is_anonymous=True).is_new_enough is is_enough


@pytest.mark.parametrize(("asks_for", "is_anonymous"), [("", True), (KEY, False)])
async def test_a_server_is_asked_with_the_key_and_without(asks_for: str, is_anonymous: bool) -> None:
    async with answering(200, json.dumps({"version": "1.39.0"}), asks_for=asks_for) as port:
        settings = settings_for(url=f"http://127.0.0.1:{port}", grpc_port=port, api_key=KEY)
        assert await look_at(settings.weaviate) == ServerFound("1.39.0", is_anonymous)


@pytest.mark.parametrize(("given", "message"), [("", "is empty"), ("wrong-key", r"refuses weaviate\.api_key")])
async def test_a_missing_key_and_a_wrong_one_are_told_apart_and_never_shown(given: str, message: str) -> None:
    async with answering(200, json.dumps({"version": "1.39.0"}), asks_for=KEY) as port:
        settings = settings_for(url=f"http://127.0.0.1:{port}", grpc_port=port, api_key=given)
        with pytest.raises(ServerSilent, match=message) as refused:
            await look_at(settings.weaviate)
        assert not given or given not in str(refused.value)


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"version": 3}'])
async def test_another_program_at_the_address_is_told_as_such(body: str) -> None:
    async with answering(200, body) as port:
        with pytest.raises(ServerSilent, match="is no Weaviate"):
            await look_at(settings_for(url=f"http://127.0.0.1:{port}", grpc_port=port).weaviate)


async def test_f030_a_server_that_is_down_is_named_by_its_address() -> None:
    port = free_port()
    with pytest.raises(ServerSilent, match=f"nothing answers at 'http://127.0.0.1:{port}'"):
        await look_at(settings_for(url=f"http://127.0.0.1:{port}").weaviate)


async def test_a_closed_grpc_port_is_named() -> None:
    closed = free_port()
    async with answering(200, json.dumps({"version": "1.39.0"})) as port:
        with pytest.raises(ServerSilent, match=f"not on weaviate.grpc_port = {closed}"):
            await look_at(settings_for(url=f"http://127.0.0.1:{port}", grpc_port=closed).weaviate)


@pytest.mark.parametrize("url", ["not a url", "http://[::1", "http://127.0.0.1:99999", "ftp://127.0.0.1"])
async def test_an_address_that_is_none_is_no_crash(url: str) -> None:
    with pytest.raises(ServerSilent, match="nothing answers"):
        await look_at(settings_for(url=url).weaviate)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_the_compose_files_give_a_server_of_one_version_to_this_machine_alone(name: str) -> None:
    for service in services_of(name):
        assert re.fullmatch(r"semitechnologies/weaviate:1\.\d+\.\d+", service["image"])
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:(8080|50051)", port) for port in service["ports"])
        assert service["env_file"] == ["weaviate.env"]
        environment = service["environment"]
        assert environment["AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED"] == "false"
        assert environment["AUTHENTICATION_APIKEY_ENABLED"] == "true"
        assert not [key for key in environment if "ALLOWED_KEYS" in key or "PASSWORD" in key]
        assert service["volumes"][0].endswith(environment["PERSISTENCE_DATA_PATH"])
        assert "/v1/.well-known/ready" in service["healthcheck"]["test"][-1]


def test_the_nodes_of_the_cluster_file_know_one_another() -> None:
    services = services_of("docker-compose.cluster.yml")
    names = [each["environment"]["CLUSTER_HOSTNAME"] for each in services]
    gossip = services[0]["environment"]["CLUSTER_GOSSIP_BIND_PORT"]
    for name, service in zip(names, services, strict=True):
        environment = service["environment"]
        assert environment["RAFT_JOIN"].split(",") == names
        assert environment["RAFT_BOOTSTRAP_EXPECT"] == str(len(names))
        assert environment["CLUSTER_JOIN"].split(",") == [f"{other}:{gossip}" for other in names if other != name]
    published = [port for service in services for port in service["ports"]]
    kept = [volume for service in services for volume in service["volumes"]]
    assert len(set(published)) == len(published)
    assert len(set(kept)) == len(kept) == len(names) == 3


@pytest.fixture(scope="module")
def locked_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A real server in the environment of the compose file."""
    if not can_start():
        pytest.skip(NO_SERVER)
    own = ("CLUSTER_HOSTNAME", "PERSISTENCE_DATA_PATH")
    (given,) = services_of("docker-compose.yml")
    environment = {key: value for key, value in given["environment"].items() if key not in own}
    environment["AUTHENTICATION_APIKEY_ALLOWED_KEYS"] = KEY
    node = Node(tmp_path_factory.mktemp("locked"), environment=environment)
    node.start()
    try:
        node.wait_ready()
        yield node
    finally:
        node.kill()


async def test_a_real_server_with_keys_answers_to_its_own_alone(locked_node: Node) -> None:
    def at(key: str) -> Settings:
        return settings_for(url=locked_node.url, grpc_port=locked_node.grpc, api_key=key)

    found = await look_at(at(KEY).weaviate)
    assert found.is_new_enough
    assert not found.is_anonymous
    for other in ("", "another-key"):
        with pytest.raises(ServerSilent, match="HTTP 401"):
            await look_at(at(other).weaviate)
