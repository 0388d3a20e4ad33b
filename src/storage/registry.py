"""``registry.json``: the little that is needed to rebuild a lost catalog from disk under the same ids."""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from storage.errors import DataDirectoryUnsuitable, DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGISTRY_FILE = "registry.json"
REGISTRY_SCHEMA = 1
_changing = threading.Lock()


@dataclass(frozen=True, slots=True)
class FlagChange:
    """Who changed a flag, and when."""

    flag: str
    value: bool | None
    """None where it was unset"""
    at_ms: int
    """milliseconds since 1970"""
    by: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of an access token: everything but the token."""

    id: str
    name: str
    sha256: str
    """Of the token's text, as 64 hexadecimal digits; a token has 256 random bits, so no salt and no slow hash."""
    scopes: tuple[str, ...]
    repositories: tuple[str, ...] | None
    """The uuids that it is good for, None for all."""
    created_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Installation uuid, repositories by uuid, run-time flags and access tokens."""

    installation: str
    repositories: dict[str, bytes] = field(default_factory=dict)
    """{uuid: absolute root}"""
    flags: dict[str, object] = field(default_factory=dict)
    flag_changes: tuple[FlagChange, ...] = ()
    tokens: tuple[TokenRecord, ...] = ()

    def with_repositories(self, repositories: dict[str, bytes]) -> Registry:
        """Return a copy that names these repositories."""
        return replace(self, repositories=repositories)


def load_registry(data_directory: Path) -> Registry:
    """Read the registry; a new installation gets a new uuid. Raises ``DataDirectoryUnsuitable`` if it is damaged."""
    path = data_directory / REGISTRY_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Registry(installation=str(uuid4()))
    except OSError as error:
        message = f"{str(path)!r} cannot be read: {error.strerror}; make it a file that its owner can read"
        raise DataDirectoryUnsuitable(message) from error
    try:
        return _parsed(json.loads(content), path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{str(path)!r} is damaged ({error!r}); restore it from a backup or move it away and index again"
        raise DataDirectoryUnsuitable(message) from error


def change_registry(data_directory: Path, change: Callable[[Registry], Registry]) -> Registry:
    """Read the registry, change it, and save it where that made a difference or there was none; returns it.

    Changes of several threads and processes come one after the other: a token may be made beside a running owner.
    """
    with _changing, _alone_in(data_directory):
        registry = load_registry(data_directory)
        changed = change(registry)
        if changed != registry or not (data_directory / REGISTRY_FILE).exists():
            save_registry(data_directory, changed)
        return changed


def save_registry(data_directory: Path, registry: Registry) -> None:
    """Replace the registry atomically; it is readable by its owner only."""
    value = {
        "schema": REGISTRY_SCHEMA,
        "installation": registry.installation,
        "repositories": {
            uuid: base64.b64encode(root).decode("ascii") for uuid, root in sorted(registry.repositories.items())
        },
        "flags": registry.flags,
        "flag_changes": [asdict(change) for change in registry.flag_changes],
        "tokens": [asdict(token) for token in registry.tokens],
    }
    write_atomically(data_directory / REGISTRY_FILE, json.dumps(value, indent=2).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that a reader, or the machine after a power cut, sees the old or the new content.

    Raises ``DiskFull``, or ``DataDirectoryUnsuitable`` for any other reason why it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # one that a crash left keeps the mode it had
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room left on the disk of {str(path)!r}; free some and go on") from error
        raise DataDirectoryUnsuitable(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _parsed(value: dict[str, Any], path: Path) -> Registry:
    if value["schema"] != REGISTRY_SCHEMA:
        message = f"{str(path)!r} has schema {value['schema']!r}, this codetrove knows {REGISTRY_SCHEMA}"
        raise DataDirectoryUnsuitable(message)
    return Registry(
        installation=str(UUID(value["installation"])),
        repositories={
            str(UUID(uuid)): base64.b64decode(root, validate=True) for uuid, root in value["repositories"].items()
        },
        flags=dict(value["flags"]),
        flag_changes=tuple(FlagChange(**change) for change in value.get("flag_changes", ())),
        tokens=tuple(_token(each) for each in value.get("tokens", ())),
    )


def _token(value: dict[str, Any]) -> TokenRecord:
    if not re.fullmatch("[0-9a-f]{64}", value["sha256"]):
        raise ValueError("the hash of a token is not one")
    repositories = value["repositories"]
    return TokenRecord(
        id=str(value["id"]),
        name=str(value["name"]),
        sha256=value["sha256"],
        scopes=tuple(map(str, value["scopes"])),
        repositories=None if repositories is None else tuple(str(UUID(uuid)) for uuid in repositories),
        created_at=float(value["created_at"]),
    )


@contextmanager
def _alone_in(data_directory: Path) -> Iterator[None]:
    """Hold a lock on the directory itself, for the moment of a change; it needs no file, and ends with the process."""
    try:
        descriptor = os.open(data_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DataDirectoryUnsuitable(f"{str(data_directory)!r} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
