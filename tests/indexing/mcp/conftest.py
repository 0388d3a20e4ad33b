"""Two small indexed repositories, and what talks to their tools with the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import structlog
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from indexing.runtime import Owner, open_owner
from indexing.settings import Settings

ALPHA: dict[str | bytes, str] = {
    "src/session.py": (
        'class SessionStore:\n    """Keeps signed cookies."""\n\n'
        "    def open_session(self, request):\n        return request.cookies.get('session')\n"
    ),
    "docs/guide.md": "# Guide\n\nA session cookie is signed.\n",
    b"caf\xe9.py": "def brew_coffee():\n    return 'espresso'\n",
}
BETA: dict[str | bytes, str] = {"vault.py": "def open_vault(passphrase):\n    return 'betasecretword'\n"}


@dataclass(frozen=True, slots=True)
class Indexed:
    """A data directory that holds two repositories."""

    settings: Settings
    alpha: Path
    beta: Path
    alpha_uuid: str
    beta_uuid: str


def settings_for(data_dir: Path) -> Settings:
    """Settings without model and watcher, on any port."""
    return Settings(
        storage={"data_dir": str(data_dir)},
        text={"commit_interval_ms": 1},
        embeddings={"model": "none"},
        service={"port": 0},
        watch={"auto_reindex": False},
    )


async def index(owner: Owner, root: Path) -> str:
    """Index a tree; returns the repository's uuid."""
    repository = await owner.register(root)
    assert (await owner.service.wait(await owner.service.submit(repository))).state == "succeeded"
    return repository.uuid


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    """Two repositories that no test changes."""
    base = tmp_path_factory.mktemp("mcp")
    for name, files in (("alpha", ALPHA), ("beta", BETA)):
        for relative, content in files.items():
            path = os.path.join(os.fsencode(base / name), os.fsencode(relative))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
    settings = settings_for(base / "data")

    async def fill() -> tuple[str, str]:
        async with open_owner(settings) as owner:
            return await index(owner, base / "alpha"), await index(owner, base / "beta")

    alpha, beta = asyncio.run(fill())
    return Indexed(settings, base / "alpha", base / "beta", alpha, beta)


@pytest.fixture(autouse=True)
def _no_log_setup() -> Any:
    yield
    structlog.reset_defaults()


def program(data_dir: Path, *arguments: str) -> list[str]:
    """The command line of a ``codetrove`` of its own."""
    code = "from indexing.cli import main; main()"
    return [sys.executable, "-c", code, "--data-dir", str(data_dir), *arguments]


Stdio: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def stdio(tmp_path: Path) -> Stdio:
    """Starts a ``codetrove mcp`` on a data directory, and talks to it."""

    @asynccontextmanager
    async def started(data_dir: Path, *options: str) -> AsyncIterator[Client]:
        command, *arguments = program(data_dir, "mcp", *options)
        source = str(Path(__file__).parents[3] / "src")
        environment = {
            "CODETROVE_EMBEDDINGS__MODEL": "none",
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "PYTHONPATH": source,
        }
        async with Client(StdioServerParameters(command=command, args=arguments, env=environment)) as client:
            yield client

    return started


def text_of(result: CallToolResult) -> str:
    """What an agent reads of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text
