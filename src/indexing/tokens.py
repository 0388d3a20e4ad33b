"""Access tokens: made and revoked in ``registry.json``, looked up by whoever guards an edge of the service."""

from __future__ import annotations

import asyncio
import hmac
import math
import os
import re
import secrets
import stat
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from indexing.access import LOCAL, SCOPES, Principal, Scope
from storage import (
    DataDirectoryUnsuitable,
    Registry,
    StorageError,
    TokenRecord,
    change_registry,
    load_registry,
    write_atomically,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TOKEN_FILE: Final = "token"  # noqa: S105 - its name
REGISTRY_FILE: Final = "registry.json"
TOKEN_PREFIX: Final = "codetrove_"  # noqa: S105 - what all have in common
"""Makes a token that was pasted where it should not be known to scanners, and to our own log."""
LOOK_SECONDS: Final = 0.5
"""For so long a known token is believed without a look at the registry."""

_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_CHARACTERS = 256
_MOST_TOKENS = 1000

log = structlog.get_logger(__name__)


class TokenError(ValueError):
    """A token that cannot be made, or that there is none of."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token that is good now: its record's id, and who holds it."""

    id: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The administrator's token, from its file."""

    id: str
    path: Path
    made: bool
    """Whether it was made just now."""


class Tokens:
    """The tokens of one data directory, as a running service sees them.

    `registry.json` is read again when its stat has changed: for a known token at most every `LOOK_SECONDS`, so that
    a revoked one stops working after that, and for an unknown one at once, so that a new one works.
    """

    def __init__(self, data_directory: Path, *, clock: Callable[[], float] = monotonic) -> None:
        """Look nothing up yet; ``clock`` gives seconds."""
        self._directory = data_directory
        self._clock = clock
        self._records: tuple[tuple[bytes, Held], ...] = ()
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = -math.inf
        self._looks_begun = 0
        self._looking = asyncio.Lock()

    async def held(self, token: str, *, look: bool = True) -> Held | None:
        """Return who holds ``token``, None where no record has its hash; without ``look`` only old news are used."""
        await self._look(LOOK_SECONDS)
        found = self._match(token)
        if found is None and look:
            await self._look(0)
            found = self._match(token)
        return found

    async def by_id(self, token_id: str) -> Held | None:
        """Return who holds the token with this id, None where it was revoked."""
        await self._look(LOOK_SECONDS)
        return next((held for _, held in self._records if held.id == token_id), None)

    async def _look(self, older_than: float) -> None:
        if self._clock() - self._looked_at < older_than:
            return
        begun = self._looks_begun
        async with self._looking:
            if self._looks_begun > begun:
                return  # another look began and ended while this one waited
            self._looks_begun += 1
            now = self._clock()
            try:
                changed = await asyncio.to_thread(self._read)
            except StorageError as error:
                # What is known stays good: a disk that fails for a moment must not lock everyone out.
                log.error("tokens.unreadable", error=str(error))  # noqa: TRY400 - frames hold tokens
            else:
                if changed is not None:
                    self._seen, self._records = changed
            self._looked_at = now

    def _read(self) -> tuple[tuple[int, int, int] | None, tuple[tuple[bytes, Held], ...]] | None:
        try:
            found = (self._directory / REGISTRY_FILE).stat()
        except FileNotFoundError:
            return None, ()
        except OSError as error:
            raise DataDirectoryUnsuitable(f"the registry cannot be looked at: {error.strerror}") from error
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return None
        tokens = load_registry(self._directory).tokens
        return seen, tuple((bytes.fromhex(each.sha256), Held(each.id, principal_of(each))) for each in tokens)

    def _match(self, token: str) -> Held | None:
        """Compare with every record, each in constant time: how long it takes says nothing of which one is near."""
        if len(token) > _MOST_CHARACTERS:
            return None
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, held in self._records:
            if hmac.compare_digest(known, digest):
                found = held
        return found


def principal_of(record: TokenRecord) -> Principal:
    """Return who holds the token of ``record``; scopes of a later version give no rights."""
    scopes = frozenset(scope for scope in SCOPES if scope in record.scopes)
    return Principal(record.name, scopes, None if record.repositories is None else frozenset(record.repositories))


def create_token(
    data_directory: Path, name: str, scope: Scope, repositories: Sequence[str] | None = None
) -> tuple[TokenRecord, str]:
    """Store a new token's hash; returns its record and the token itself, which nothing keeps.

    Raises ``TokenError`` for a name that cannot be used or is taken, and the errors of the registry.
    """
    if not _NAME.fullmatch(name) or name == LOCAL.name:
        message = (
            f"a token cannot be called {name!r}; take up to 64 letters, digits, '.', '_' or '-', "
            f"beginning with a letter or digit, other than {LOCAL.name!r}"
        )
        raise TokenError(message)
    token, record = _new(name, scope, repositories)
    change_registry(data_directory, lambda registry: _with(registry, record))
    return record, token


def revoke_token(data_directory: Path, name_or_id: str) -> TokenRecord:
    """Remove a token's record; returns it. Raises ``TokenError`` where there is none, and the registry's errors."""
    removed: list[TokenRecord] = []

    def without(registry: Registry) -> Registry:
        removed[:] = [each for each in registry.tokens if name_or_id in {each.id, each.name}]
        return replace(registry, tokens=tuple(each for each in registry.tokens if each not in removed))

    change_registry(data_directory, without)
    if not removed:
        raise TokenError(f"there is no token {name_or_id!r}; 'codetrove token list' shows those there are")
    return removed[0]


def first_token(data_directory: Path) -> FirstToken:
    """Return the administrator's token of ``<data>/token``; it is made where there is none, or where it was revoked.

    Raises ``DataDirectoryUnsuitable`` for a file that others can read or write, that is no plain file of ours, or that
    cannot be written.
    """
    path = data_directory / TOKEN_FILE
    token = _read_token(path)
    registry = load_registry(data_directory)
    if token is not None:
        digest = sha256(token.encode()).hexdigest()
        for each in registry.tokens:
            if hmac.compare_digest(each.sha256, digest) and principal_of(each).may("admin"):
                return FirstToken(each.id, path, made=False)
    taken = {each.name for each in registry.tokens}
    name = next(name for number in range(1, _MOST_TOKENS + 2) if (name := _numbered("first", number)) not in taken)
    token, record = _new(name, "admin", None)
    # The file first: a crash in between leaves a token that is not good, not one that nobody has.
    write_atomically(path, f"{token}\n".encode())
    change_registry(data_directory, lambda registry: _with(registry, record))
    return FirstToken(record.id, path, made=True)


def _new(name: str, scope: Scope, repositories: Sequence[str] | None) -> tuple[str, TokenRecord]:
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    digest = sha256(token.encode()).hexdigest()
    seen = None if repositories is None else tuple(repositories)
    return token, TokenRecord(str(uuid4()), name, digest, (scope,), seen, time())


def _with(registry: Registry, record: TokenRecord) -> Registry:
    if record.name in {each.name for each in registry.tokens}:
        raise TokenError(f"there is a token {record.name!r} already; revoke it first or take another name")
    if len(registry.tokens) >= _MOST_TOKENS:
        raise TokenError(f"there are {len(registry.tokens)} tokens, the most that are kept; revoke one first")
    return replace(registry, tokens=(*registry.tokens, record))


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _read_token(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the token file {str(path)!r} cannot be read: {error.strerror}; remove it and start again"
        raise DataDirectoryUnsuitable(message) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise DataDirectoryUnsuitable(f"the token file {str(path)!r} is no plain file of this user; remove it")
        if found.st_mode & 0o077:
            message = (
                f"the token file {str(path)!r} has mode {found.st_mode & 0o777:04o}, open to others, who may have read "
                "it; remove the file, revoke the token ('codetrove token list', 'token revoke') and start again"
            )
            raise DataDirectoryUnsuitable(message)
        return os.read(descriptor, _MOST_CHARACTERS).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
