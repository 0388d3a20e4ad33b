"""``codetrove serve`` as a process, from its line of readiness to its end."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that takes requests."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def token(self) -> str:
        """What is in the token's file."""
        return Path(self.ready["token_file"]).read_text("utf-8").strip()

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
        """Ask over TCP; returns the status and the decoded answer."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with closing(HTTPConnection(self.address[0], self.address[1], timeout=30)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content else None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        url = urlsplit(self.ready["url"])
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    def link(self) -> socket.socket:
        """A connection over TCP on which nothing has been said yet."""
        return socket.create_connection(self.address, timeout=30)

    def stop(self, number: int) -> tuple[int, str]:
        """Send a signal and wait for the end; returns the exit code and what was said of it."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr


def when_ready(process: subprocess.Popen[str]) -> Serving:
    """Wait until requests are taken, as whoever starts it with ``--json`` does."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return Serving(process, json.loads(line))
