"""Sign-in of the page: one-time codes that become sessions, both in memory only and bounded in number and time."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE: Final = "codetrove_session"
CODE_SECONDS: Final = 300
SESSION_SECONDS: Final = 12 * 3600
MOST_CODES: Final = 16
MOST_SESSIONS: Final = 256

_SECRET_BYTES = 32
_MOST_CHARACTERS = 256


class Sessions:
    """Codes and sessions of one service; each stands for the access token with an id, and for no more than that."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        """Begin with none; ``clock`` gives seconds."""
        self._codes = _Secrets(CODE_SECONDS, MOST_CODES, clock)
        self._sessions = _Secrets(SESSION_SECONDS, MOST_SESSIONS, clock)

    def new_code(self, token_id: str) -> str:
        """Return a code for one sign-in within `CODE_SECONDS`, with the rights of the token with this id."""
        return self._codes.new(token_id)

    def redeem(self, code: str) -> str | None:
        """Return the token id that ``code`` stands for, once; None for one that is unknown, used or too old."""
        return self._codes.take(code)

    def begin(self, token_id: str) -> str:
        """Begin a session of `SESSION_SECONDS` with the rights of that token; returns the value of its cookie."""
        return self._sessions.new(token_id)

    def token_of(self, cookie: str) -> str | None:
        """Return the token id of a session that has not expired."""
        return self._sessions.look(cookie)

    def end(self, cookie: str) -> None:
        """End a session; one that is not there is no error."""
        self._sessions.take(cookie)


class _Secrets:
    """Random secrets by their hash, the oldest first; the oldest goes where there would be too many."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def new(self, meaning: str) -> str:
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        while len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        self._kept[_digest(secret)] = (meaning, self._clock() + self._seconds)
        return secret

    def look(self, secret: str) -> str | None:
        return self._good(self._kept.get(_digest(secret)))

    def take(self, secret: str) -> str | None:
        return self._good(self._kept.pop(_digest(secret), None))

    def _good(self, kept: tuple[str, float] | None) -> str | None:
        return kept[0] if kept is not None and self._clock() < kept[1] else None


def _digest(secret: str) -> bytes:
    """The key of a secret: how long a look-up of a hash takes tells nothing that leads to the secret."""
    return sha256(secret[:_MOST_CHARACTERS].encode("utf-8", "surrogateescape")).digest()
