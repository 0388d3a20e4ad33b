"""The sockets of an owner: one on TCP, one in the data directory that only its user can connect to."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from indexing.control import control_socket
from storage import DataDirectoryUnsuitable

BACKLOG: Final = 1024
"""Connections that may wait to be accepted."""


class AddressUnavailable(Exception):
    """Nobody can listen on that address now; the message says what to do."""


def listen_on_tcp(host: str, port: int) -> socket.socket:
    """Return a listening socket; ``port`` 0 is any that is free. Raises ``AddressUnavailable``."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise AddressUnavailable(f"there is no address of the name {host!r}; choose another with --host") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - as the standard library has it
    except OSError as error:
        listening.close()
        raise AddressUnavailable(
            f"{host!r} port {port} cannot be listened on: {error.strerror}; choose another with --host or --port"
        ) from error
    return listening


def is_loopback(host: str) -> bool:
    """Return whether only processes of this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def url_of(listening: socket.socket) -> str:
    """Return where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ControlSocket:
    """The control socket of a data directory, from its opening by the owner to its end. Blocks: use it in a thread."""

    def __init__(self, data_dir: Path) -> None:
        """Prepare to listen for the owner of ``data_dir``, which must hold its lock."""
        self.path = control_socket(data_dir)
        self._is_ours = self.path.parent == Path(os.path.realpath(data_dir))
        self._inode = 0

    def open(self) -> socket.socket:
        """Return the listening socket, mode 0600, in place of one that a former owner left.

        Raises ``DataDirectoryUnsuitable``.
        """
        if not self._is_ours:
            _check_directory(self.path.parent)
        try:
            self._remove_stale()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise self._unsuitable(error.strerror) from error
        try:
            # The directory lets nobody else in, so the moment between the two is nobody's.
            listening.bind(os.fspath(self.path))
            self.path.chmod(0o600)
            self._inode = self.path.lstat().st_ino
            listening.listen(BACKLOG)
            listening.setblocking(False)  # noqa: FBT003 - as above
        except OSError as error:
            listening.close()
            raise self._unsuitable(error.strerror) from error
        return listening

    def remove(self) -> None:
        """Take the socket's name away, unless it is another's by now."""
        with suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()

    def _remove_stale(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise self._unsuitable("something else is there")
        self.path.unlink()

    def _unsuitable(self, reason: str | None) -> DataDirectoryUnsuitable:
        return DataDirectoryUnsuitable(f"the control socket {str(self.path)!r} cannot be opened: {reason}")


def _check_directory(path: Path) -> None:
    """Make the directory of long-named sockets, or refuse one that others could change."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise DataDirectoryUnsuitable(f"{str(path)!r} cannot hold the control socket: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DataDirectoryUnsuitable(
            f"{str(path)!r} cannot hold the control socket: it is no directory of this user alone (mode 0700);"
            " remove it or set XDG_RUNTIME_DIR"
        )
