"""Who may reach the Weaviate server that keeps the vectors, and what answers at its address.

Objects there hold the text of every chunk: a server on another machine that asks for no key gives the indexed sources
to whoever reaches it.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from indexing.settings import SettingsError

if TYPE_CHECKING:
    from httpx2 import Client

    from indexing.settings import Settings, WeaviateSettings

LEAST_VERSION: Final = (1, 32)
"""The first one with aliases."""
PROBE_SECONDS: Final = 5.0


class ServerSilent(Exception):
    """The server cannot be reached, or what answers is no Weaviate; the message says which."""


@dataclass(frozen=True, slots=True)
class ServerFound:
    """What a server says of itself."""

    version: str
    is_anonymous: bool
    """it answers without a key"""

    @property
    def is_new_enough(self) -> bool:
        """Whether it has all that is used of it."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return found is not None and (int(found[1]), int(found[2])) >= LEAST_VERSION


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to this machine for certain: by a loopback address, or by the name ``localhost``."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
        if host == "localhost" or host.endswith(".localhost"):
            return True
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def refuse_anonymous_remote(settings: Settings) -> None:
    """Raise ``SettingsError`` where a server on another machine would be used without a key that nobody waived."""
    wanted = settings.weaviate
    if is_loopback(wanted.url) or wanted.api_key.get_secret_value() or wanted.allow_anonymous_remote:
        return
    raise SettingsError(
        f"weaviate.url = {wanted.url!r} is on another machine and weaviate.api_key is empty: without a key, whoever "
        "reaches that server can read and change what is indexed. Give its key in CODETROVE_WEAVIATE__API_KEY, or set "
        "weaviate.allow_anonymous_remote to true if the network alone is to protect it"
    )


async def look_at(settings: WeaviateSettings) -> ServerFound:
    """Ask the server for its version, with the key and without. Raises ``ServerSilent``."""
    # In a thread: making a client reads certificates.
    found = await asyncio.to_thread(_ask, settings)
    await _reach_grpc(settings)
    return found


def _ask(settings: WeaviateSettings) -> ServerFound:
    # The stack of HTTP is only loaded where there is a server to ask.
    from httpx2 import Client, HTTPError, InvalidURL  # noqa: PLC0415

    key = settings.api_key.get_secret_value()
    try:
        # Like the store, it asks no proxy that the environment names: a key is not for a third party.
        with Client(timeout=PROBE_SECONDS, trust_env=False) as client:
            status, version = _meta(client, settings.url, {"Authorization": f"Bearer {key}"} if key else {})
            without_key = _meta(client, settings.url, {})[0] if key else status
    except (HTTPError, InvalidURL, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise ServerSilent(f"nothing answers at {settings.url!r}: {reason}") from error
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        refused = "refuses weaviate.api_key" if key else "asks for a key, and weaviate.api_key is empty"
        raise ServerSilent(f"the server at {settings.url!r} {refused} (HTTP {status})")
    if version is None:
        raise ServerSilent(f"what answers at {settings.url!r} with HTTP {status} is no Weaviate")
    return ServerFound(version, is_anonymous=without_key == HTTPStatus.OK)


def _meta(client: Client, url: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return the status and the version that the answer names."""
    answer = client.get(f"{url.rstrip('/')}/v1/meta", headers=headers)
    with suppress(ValueError):
        document = json.loads(answer.text)
        if isinstance(document, dict) and isinstance(document.get("version"), str):
            return answer.status_code, document["version"]
    return answer.status_code, None


async def _reach_grpc(settings: WeaviateSettings) -> None:
    host = urlsplit(settings.url).hostname
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, settings.grpc_port)
    except OSError as error:
        raise ServerSilent(
            f"the server at {settings.url!r} answers, but not on weaviate.grpc_port = {settings.grpc_port}: {error}"
        ) from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
