"""Fetching a model with the hub's own library, from a small hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from embeddings import model_named

SOURCES = Path(__file__).parents[2] / "src"
REVISION = str(model_named("unixcoder-base").revision)
FETCH = """
import json, sys
from pathlib import Path
from embeddings import EmbeddingsError, fetch
steps = []
try:
    path = fetch("unixcoder-base", lambda done, total: steps.append((done, total)), cache_dir=Path(sys.argv[1]))
except EmbeddingsError as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
else:
    print(json.dumps({"path": str(path), "steps": steps}))
"""


@dataclass
class Hub:
    """A hub with one repository."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def fetched_in(self, cache: Path, **environment: str) -> dict[str, Any]:
        """What a process of its own says that fetches the model from this hub."""
        plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        variables = {**plain, "PYTHONPATH": str(SOURCES), "HF_ENDPOINT": self.url, **environment}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FETCH, str(cache)], env=variables, capture_output=True, check=True
        )
        assert done.stderr == b""
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def hub(unixcoder_directory: Path) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in unixcoder_directory.iterdir()}
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), "hidden_size": 768}).encode()
    files |= {"pytorch_model.bin": b"a pickle", "planted.py": b"code"}
    served = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            served.asked.append(path)
            name = path.rpartition("/")[2]
            if path.startswith(f"/api/models/microsoft/unixcoder-base/tree/{REVISION}"):
                listed = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                    for name, content in served.files.items()
                ]
                self.send(200, json.dumps(listed).encode(), with_body=with_body)
            elif path.startswith(f"/microsoft/unixcoder-base/resolve/{REVISION}/") and name in served.files:
                self.send(200, served.files[name], with_body=with_body)
            else:
                self.send(404, b"", with_body=with_body)

        def send(self, status: int, body: bytes, *, with_body: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_fetched_by_its_pinned_revision_without_pickle_or_code(hub: Hub, tmp_path: Path) -> None:
    told = hub.fetched_in(tmp_path)
    path = Path(told["path"])
    assert path.name == REVISION
    assert {file.name for file in path.iterdir()} == hub.files.keys() - {"pytorch_model.bin", "planted.py"}
    assert not [name for name in hub.asked if name.endswith((".bin", ".py"))]
    done, total = told["steps"][-1]
    assert done == total == sum(len(hub.files[file.name]) for file in path.iterdir())
    assert [step[0] for step in told["steps"]] == sorted(step[0] for step in told["steps"])

    hub.asked.clear()
    assert hub.fetched_in(tmp_path, HF_HUB_OFFLINE="1") == {"path": str(path), "steps": []}
    assert hub.asked == []


def test_offline_mode_is_respected(hub: Hub, tmp_path: Path) -> None:
    told = hub.fetched_in(tmp_path, HF_HUB_OFFLINE="1")
    assert told["error"].startswith("ModelUnavailable: 'unixcoder-base' cannot be fetched")
    assert "unset HF_HUB_OFFLINE" in told["error"]
    assert hub.asked == []


def test_a_hub_without_the_revision_is_an_error_of_ours(hub: Hub, tmp_path: Path) -> None:
    hub.files.clear()
    told = hub.fetched_in(tmp_path)
    assert told["error"].startswith("ModelUnavailable: ")
