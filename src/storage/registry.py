"""``registry.json``: the little that is needed to rebuild a lost catalog from disk under the same ids."""

from __future__ import annotations

import base64
import errno
import json
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from storage.errors import DataDirectoryUnsuitable, DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGISTRY_FILE = "registry.json"
REGISTRY_SCHEMA = 1
_changing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Registry:
    """Installation uuid, repositories by uuid, run-time flags and hashes of tokens."""

    installation: str
    repositories: dict[str, bytes] = field(default_factory=dict)
    """{uuid: absolute root}"""
    flags: dict[str, object] = field(default_factory=dict)
    token_hashes: tuple[str, ...] = ()

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

    Changes of several threads come one after the other; those of several processes are kept apart by the owner's lock.
    """
    with _changing:
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
        "token_hashes": list(registry.token_hashes),
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
        token_hashes=tuple(map(str, value["token_hashes"])),
    )
