"""Real Weaviate servers on loopback, for tests and benchmarks: one node, or a cluster of three.

``WEAVIATE_URL`` (and ``WEAVIATE_GRPC_PORT``) names one that runs; else a program ``weaviate`` on the PATH is started.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 60.0
NO_SERVER = "no Weaviate: set WEAVIATE_URL, or put a program 'weaviate' on the PATH"


@dataclass
class Node:
    """One server process; its ports and data outlast it."""

    directory: Path
    name: str = "node1"
    http: int = 0
    grpc: int = 0
    gossip: int = 0
    raft: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        # Data and internal ports are the ones behind gossip and Raft.
        self.gossip, self.raft = free_port(pair=True), free_port(pair=True)
        self.http, self.grpc = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def start(self) -> None:
        """Start the process; see `wait_ready`."""
        program = shutil.which("weaviate")
        assert program is not None, NO_SERVER
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "--host", "127.0.0.1", "--port", str(self.http), "--scheme", "http"],
                env=os.environ | self._environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it answers; raises ``AssertionError`` with the end of its log where it does not."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{self.url}/v1/.well-known/ready", timeout=2).close()  # noqa: S310
                return
            time.sleep(0.05)
        log = (self.directory / "log").read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"Weaviate on {self.url} is not ready: {log[-2000:]}")

    def kill(self) -> None:
        """``kill -9``, as often as one likes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def wipe(self) -> None:
        """Take its data away; it must not run."""
        assert self.process is None
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
            "AUTOSCHEMA_ENABLED": "false",
            "API_BASED_MODULES_DISABLED": "true",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_BIND_ADDR": "127.0.0.1",
            "CLUSTER_DATA_BIND_PORT": str(self.gossip + 1),
            "CLUSTER_GOSSIP_BIND_PORT": str(self.gossip),
            "CLUSTER_HOSTNAME": self.name,
            "CLUSTER_IN_LOCALHOST": "true",
            "DEFAULT_VECTORIZER_MODULE": "none",
            "DISABLE_TELEMETRY": "true",
            "DISK_USE_READONLY_PERCENTAGE": "99",
            "GO_PROFILING_DISABLE": "true",
            "GRPC_PORT": str(self.grpc),
            "LIMIT_RESOURCES": "true",
            "PERSISTENCE_DATA_PATH": str(self.directory / "data"),
            "RAFT_BOOTSTRAP_EXPECT": "1",
            "RAFT_INTERNAL_RPC_PORT": str(self.raft + 1),
            "RAFT_JOIN": f"{self.name}:{self.raft}",
            "RAFT_PORT": str(self.raft),
        } | self.environment


def cluster(directory: Path, size: int = 3) -> list[Node]:
    """Return nodes that form one cluster on loopback; start all of them before waiting for one."""
    nodes = [Node(directory / f"{number}", f"weaviate-{number}") for number in range(size)]
    join = ",".join(f"{node.name}:{node.raft}" for node in nodes)
    for number, node in enumerate(nodes):
        node.environment = {"RAFT_BOOTSTRAP_EXPECT": str(size), "RAFT_JOIN": join}
        if number:
            node.environment["CLUSTER_JOIN"] = f"127.0.0.1:{nodes[0].gossip}"
    return nodes


def can_start() -> bool:
    """Whether there is a program to start."""
    return shutil.which("weaviate") is not None


_given: set[int] = set()


def free_port(*, pair: bool = False) -> int:
    """A port on loopback that nobody uses and that was not given before; with ``pair`` the next one too."""
    while True:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        wanted = {port, port + 1} if pair else {port}
        if wanted & _given or port + 1 > 65_535:
            continue
        if pair:
            with closing(socket.socket()) as probe:
                try:
                    probe.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
        _given.update(wanted)
        return port
