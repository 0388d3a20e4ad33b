"""The client of a data directory's owner: HTTP over its control socket, with nothing that is slow to load."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

ANSWER_SECONDS: Final = 30.0
"""That an owner may take to answer; what waits on purpose is given longer."""
_LONGEST_SOCKET_PATH: Final = 100
"""Bytes; Linux takes 107 (unix(7)), other systems 103."""
_CREDENTIALS = struct.Struct("3i")
"""``struct ucred`` of unix(7): pid, uid, gid."""
_ABSENT = {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}
"""There is no socket, or nobody listens on it any more."""


class ControlError(Exception):
    """An owner gave no answer, or not the one that was asked for."""


class OwnerGone(ControlError):
    """The owner ended, or stopped to answer, in the middle."""


class OwnerRefused(ControlError):
    """The owner answered with a problem (RFC 9457); the message is its detail."""

    def __init__(self, status: int, name: str, detail: str) -> None:
        """Keep the HTTP status and the problem's name, such as ``unknown-job``; empty where it has none."""
        super().__init__(detail)
        self.status = status
        self.name = name

    @property
    def is_wrong_usage(self) -> bool:
        """Whether what was asked for cannot be, rather than not now."""
        return 400 <= self.status < 500 and self.status not in {401, 408, 409, 429}


class NoOwner(ControlError):
    """Nobody owns the data directory, so nobody can be asked."""


class OwnerRuns(ControlError):
    """An owner is there, and what was asked for cannot be done while it is."""


class NotOurs(ControlError):
    """Another user's process listens on the socket."""


class ControlClient:
    """Asks one owner; every request has a connection of its own. Blocks: call it in a thread beside an event loop.

    Raises ``OwnerGone``, ``OwnerRefused`` and ``NotOurs``.
    """

    def __init__(self, path: Path, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Talk to whoever listens on the socket at ``path``."""
        self.path = path
        self._seconds = answer_seconds

    def get(self, path: str, **query: object) -> Any:
        """Return what is there; arguments that are None are left out."""
        return self.request("GET", path_with(path, query))

    def post(self, path: str, body: object = None, *, answer_seconds: float = 0.0, key: str = "") -> Any:
        """Ask for something to be done; with a ``key`` (``Idempotency-Key``) once, however often it is asked."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.request("POST", path, {} if body is None else body, headers, answer_seconds)

    def patch(self, path: str, body: object) -> Any:
        """Change some of what is there."""
        return self.request("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Take away what is there."""
        self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        answer_seconds: float = 0.0,
    ) -> Any:
        """Return the decoded JSON of the answer, None where it has no body."""
        seconds = answer_seconds or self._seconds
        sent = None if body is None else json.dumps(body).encode("utf-8")
        kinds = {"Accept": "application/json", "Connection": "close"}
        if sent is not None:
            kinds["Content-Type"] = "application/json"
        from indexing.control_exchange import exchange  # noqa: PLC0415  (HTTP takes a while to load)

        try:
            status, content = exchange(
                self.path, method, path, body=sent, headers={**kinds, **(headers or {})}, seconds=seconds
            )
        except TimeoutError as error:
            raise OwnerGone(f"the owner at {str(self.path)!r} gives no answer within {seconds:.0f} s") from error
        except OSError as error:
            raise OwnerGone(
                f"the owner at {str(self.path)!r} went away before it answered; run the command again"
            ) from error
        return _answer(status, content)


def control_socket(data_dir: Path) -> Path:
    """Return where the owner of a data directory listens.

    A path that is too long for a socket is replaced by one below ``$XDG_RUNTIME_DIR``, or else in a directory of the
    user's own among the temporary files, named after a hash of the data directory.
    """
    directory = os.path.realpath(data_dir)
    inside = os.path.join(directory, "control.sock")  # noqa: PTH118 - its length in bytes is what matters
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return Path(inside)
    name = f"codetrove-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(os.fsencode(f"{runtime}/{name}")) <= _LONGEST_SOCKET_PATH:
        return Path(runtime) / name
    return Path(tempfile.gettempdir()) / f"codetrove-{os.getuid()}" / name


def connected(path: Path, seconds: float) -> socket.socket:
    """Return a connection to a control socket whose listener is this user's or root's.

    Raises ``OSError`` and ``NotOurs``.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(seconds)
        link.connect(os.fspath(path))
        if peer_uid(link) not in {os.getuid(), 0}:
            raise NotOurs(f"a process of another user listens on {str(path)!r}; remove it or move the data directory")
    except BaseException:
        link.close()
        raise
    return link


def peer_uid(link: socket.socket) -> int:
    """Return the user of the process at the other end (``SO_PEERCRED``, unix(7))."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])


def owner_answers(data_dir: Path) -> bool:
    """Return whether somebody listens on the control socket of a data directory. Raises ``NotOurs``."""
    try:
        connected(control_socket(data_dir), ANSWER_SECONDS).close()
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def find_owner(data_dir: Path) -> ControlClient | None:
    """Return a client of the owner of a data directory, None where there is none. Raises ``NotOurs``."""
    return ControlClient(control_socket(data_dir)) if owner_answers(data_dir) else None


def needed(owner: ControlClient | None) -> ControlClient:
    """Return the client that there is; raises ``NoOwner``."""
    if owner is None:
        raise NoOwner("no process owns the data directory, so there is nobody to ask; start one: codetrove serve")
    return owner


def path_with(path: str, query: dict[str, object]) -> str:
    """Return a path with its query; None values are left out, lists are repeated."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def segment(value: str) -> str:
    """Return a value as one segment of a path."""
    return quote(value, safe="")


def _answer(status: int, content: bytes) -> Any:
    try:
        found = json.loads(content) if content else None
    except ValueError as error:
        raise OwnerGone(f"the owner's answer is no JSON (status {status}); is it another version?") from error
    if status < 400:
        return found
    problem = found if isinstance(found, dict) else {}
    name = str(problem.get("type", "")).removeprefix("urn:codetrove:").removeprefix("about:blank")
    detail = str(problem.get("detail") or problem.get("title") or f"the owner answered with status {status}")
    raise OwnerRefused(status, name, _with_errors(detail, problem.get("errors")))


def _with_errors(detail: str, errors: object) -> str:
    if not isinstance(errors, list):
        return detail
    return "\n".join([detail, *map(_named, errors)])


def _named(error: object) -> str:
    return str(error.get("detail") or error.get("msg") or error) if isinstance(error, dict) else str(error)
