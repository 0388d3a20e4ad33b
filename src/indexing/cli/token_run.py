"""What ``codetrove token`` stores and prints; it needs no owner, and works beside one."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.terminal import say, say_json, say_result
from indexing.printable import printable
from indexing.tokens import TokenError, create_token, revoke_token
from storage import DataDirectory, load_registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from indexing.access import Scope
    from indexing.settings import Settings
    from storage import TokenRecord


def run_create(settings: Settings, name: str, scope: Scope, repositories: Sequence[str], *, as_json: bool) -> ExitCode:
    """Make a token, limited to ``repositories`` (paths or uuids) where there are any; returns the exit code."""
    directory = _prepared(settings)
    roots = load_registry(directory).repositories
    seen = [_uuid_of(each, roots) for each in repositories]
    try:
        record, token = create_token(directory, name, scope, list(dict.fromkeys(seen)) or None)
    except TokenError as error:
        raise UsageError(str(error)) from error
    if as_json:
        say_json({"schema": 1, "token": token, **_described(record)})
        return ExitCode.OK
    say(f"codetrove: this is the token {record.name!r} ({_rights(record, roots)}); it is not shown again")
    say_result(token)
    return ExitCode.OK


def run_list(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print all tokens; returns the exit code."""
    registry = load_registry(settings.storage.data_dir)
    if as_json:
        say_json({"schema": 1, "tokens": [_described(record) for record in registry.tokens]})
        return ExitCode.OK
    for record in registry.tokens:
        say_result(f"{record.name}  {_rights(record, registry.repositories)}  since {_time(record)}  {record.id}")
    if not registry.tokens:
        say("codetrove: there are no tokens; 'codetrove token create NAME' makes one")
    return ExitCode.OK


def run_revoke(settings: Settings, name_or_id: str, *, as_json: bool) -> ExitCode:
    """Remove a token; returns the exit code."""
    try:
        record = revoke_token(_prepared(settings), name_or_id)
    except TokenError as error:
        raise UsageError(str(error)) from error
    if as_json:
        say_json({"schema": 1, "revoked": _described(record)})
    else:
        say_result(f"revoked {record.name}")
    return ExitCode.OK


def _prepared(settings: Settings) -> Path:
    directory = DataDirectory(settings.storage.data_dir)
    directory.prepare()
    return directory.path


def _uuid_of(text: str, roots: Mapping[str, bytes]) -> str:
    if text.lower() in roots:
        return text.lower()
    path = os.fsencode(Path(text).expanduser().resolve())
    for uuid, root in roots.items():
        if root == path:
            return uuid
    raise UsageError(f"{text!r} is neither the root nor the uuid of an indexed repository; see 'codetrove status'")


def _described(record: TokenRecord) -> dict[str, object]:
    """Everything that is kept of a token but its hash."""
    return {
        "id": record.id,
        "name": record.name,
        "scopes": list(record.scopes),
        "repositories": None if record.repositories is None else list(record.repositories),
        "created_at": _time(record),
    }


def _rights(record: TokenRecord, roots: Mapping[str, bytes]) -> str:
    scopes = ", ".join(record.scopes)
    if record.repositories is None:
        return f"{scopes}: all repositories"
    return f"{scopes}: " + ", ".join(
        printable(os.fsdecode(roots.get(uuid, uuid.encode()))) for uuid in record.repositories
    )


def _time(record: TokenRecord) -> str:
    return datetime.fromtimestamp(record.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
