"""Backups: one zip with a consistent copy of the catalog, the registry, and checksums of both."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalog.connection import CATALOG_FILE, open_for_reading, translated
from storage.catalog.migrations import SCHEMA_VERSION
from storage.errors import BackupError
from storage.registry import REGISTRY_FILE

if TYPE_CHECKING:
    from storage.data_directory import DataDirectory

_MANIFEST = "manifest.json"
_FORMAT = 1
_MEMBERS = (CATALOG_FILE, REGISTRY_FILE)
_MOST_BYTES = 1 << 40


def write_backup(directory: DataDirectory, target: Path) -> int:
    """Write a backup of a catalog, in use or not, to a new file; returns its size in bytes.

    The copy is SQLite's own (sqlite.org/backup.html): one moment of the catalog, whatever is written meanwhile.
    Raises ``BackupError`` if the file exists or cannot be written.
    """
    if target.exists():
        raise BackupError(f"{str(target)!r} exists; choose another name or remove it")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as scratch:
            copy = Path(scratch, CATALOG_FILE)
            _copy_catalog(directory.catalog, copy)
            registry = directory.path / REGISTRY_FILE
            finished = Path(scratch, "finished.zip")
            _pack(finished, {CATALOG_FILE: copy, REGISTRY_FILE: registry})
            finished.chmod(0o600)
            finished.rename(target)
    except OSError as error:
        raise BackupError(f"cannot write the backup {str(target)!r}: {error}") from error
    return target.stat().st_size


def stage_restore(directory: DataDirectory, source: Path) -> dict[str, object]:
    """Verify a backup and unpack it where the next owner takes it in; returns its manifest.

    Raises ``BackupError`` and changes nothing if the backup is damaged, foreign or too new.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=directory.path) as scratch:
                unpacked = Path(scratch, "restore")
                unpacked.mkdir(mode=0o700)
                for name in _MEMBERS:
                    _unpack(archive, name, unpacked / name, manifest)
                _check_catalog(unpacked / CATALOG_FILE)
                shutil.rmtree(directory.pending_restore, ignore_errors=True)
                unpacked.rename(directory.pending_restore)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise BackupError(f"{str(source)!r} cannot be restored: {error}") from error
    return manifest


def take_in_restore(directory: DataDirectory, *, now_ms: int) -> Path | None:
    """Put a staged backup in place; the owner calls this before it opens anything.

    The catalog's directory is moved aside as a whole, so that no WAL of another catalog lies beside the restored one.
    Returns where the former catalog is, None if nothing was staged.
    """
    staged = directory.pending_restore
    if not (staged / CATALOG_FILE).exists():
        return None
    former = directory.catalog.parent
    aside = former.with_name(f"{former.name}.before-restore-{now_ms}")
    if former.exists():
        former.rename(aside)
    (staged / REGISTRY_FILE).replace(directory.path / REGISTRY_FILE)
    staged.rename(former)
    return aside


def _copy_catalog(catalog: Path, copy: Path) -> None:
    source = open_for_reading(catalog)
    try:
        with translated(catalog):
            target = sqlite3.connect(copy)
            try:
                source.backup(target)
            finally:
                target.close()
    finally:
        source.close()


def _pack(target: Path, members: dict[str, Path]) -> None:
    checksums = {name: _sha256(path) for name, path in members.items()}
    manifest = {"format": _FORMAT, "schema": SCHEMA_VERSION, "sha256": checksums}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2))
        for name, path in members.items():
            archive.write(path, name)


def _manifest(archive: zipfile.ZipFile, source: Path) -> dict[str, object]:
    manifest = json.loads(archive.read(_MANIFEST))
    if manifest["format"] != _FORMAT or manifest["schema"] > SCHEMA_VERSION:
        message = (
            f"{str(source)!r} has format {manifest['format']!r} and catalog schema {manifest['schema']!r}; this codetrove "
            f"reads format {_FORMAT} and schemas up to {SCHEMA_VERSION}: use a newer codetrove"
        )
        raise BackupError(message)
    return dict(manifest)


def _unpack(archive: zipfile.ZipFile, name: str, target: Path, manifest: dict[str, object]) -> None:
    with archive.open(name) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    target.chmod(0o600)
    checksums = manifest["sha256"]
    if not isinstance(checksums, dict) or _sha256(target) != checksums.get(name):
        raise BackupError(f"the backup is damaged: {name} does not have the checksum its manifest names")


def _check_catalog(catalog: Path) -> None:
    connection = sqlite3.connect(f"file:{catalog}?mode=ro&immutable=1", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(f"the backup's catalog cannot be read: {error}") from error
    finally:
        connection.close()
    if verdict != "ok":
        raise BackupError(f"the backup's catalog is damaged: {verdict}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
