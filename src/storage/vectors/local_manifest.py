"""The manifest of a base: which files it consists of, and how to know that they are whole.

Written last and renamed into place, so that a base is there with its manifest or not at all.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from storage.errors import VectorStoreDamaged
from storage.vectors.local_files import FileSeal, read_sealed

FORMAT = 1


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything there is to know about a base before its files are opened."""

    format: int
    collection: str
    repository: str
    dimension: int
    graph_rows: int
    flat_rows: int
    alive: int
    """rows that have an id"""
    languages: tuple[str, ...]
    rows: FileSeal
    graph: FileSeal | None
    """may belong to several bases in a row"""
    flat: FileSeal | None

    @property
    def files(self) -> tuple[FileSeal, ...]:
        """All files but the manifest itself."""
        return tuple(each for each in (self.rows, self.graph, self.flat) if each is not None)


def base_name(collection: str, seq: int, kind: str) -> str:
    """Name of a file of the ``seq``-th base: kind is ``json``, ``rows``, ``flat`` or ``graph``."""
    return f"{collection}-{seq:08d}.{kind}"


def manifests(directory: Path, collection: str) -> list[tuple[int, Path]]:
    """All manifests in the directory, newest first."""
    pattern = re.compile(re.escape(collection) + r"-(\d{8,})\.json")
    found = [(int(match[1]), path) for path in directory.iterdir() if (match := pattern.fullmatch(path.name))]
    return sorted(found, reverse=True)


def read_manifest(path: Path, *, collection: str, repository: str, dimension: int) -> Manifest:
    """Read and check the manifest. Raises ``VectorStoreDamaged``, and ``OSError`` where it cannot be read."""
    manifest = read_sealed(path, Manifest)
    told = (manifest.format, manifest.collection, manifest.repository, manifest.dimension)
    wanted = (FORMAT, collection, repository, dimension)
    if told != wanted:
        raise VectorStoreDamaged(f"{str(path)!r} says (format, collection, repository, dimension) {told}, not {wanted}")
    return manifest
