"""How agents are told of an MCP server: their files, and our entry merged into what is there."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from indexing.cli.exits import UsageError

if TYPE_CHECKING:
    from indexing.cli.init import ClientName

SERVER: Final = "codetrove"


@dataclass(frozen=True, slots=True)
class Client:
    """One kind of agent."""

    file: Path | None
    """relative to the project unless absolute; None where there is no usual place"""
    servers: str
    """the table that holds the servers by name"""
    is_toml: bool = False
    names_transport: bool = False


def client_of(name: ClientName) -> Client:
    """Return where and how a client is configured (as of its documentation in 2026)."""
    if name == "claude":
        return Client(Path(".mcp.json"), "mcpServers", names_transport=True)
    if name == "cursor":
        return Client(Path(".cursor/mcp.json"), "mcpServers")
    if name == "vscode":
        return Client(Path(".vscode/mcp.json"), "servers", names_transport=True)
    if name == "codex":
        home = os.environ.get("CODEX_HOME") or Path.home() / ".codex"
        return Client(Path(home) / "config.toml", "mcp_servers", is_toml=True)
    return Client(None, "mcpServers")


def entry_for(client: Client, command: Sequence[str]) -> dict[str, Any]:
    """Return our entry: the program and its arguments."""
    entry = {"command": command[0], "args": list(command[1:])}
    return {"type": "stdio", **entry} if client.names_transport else entry


def merged(client: Client, text: str, entry: Mapping[str, Any], file: str) -> str:
    """Return the configuration with our entry in it and everything else as it was.

    Raises ``UsageError`` for a text that cannot be understood, and says what to do by hand.
    """
    try:
        return _merged_toml(client, text, entry) if client.is_toml else _merged_json(client, text, entry)
    except ValueError as error:
        remedy = f"mend it, or add this to it by hand:\n{shown(client, entry)}"
        raise UsageError(f"the configuration {file!r} cannot be changed: {error}; {remedy}") from error


def shown(client: Client, entry: Mapping[str, Any]) -> str:
    """Return a configuration that holds nothing but our entry."""
    if client.is_toml:
        return _toml_table(client, entry)
    return json.dumps({client.servers: {SERVER: entry}}, indent=2) + "\n"


def _merged_json(client: Client, text: str, entry: Mapping[str, Any]) -> str:
    document = json.loads(text) if text.strip() else {}
    if not isinstance(document, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004 - told as any other text that does not fit
    servers = document.setdefault(client.servers, {})
    if not isinstance(servers, dict):
        raise ValueError(f"its {client.servers!r} is no JSON object")  # noqa: TRY004 - the same
    if servers.get(SERVER) == entry:
        return text
    former = servers.get(SERVER)
    # What a user added to our entry, such as an environment, stays.
    servers[SERVER] = {**(former if isinstance(former, dict) else {}), **entry}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _merged_toml(client: Client, text: str, entry: Mapping[str, Any]) -> str:
    document = tomllib.loads(text)
    servers = document.get(client.servers, {})
    if not isinstance(servers, dict) or not isinstance(servers.get(SERVER, {}), dict):
        raise ValueError(f"its {client.servers!r} is no table of tables")  # noqa: TRY004 - the same
    if SERVER not in servers:
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        changed = f"{text}{gap}{_toml_table(client, entry)}"
    elif {**servers[SERVER], **entry} == servers[SERVER]:
        return text
    else:
        changed = _with_values(client, text, entry)
    wanted = {**document, client.servers: {**servers, SERVER: {**servers.get(SERVER, {}), **entry}}}
    if tomllib.loads(changed) != wanted:
        raise ValueError(f"its entry {SERVER!r} is written in a way that is not understood here")
    return changed


def _with_values(client: Client, text: str, entry: Mapping[str, Any]) -> str:
    """The text with the keys of our table's lines changed; whether that went well is for the caller to check."""
    lines, is_ours = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            is_ours = line.strip() == f"[{client.servers}.{SERVER}]"
            lines.append(line)
            if is_ours:
                lines += [f"{key} = {_toml_value(value)}\n" for key, value in entry.items()]
            continue
        if not (is_ours and line.partition("=")[0].strip() in entry):
            lines.append(line)
    return "".join(lines)


def _toml_table(client: Client, entry: Mapping[str, Any]) -> str:
    values = "".join(f"{key} = {_toml_value(value)}\n" for key, value in entry.items())
    return f"[{client.servers}.{SERVER}]\n{values}"


def _toml_value(value: str | Sequence[str]) -> str:
    """A string or a list of them; JSON's strings in ASCII are TOML's basic strings but for surrogate pairs."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
