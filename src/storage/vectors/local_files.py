"""Files that say whether they are whole: small sealed JSON documents, and checksums of large ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from storage.errors import VectorStoreDamaged
from storage.registry import write_atomically

_CHUNK_BYTES = 1 << 20
_DIGEST_BYTES = 16

Document = TypeVar("Document", bound=msgspec.Struct)


class FileSeal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file must be to be trusted."""

    name: str
    size: int
    """bytes"""
    blake2b: str
    """hex of 16 bytes (RFC 7693)"""


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    blake2b: str
    content: msgspec.Raw


def write_sealed(path: Path, document: msgspec.Struct) -> None:
    """Put a JSON document with its checksum in its place at once. Raises as ``write_atomically`` does."""
    content = msgspec.json.encode(document)
    sealed = _Sealed(_hex_digest(content), msgspec.Raw(content))
    write_atomically(path, msgspec.json.encode(sealed))


def read_sealed(path: Path, kind: type[Document]) -> Document:
    """Read such a document. Raises ``VectorStoreDamaged``, and ``OSError`` where it cannot be read."""
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if _hex_digest(bytes(sealed.content)) != sealed.blake2b:
            raise VectorStoreDamaged(f"{str(path)!r} does not match its checksum")
        return msgspec.json.decode(sealed.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VectorStoreDamaged(f"{str(path)!r} is damaged or of another format: {error}") from error


def seal(path: Path) -> FileSeal:
    """Flush a file that was just written to disk and take its checksum."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return FileSeal(path.name, os.fstat(file.fileno()).st_size, _digest(file))


def open_sealed(directory: Path, expected: FileSeal) -> BinaryIO:
    """Open a file whose size and checksum are right. Raises ``VectorStoreDamaged``, or ``OSError``."""
    path = directory / expected.name
    opened = path.open("rb")
    try:
        size = os.fstat(opened.fileno()).st_size
        if size != expected.size:
            raise VectorStoreDamaged(f"{str(path)!r} has {size} bytes instead of {expected.size}")
        if _digest(opened) != expected.blake2b:
            raise VectorStoreDamaged(f"{str(path)!r} does not match its checksum")
        opened.seek(0)
    except BaseException:
        opened.close()
        raise
    return opened


def _hex_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def _digest(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    while block := file.read(_CHUNK_BYTES):
        digest.update(block)
    return digest.hexdigest()
