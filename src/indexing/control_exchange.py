"""One request over a control socket and its answer. Apart from ``control``, since HTTP is needed only with an owner."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING

from indexing.control import connected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def exchange(
    path: Path, method: str, target: str, *, body: bytes | None, headers: Mapping[str, str], seconds: float
) -> tuple[int, bytes]:
    """Return status and content of what the listener at ``path`` answers.

    Raises ``OSError``, ``ConnectionError`` where it says no HTTP, ``TimeoutError``, and ``NotOurs``.
    """
    try:
        with closing(_Connection(path, seconds)) as connection:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP: {error!r}") from error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = connected(self._path, self._seconds)
