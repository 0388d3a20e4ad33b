"""Backups: one zip with a consistent copy of the catalog, the registry, and checksums of both."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalog.connection import CATALOG_FILE, open_for_reading, reading_uri, translated
from storage.catalog.migrations import SCHEMA_VERSION, check_version, schema_version
from storage.errors import BackupError, DiskFull, StorageError
from storage.registry import REGISTRY_FILE, load_registry

if TYPE_CHECKING:
    import zipfile

    from storage.data_directory import DataDirectory

_MANIFEST = "manifest.json"
_FORMAT = 1
_MEMBERS = (CATALOG_FILE, REGISTRY_FILE)


def write_backup(directory: DataDirectory, target: Path) -> int:
    """Write a backup of a catalog, in use or not, to a new file; returns its size in bytes.

    The copy is SQLite's own (sqlite.org/backup.html): one moment of the catalog, whatever is written meanwhile.
    Raises ``BackupError`` if the file exists or cannot be written.
    """
    import shutil  # noqa: PLC0415  (backups are rare, and these imports take as long as the rest of the package)
    import tempfile  # noqa: PLC0415  (the same)

    if target.exists():
        raise BackupError(f"{str(target)!r} exists; choose another name or remove it")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as scratch:
            copy = Path(scratch, CATALOG_FILE)
            schema = _copy_catalog(directory.catalog, copy)
            # A copy: the registry may be replaced while its checksum is taken.
            registry = Path(scratch, REGISTRY_FILE)
            shutil.copyfile(directory.path / REGISTRY_FILE, registry)
            finished = Path(scratch, "finished.zip")
            _pack(finished, {CATALOG_FILE: copy, REGISTRY_FILE: registry}, schema)
            finished.chmod(0o600)
            _sync(finished)
            finished.rename(target)
    except (OSError, DiskFull) as error:
        raise BackupError(f"cannot write the backup {str(target)!r}: {error}") from error
    return target.stat().st_size


def stage_restore(directory: DataDirectory, source: Path) -> dict[str, object]:
    """Verify a backup and unpack it where the next owner takes it in; returns its manifest.

    Raises ``BackupError`` and changes nothing if the backup is damaged, foreign or too new.
    """
    import shutil  # noqa: PLC0415  (as in write_backup)
    import tempfile  # noqa: PLC0415  (the same)
    import zipfile  # noqa: PLC0415  (the same)
    import zlib  # noqa: PLC0415  (the same)

    unreadable = (
        OSError, EOFError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error
    )  # fmt: skip
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=directory.path) as scratch:
                unpacked = Path(scratch, "restore")
                unpacked.mkdir(mode=0o700)
                for name in _MEMBERS:
                    _unpack(archive, name, unpacked / name, manifest)
                _check_catalog(unpacked / CATALOG_FILE)
                _check_registry(unpacked)
                shutil.rmtree(directory.pending_restore, ignore_errors=True)
                unpacked.rename(directory.pending_restore)
    except unreadable as error:
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
    # Absent if a take-in was killed between these two steps; the directory goes last, so that it is done again.
    if (staged / REGISTRY_FILE).exists():
        (staged / REGISTRY_FILE).replace(directory.path / REGISTRY_FILE)
    staged.rename(former)
    return aside


def _copy_catalog(catalog: Path, copy: Path) -> int:
    """Copy the catalog; return its schema version."""
    source = open_for_reading(catalog)
    try:
        with translated(catalog):
            check_version(source, catalog)
            target = sqlite3.connect(copy)
            try:
                source.backup(target)
                return schema_version(target)
            finally:
                target.close()
    finally:
        source.close()


def _pack(target: Path, members: dict[str, Path], schema: int) -> None:
    import zipfile  # noqa: PLC0415  (as in write_backup)

    checksums = {name: _sha256(path) for name, path in members.items()}
    manifest = {"format": _FORMAT, "schema": schema, "sha256": checksums}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2))
        for name, path in members.items():
            archive.write(path, name)


def _manifest(archive: zipfile.ZipFile, source: Path) -> dict[str, object]:
    manifest = json.loads(archive.read(_MANIFEST))
    if manifest["format"] != _FORMAT or manifest["schema"] > SCHEMA_VERSION:
        message = (
            f"{str(source)!r} has format {manifest['format']!r} and catalog schema {manifest['schema']!r}; this "
            f"codetrove reads format {_FORMAT} and schemas up to {SCHEMA_VERSION}: use a newer codetrove"
        )
        raise BackupError(message)
    return dict(manifest)


def _unpack(archive: zipfile.ZipFile, name: str, target: Path, manifest: dict[str, object]) -> None:
    with archive.open(name) as packed, target.open("wb") as file:
        while block := packed.read(1 << 20):
            file.write(block)
    target.chmod(0o600)
    _sync(target)
    checksums = manifest["sha256"]
    if not isinstance(checksums, dict) or _sha256(target) != checksums.get(name):
        raise BackupError(f"the backup is damaged: {name} does not have the checksum its manifest names")


def _check_catalog(catalog: Path) -> None:
    connection = sqlite3.connect(reading_uri(catalog) + "&immutable=1", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = schema_version(connection)
    except sqlite3.Error as error:
        raise BackupError(f"the backup's catalog cannot be read: {error}") from error
    finally:
        connection.close()
    if verdict != "ok":
        raise BackupError(f"the backup's catalog is damaged: {verdict}")
    if not 0 < version <= SCHEMA_VERSION:
        message = f"the backup's catalog has schema version {version}, this codetrove knows 1 to {SCHEMA_VERSION}"
        raise BackupError(message)


def _check_registry(directory: Path) -> None:
    try:
        load_registry(directory)
    except StorageError as error:
        raise BackupError(f"the backup's registry cannot be used: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    import hashlib  # noqa: PLC0415  (as in write_backup)

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
